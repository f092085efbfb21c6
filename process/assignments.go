package process

import (
	"context"
	"iter"
)

// Assignments yields a process's log from slot from on, in order. An error is
// yielded last.
func (r *Runtime) Assignments(ctx context.Context, process string, from uint64) iter.Seq2[*Assignment, error] {
	return func(yield func(*Assignment, error) bool) {
		p, err := r.enter(ctx, process, PhaseInspect)
		if err != nil {
			yield(nil, err)
			return
		}
		defer r.leave(p)
		for rec, err := range r.store.Records(ctx, logName(process), from) {
			var a *Assignment
			if err == nil {
				a, _, err = decodeAssignment(process, rec.Slot, rec.Data)
			}
			if err != nil {
				yield(nil, storeFault(p.details(PhaseInspect), err, "read the log of process %s", process))
				return
			}
			if !yield(a, nil) {
				return
			}
		}
	}
}

package process

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

// executor applies assignments to one machine, each as a transaction.
//
// Marks cost about as much as a light message, so they aren't set after each.
// What succeeded since the last mark is kept (the batch); when a message
// fails, the machine rolls back to the mark, the batch is executed again, and
// its results must come out the same. The distance between marks doubles as
// long as all goes well, and is 1 again after a failure.
type executor struct {
	*guarded
	profile string
	policy  MarkPolicy
	// next is the first slot that the state hasn't seen.
	next uint64

	batch      []applied
	batchWall  time.Duration
	batchBytes int
	distance   int

	// Since the last checkpoint:
	slots, fuel uint64
}

// applied is a slot since the mark.
type applied struct {
	a *Assignment
	r *Result
}

// newExecutor takes over g, a machine that is marked in the state before next.
func newExecutor(g *guarded, profile string, policy MarkPolicy, next uint64) *executor {
	return &executor{guarded: g, profile: profile, policy: policy, next: next, distance: 1}
}

// apply computes the next slot. On success, and when the message failed, the
// state is the one after the slot. An error is trouble or a *divergedError:
// unless broken is set, the state is still the one before the slot. again is
// how many slots were executed again.
func (e *executor) apply(ctx context.Context, a *Assignment) (r *Result, again int, err error) {
	if e.broken != nil {
		return nil, 0, e.broken
	}
	if a.Slot != e.next {
		return nil, 0, fmt.Errorf("slot %d was given to a machine that is at slot %d", a.Slot, e.next)
	}
	start := time.Now()
	o, err := e.compute(ctx, a)
	if err == nil && o == nil {
		err = fmt.Errorf("the device gave slot %d no outcome", a.Slot)
	}
	if err != nil {
		again, undo := e.undo(ctx)
		if undo != nil {
			// Trouble on top of trouble: the machine is broken, unless it
			// diverged, which says more.
			if d, ok := undo.(*divergedError); ok {
				err = d
			}
		}
		return nil, again, err
	}
	r = e.result(a, o)
	if o.Failed {
		if again, err = e.undo(ctx); err != nil {
			return nil, again, err
		}
	} else {
		e.batch = append(e.batch, applied{a, r})
		e.batchWall += time.Since(start)
		e.batchBytes += len(a.Message) + len(r.Data)
	}
	e.next++
	e.slots++
	e.fuel += r.Ledger.Fuel
	return r, again, nil
}

func (e *executor) result(a *Assignment, o *Outcome) *Result {
	return &Result{
		Process: a.Process, Slot: a.Slot, Data: o.Result, Failed: o.Failed, Profile: e.profile,
		Ledger: o.Ledger, hash: resultHash(o.Failed, o.Result),
	}
}

// undo returns to the state after the batch: roll back, execute the batch
// again, mark.
func (e *executor) undo(ctx context.Context) (again int, err error) {
	e.distance = 1
	if e.broken != nil {
		return 0, e.broken
	}
	if err := e.rollback(); err != nil {
		return 0, err
	}
	if len(e.batch) == 0 {
		return 0, nil
	}
	for _, b := range e.batch {
		o, err := e.compute(ctx, b.a)
		if err == nil && o == nil {
			err = fmt.Errorf("the device gave slot %d no outcome", b.a.Slot)
		}
		if err != nil {
			e.broken = fmt.Errorf("execute slot %d again: %w", b.a.Slot, err)
			return again, e.broken
		}
		again++
		if o.Failed != b.r.Failed || !bytes.Equal(o.Result, b.r.Data) {
			d := diverge(DivergedAgain, b.r, e.result(b.a, o))
			e.broken = d
			return again, d
		}
	}
	return again, e.remark()
}

// remark marks the present state, which ends the batch.
func (e *executor) remark() error {
	if err := e.mark(); err != nil {
		return err
	}
	e.settle()
	return nil
}

// settle forgets the batch: the machine's mark has caught up with it.
func (e *executor) settle() {
	clear(e.batch)
	e.batch, e.batchWall, e.batchBytes = e.batch[:0], 0, 0
}

// tend marks if the batch has grown to its bound, and reports whether it did.
func (e *executor) tend() (marked bool, err error) {
	if len(e.batch) < e.distance && e.batchWall < e.policy.Wall && e.batchBytes < e.policy.Bytes {
		return false, nil
	}
	if len(e.batch) == 0 {
		return false, nil
	}
	if err := e.remark(); err != nil {
		return false, err
	}
	e.distance = min(2*e.distance, e.policy.Messages)
	return true, nil
}

// forkNow returns a fork of the present state.
func (e *executor) forkNow(ctx context.Context) (*guarded, error) {
	if e.broken != nil {
		return nil, e.broken
	}
	if len(e.batch) > 0 {
		if err := e.remark(); err != nil {
			return nil, err
		}
	}
	return e.fork(ctx)
}

package process

import (
	"context"
	"errors"
	"iter"
	"strings"

	"aorta/store"
	"aorta/vm"
)

// Info is what a process looks like from outside.
type Info struct {
	Definition Definition
	// Profile is the engine profile that computes it on this node; empty if
	// the node lacks the device.
	Profile string
	State   State
	// Assigned and Computed are numbers of slots; Assigned - Computed wait.
	Assigned, Computed uint64
	// Next is the slot that the machine in memory computes next, Footprint and
	// Dirty its bytes, about (see Machine). Zero without one.
	Next             uint64
	Footprint, Dirty uint64
	// Checkpoint is the newest; nil if there is none.
	Checkpoint *Checkpoint
	// Trouble is why the process is stalled.
	Trouble error
	// Divergence is why it is quarantined.
	Divergence *Divergence
}

// State is what a process is doing.
type State string

// States of a process.
const (
	// StateDormant: nothing of it is in memory.
	StateDormant State = "dormant"
	// StateWaiting: it has work, and waits for room.
	StateWaiting State = "waiting"
	// StateResident: it has a machine, and nothing to do.
	StateResident State = "resident"
	// StateRunning: it has a machine, and work.
	StateRunning State = "running"
	// StateStalled: this node failed at a slot.
	StateStalled State = "stalled"
	// StateQuarantined: a slot came to two results.
	StateQuarantined State = "quarantined"
)

// Inspect describes a process.
func (r *Runtime) Inspect(ctx context.Context, process string) (*Info, error) {
	p, err := r.enter(ctx, process, PhaseInspect)
	if err != nil {
		return nil, err
	}
	defer r.leave(p)
	info := &Info{Definition: *p.def, Profile: p.profile}
	p.mu.Lock()
	info.Assigned, info.Computed = p.assigned, p.computed
	if p.resident {
		info.Next, info.Footprint, info.Dirty = p.next, p.footprint, p.dirty
	}
	info.Trouble = p.stalled
	if p.diverged != nil {
		d := *p.diverged
		info.Divergence = &d
	}
	behind := p.computed < p.assigned || p.resident && p.next < p.assigned
	switch {
	case p.diverged != nil:
		info.State = StateQuarantined
	case p.stalled != nil:
		info.State = StateStalled
	case p.resident && behind:
		info.State = StateRunning
	case p.resident:
		info.State = StateResident
	case p.worker != nil:
		info.State = StateWaiting
	default:
		info.State = StateDormant
	}
	if n := len(p.recent); n > 0 {
		c := *p.recent[n-1]
		info.Checkpoint = &c
	}
	p.mu.Unlock()
	if info.Checkpoint != nil {
		return info, nil
	}
	for l, err := range r.store.LinksIn(ctx, checkpointsOf(process), "", true) {
		if err != nil {
			return nil, storeFault(p.details(PhaseInspect), err, "inspect process %s: read its checkpoints", process)
		}
		next, err := slotOf(l.Name, checkpointsOf(process))
		if err != nil {
			continue
		}
		if c, err := decodeCheckpoint(process, next, l.Target); err == nil {
			info.Checkpoint = c
			break
		}
	}
	return info, nil
}

// Processes yields the ids of all processes of the store, in order. An error is
// yielded last.
func (r *Runtime) Processes(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for l, err := range r.store.LinksIn(ctx, definitionPrefix, "", false) {
			if err != nil {
				yield("", storeFault(Details{Phase: PhaseInspect}, err, "list processes"))
				return
			}
			if id := strings.TrimPrefix(l.Name, definitionPrefix); validID(id) && !yield(id, nil) {
				return
			}
		}
	}
}

// SlotStatus is how far a slot is.
type SlotStatus string

// Statuses of a slot.
const (
	SlotPending     SlotStatus = "pending"
	SlotOK          SlotStatus = "ok"
	SlotFailed      SlotStatus = "failed"
	SlotQuarantined SlotStatus = "quarantined"
)

// SlotInfo is one line of a process's history.
type SlotInfo struct {
	Slot   uint64
	Status SlotStatus
	// Timestamp is the assignment's, in milliseconds since the Unix epoch.
	Timestamp int64
	// MessageBytes and ResultBytes are sizes.
	MessageBytes, ResultBytes int
	// Result is the result's hash, Profile what computed it, Ledger what it
	// cost. Zero while pending.
	Result  store.Hash
	Profile string
	Ledger  vm.Ledger
	// Checkpoint is the checkpoint of the state after the slot, if there is one.
	Checkpoint *Checkpoint
}

// Slots yields what is known of each slot of a process from slot from on, in
// order. Results of the last moments are included. An error is yielded last.
func (r *Runtime) Slots(ctx context.Context, process string, from uint64) iter.Seq2[SlotInfo, error] {
	return func(yield func(SlotInfo, error) bool) {
		p, err := r.enter(ctx, process, PhaseInspect)
		if err != nil {
			yield(SlotInfo{}, err)
			return
		}
		defer r.leave(p)
		fail := func(err error) {
			yield(SlotInfo{}, storeFault(p.details(PhaseInspect), err, "list the slots of process %s", process))
		}
		points, err := r.checkpoints(ctx, p)
		if err != nil {
			fail(err)
			return
		}
		for rec, err := range r.store.Records(ctx, logName(process), from) {
			if err != nil {
				fail(err)
				return
			}
			a, _, err := decodeAssignment(process, rec.Slot, rec.Data)
			if err != nil {
				fail(err)
				return
			}
			info := SlotInfo{
				Slot: rec.Slot, Status: SlotPending, Timestamp: a.Timestamp, MessageBytes: len(a.Message),
				Checkpoint: points[rec.Slot+1],
			}
			if err := r.describe(ctx, p, &info); err != nil {
				fail(err)
				return
			}
			if !yield(info, nil) {
				return
			}
		}
	}
}

// describe adds what is known of a slot's result.
func (r *Runtime) describe(ctx context.Context, p *proc, info *SlotInfo) error {
	p.mu.Lock()
	result := p.unwritten[info.Slot]
	quarantined := p.diverged != nil && info.Slot >= p.diverged.Slot
	p.mu.Unlock()
	if result != nil {
		info.ResultBytes = len(result.Data)
	} else {
		rec, err := r.recorded(ctx, p.id, info.Slot)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err == nil {
			result, info.ResultBytes = &rec.Result, len(rec.Data)
			if !rec.inline {
				info.ResultBytes = int(rec.size)
			}
		}
	}
	if result != nil {
		info.Status = SlotOK
		if result.Failed {
			info.Status = SlotFailed
		}
		info.Result, info.Profile, info.Ledger = result.Hash(), result.Profile, result.Ledger
	}
	if quarantined {
		info.Status = SlotQuarantined
	}
	return nil
}

// checkpoints returns a process's checkpoints by the slot after them: the
// store's that can be read, and those of the last moments.
func (r *Runtime) checkpoints(ctx context.Context, p *proc) (map[uint64]*Checkpoint, error) {
	points := make(map[uint64]*Checkpoint)
	for l, err := range r.store.LinksIn(ctx, checkpointsOf(p.id), "", false) {
		if err != nil {
			return nil, err
		}
		next, err := slotOf(l.Name, checkpointsOf(p.id))
		if err != nil {
			continue
		}
		if c, err := decodeCheckpoint(p.id, next, l.Target); err == nil {
			points[next] = c
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.recent {
		points[c.Next] = c
	}
	return points, nil
}

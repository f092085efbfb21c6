package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"aorta/store"
)

// Message is something to assign.
type Message struct {
	// Data is the message's bytes, in the form that the process's device reads.
	Data []byte
	// Timestamp is in milliseconds since the Unix epoch. 0 means the
	// runtime's clock, or the slot's before if the clock is behind it. Another
	// value is used as it is, and refused if it is smaller than the slot's before.
	Timestamp int64
	// BlockHeight and Epoch are taken over from the slot before if they are 0.
	BlockHeight uint64
	Epoch       uint64
}

// appendAttempts is how often an assignment is tried again when another
// writer took its slot.
const appendAttempts = 8

// Assign gives a message the next slot of a process, and returns once that is
// durable. The process computes it by itself then; Result waits for what comes
// of it.
//
// Nothing was assigned if the error is a *BusyError, or has a status of less
// than 500. CodeFateUnknown says that the store failed in a way that leaves it
// open.
func (r *Runtime) Assign(ctx context.Context, process string, msg Message) (*Assignment, error) {
	p, err := r.enter(ctx, process, PhaseAssign)
	if err != nil {
		return nil, err
	}
	defer r.leave(p)
	d := p.details(PhaseAssign)
	if len(msg.Data) > r.opts.MaxMessage {
		return nil, fault(http.StatusRequestEntityTooLarge, CodeTooLarge, d, nil,
			"assign to process %s: the message has %d bytes; at most %d are taken", process, len(msg.Data), r.opts.MaxMessage)
	}
	if p.device == nil {
		return nil, p.noDevice(PhaseAssign)
	}
	if err := lock(ctx, p.assigning); err != nil {
		return nil, fault(0, "", d, err, "assign to process %s", process)
	}
	a, err := p.assign(ctx, msg, d)
	unlock(p.assigning)
	if err != nil {
		return nil, err
	}
	if f := r.opts.Events.Assigned; f != nil {
		f(a)
	}
	p.rouse(false)
	return a, nil
}

// assign needs assigning.
func (p *proc) assign(ctx context.Context, msg Message, d Details) (*Assignment, error) {
	for range appendAttempts {
		if err := p.findTail(ctx); err != nil {
			return nil, storeFault(d, err, "assign to process %s: find the end of its log", p.id)
		}
		if err := p.room(); err != nil {
			return nil, err
		}
		a, chain, err := p.tail.place(p, msg, d)
		if err != nil {
			return nil, err
		}
		record := encodeAssignment(a, chain)
		// The record is this call's own, the message is the caller's.
		a.Message = record[len(record)-len(msg.Data):]
		if err := ctx.Err(); err != nil {
			return nil, fault(0, "", d, err, "assign to process %s", p.id)
		}
		// From here on the caller's patience doesn't count: an append that is
		// cut short may have happened.
		err = p.r.store.Append(context.WithoutCancel(ctx), logName(p.id), a.Slot, record)
		var conflict *store.ConflictError
		switch {
		case err == nil:
			p.tail = tail{known: true, next: a.Slot + 1, timestamp: a.Timestamp, height: a.BlockHeight, epoch: a.Epoch, chain: chain}
			p.queued(a)
			return a, nil
		case errors.As(err, &conflict):
			p.tail.known = false // another writer was faster
			continue
		}
		return p.fate(ctx, a, chain, err, d)
	}
	d.Retryable = true
	return nil, fault(http.StatusServiceUnavailable, CodeBusy, d, nil, "assign to process %s: others assign to it faster", p.id)
}

// fate finds out what became of an append that failed with err. Until that is
// known, no slot is given out.
func (p *proc) fate(ctx context.Context, a *Assignment, chain [32]byte, err error, d Details) (*Assignment, error) {
	p.tail.known = false
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if found := p.findTail(ctx); found == nil {
		if p.tail.next == a.Slot {
			d.Retryable = true
			return nil, storeFault(d, err, "assign to process %s: nothing was assigned", p.id)
		}
		stored, storedChain, found := p.r.record(ctx, p.id, a.Slot)
		switch {
		case found == nil && storedChain == chain && stored.Timestamp == a.Timestamp:
			return a, nil
		case found == nil:
			return nil, storeFault(d, err, "assign to process %s: nothing was assigned", p.id)
		}
	}
	d.Slot = slotPtr(a.Slot)
	return nil, fault(http.StatusServiceUnavailable, CodeFateUnknown, d, err,
		"assign to process %s: the store failed, and whether slot %d has the message isn't known", p.id, a.Slot)
}

// findTail reads the end of the log if it isn't known.
func (p *proc) findTail(ctx context.Context) error {
	if p.tail.known {
		return nil
	}
	next, err := p.end(ctx)
	if err != nil {
		return err
	}
	t, err := p.before(ctx, next)
	if err != nil {
		return fmt.Errorf("read the last slot: %w", err)
	}
	p.tail = t
	p.mu.Lock()
	p.assigned = max(p.assigned, next)
	p.mu.Unlock()
	return nil
}

// room returns why the process takes no more assignments, or nil.
func (p *proc) room() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	lag, depth := p.assigned-p.computed, uint64(p.r.opts.QueueDepth)
	switch {
	case lag < depth:
		return nil
	case p.diverged != nil:
		return p.diverged.refusal()
	}
	return &BusyError{Process: p.id, Lag: lag, Depth: depth}
}

// place returns the assignment of msg at the end of p's log, and the hash chain
// after it.
func (t tail) place(p *proc, msg Message, d Details) (*Assignment, [32]byte, error) {
	a := &Assignment{
		Process: p.id, Slot: t.next, Epoch: msg.Epoch, Timestamp: msg.Timestamp, BlockHeight: msg.BlockHeight,
		Message: msg.Data,
	}
	orDefault(&a.Epoch, t.epoch)
	orDefault(&a.BlockHeight, t.height)
	if a.Timestamp == 0 {
		a.Timestamp = max(p.r.opts.Clock().UnixMilli(), t.timestamp)
	} else if t.next > 0 && a.Timestamp < t.timestamp {
		return nil, t.chain, fault(http.StatusBadRequest, CodeTimestampOrder, d, nil,
			"%s process %s: timestamp %d is before %d, the one of slot %d", d.Phase, p.id, a.Timestamp, t.timestamp, t.next-1)
	}
	chain := chainNext(t.chain, msg.Data)
	a.HashChain = chainText(chain)
	return a, chain, nil
}

func (p *proc) noDevice(phase string) error {
	return fault(http.StatusNotImplemented, CodeUnknownDevice, p.details(phase), nil,
		"%s process %s: this node has no execution device %.80q", phase, p.id, p.def.Device)
}

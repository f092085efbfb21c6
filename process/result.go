package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"aorta/store"
	"aorta/vm"
)

// Result is what a slot came to.
type Result struct {
	Process string
	Slot    uint64
	// Data is the result, as the device made it: canonical bytes that depend
	// on the process's definition and log only. Not to be changed.
	Data []byte
	// Failed says that the message left no trace in the state.
	Failed bool
	// Profile is the engine profile that computed it.
	Profile string
	// Ledger is what it cost on this node. It is no part of the Hash.
	Ledger vm.Ledger

	hash store.Hash
}

// Hash identifies the result: two nodes agree on a slot iff their hashes are
// equal. It covers Failed and Data.
func (r *Result) Hash() store.Hash {
	if r.hash == (store.Hash{}) {
		return resultHash(r.Failed, r.Data)
	}
	return r.hash
}

// Result returns what an assigned slot came to, and waits until it is
// computed. A stalled process tries the slot again. A slot that isn't assigned
// is an error (404).
func (r *Runtime) Result(ctx context.Context, process string, slot uint64) (*Result, error) {
	p, err := r.enter(ctx, process, PhaseCompute)
	if err != nil {
		return nil, err
	}
	defer r.leave(p)
	d := p.details(PhaseCompute)
	d.Slot = slotPtr(slot)

	p.mu.Lock()
	if slot >= p.assigned {
		p.mu.Unlock()
		if err := p.refresh(ctx, slot, d); err != nil {
			return nil, err
		}
		p.mu.Lock()
	}
	if p.diverged != nil && slot >= p.diverged.Slot {
		err := p.diverged.refusal()
		p.mu.Unlock()
		return nil, err
	}
	if known := p.unwritten[slot]; known != nil {
		p.mu.Unlock()
		return known, nil
	}
	if slot < p.computed {
		p.mu.Unlock()
		return p.readResult(ctx, slot, d)
	}
	if p.device == nil {
		p.mu.Unlock()
		return nil, p.noDevice(PhaseCompute)
	}
	c := make(chan answer, 1)
	p.waiters[slot] = append(p.waiters[slot], c)
	p.mu.Unlock()
	p.rouse(true)
	select {
	case a := <-c:
		return a.r, a.err
	case <-ctx.Done():
		p.unwait(slot, c)
		return nil, fault(0, "", d, ctx.Err(), "wait for slot %d of process %s", slot, process)
	case <-r.open.Done():
		p.unwait(slot, c)
		return nil, closedFault(process, PhaseCompute)
	}
}

// refresh looks for slot in the log, where another node may have put it.
func (p *proc) refresh(ctx context.Context, slot uint64, d Details) error {
	end, err := p.end(ctx)
	if err != nil {
		return storeFault(d, err, "find slot %d of process %s", slot, p.id)
	}
	if slot >= end {
		return fault(http.StatusNotFound, CodeNoSlot, d, nil, "process %s has no slot %d; it has %d slots", p.id, slot, end)
	}
	p.mu.Lock()
	p.assigned = max(p.assigned, end)
	p.mu.Unlock()
	return nil
}

func (p *proc) readResult(ctx context.Context, slot uint64, d Details) (*Result, error) {
	rec, err := p.r.recorded(ctx, p.id, slot)
	if errors.Is(err, store.ErrNotFound) {
		// A crash can lose a result and keep a later one. Restoring the newest
		// state computes it again: see writer for why it can't be older.
		known, orderErr := p.recompute(ctx, slot)
		if known != nil || orderErr != nil {
			return known, orderErr
		}
		rec, err = p.r.recorded(ctx, p.id, slot)
	}
	if err == nil {
		err = p.r.fill(ctx, rec)
	}
	if err != nil {
		return nil, storeFault(d, err, "read the result of slot %d of process %s", slot, p.id)
	}
	return &rec.Result, nil
}

// recompute has the process catch up with what it had computed, and returns the
// result of slot if that isn't in the store yet.
func (p *proc) recompute(ctx context.Context, slot uint64) (*Result, error) {
	p.mu.Lock()
	known, after := p.unwritten[slot], p.computed
	p.mu.Unlock()
	if known != nil {
		return known, nil
	}
	if p.device == nil {
		return nil, p.noDevice(PhaseCompute)
	}
	if err := p.order(ctx, PhaseCompute, after, true, func(*worker) error { return nil }); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unwritten[slot], nil
}

// recorded reads a result's record; its data may be elsewhere (see fill).
func (r *Runtime) recorded(ctx context.Context, process string, slot uint64) (*storedResult, error) {
	target, err := r.store.Link(ctx, resultName(process, slot))
	if err != nil {
		return nil, err
	}
	return decodeResult(process, slot, target)
}

// fill reads the data of a result whose record doesn't hold it.
func (r *Runtime) fill(ctx context.Context, rec *storedResult) error {
	if rec.inline || rec.Data != nil {
		return nil
	}
	data, err := r.store.Value(ctx, rec.value)
	if err == nil && (uint64(len(data)) != rec.size || resultHash(rec.Failed, data) != rec.hash) {
		err = store.ErrCorrupt
	}
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("%w: the value of a result is missing", store.ErrCorrupt)
	}
	rec.Data = data
	return err
}

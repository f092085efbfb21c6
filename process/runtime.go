package process

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"aorta/store"
)

// closeGrace is how long a Close without patience still writes: what is
// computed is worth a moment, and a store that hangs isn't worth more.
const closeGrace = 5 * time.Second

// Runtime runs the processes of one store. Its methods may be called from any
// goroutine.
type Runtime struct {
	store  store.Store
	opts   Options
	seats  *residency
	writer *writer
	// turns bounds how many workers compute at once, reads how many reads.
	turns, reads chan struct{}

	// open ends when Close begins, ctx when Close runs out of patience, and
	// writing closeGrace after that.
	open, ctx, writing        context.Context
	shut, cancel, stopWriting context.CancelFunc

	queuedBytes atomic.Int64

	mu      sync.Mutex
	closed  bool
	procs   map[string]*proc
	calls   sync.WaitGroup // calls that Close waits for
	workers sync.WaitGroup
}

// Open returns the runtime of what st holds. Nothing is executed until it is
// asked for. st stays the caller's, to be closed after the runtime.
func Open(ctx context.Context, st store.Store, opts Options) (*Runtime, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	for name, d := range opts.Devices {
		if d == nil || name == "" {
			return nil, fmt.Errorf("open the runtime: device %q is not there", name)
		}
	}
	r := &Runtime{
		store: st,
		opts:  opts,
		seats: &residency{maxSeats: opts.MaxResident, maxBytes: opts.MaxResidentBytes, quantum: opts.Quantum},
		turns: make(chan struct{}, opts.Parallel),
		reads: make(chan struct{}, opts.Parallel),
		procs: make(map[string]*proc),
	}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.open, r.shut = context.WithCancel(r.ctx)
	r.writing, r.stopWriting = context.WithCancel(context.WithoutCancel(ctx))
	r.writer = newWriter(r)
	go r.writer.run(r.writing)
	return r, nil
}

// Close ends every worker: after the message that it is computing, or, once
// ctx ends, in the middle of it. Changed states are checkpointed, results
// written, machines terminated, the store synced. Whatever error it returns,
// nothing runs any more, and what is lost can be computed again. Calls that
// wait get ErrClosed; closing twice is harmless.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	again := r.closed
	r.closed = true
	r.mu.Unlock()
	if again {
		return nil
	}
	r.shut()
	stop := context.AfterFunc(ctx, func() {
		r.cancel()
		time.AfterFunc(closeGrace, r.stopWriting)
	})
	defer stop()
	r.workers.Wait()
	r.calls.Wait()
	err := r.writer.end()
	if err == nil {
		err = r.store.Sync(r.writing)
	}
	r.cancel()
	r.stopWriting()
	if err != nil {
		return storeFault(Details{Phase: PhaseCheckpoint}, err, "close the runtime: results of the last moments are not written and will be computed again")
	}
	return nil
}

// enter begins a call about a process, and loads what the store knows of it.
// The caller must leave.
func (r *Runtime) enter(ctx context.Context, id, phase string) (*proc, error) {
	p, err := r.hold(id, phase)
	if err != nil {
		return nil, err
	}
	if err := p.load(ctx, phase); err != nil {
		r.leave(p)
		return nil, err
	}
	return p, nil
}

func (r *Runtime) leave(p *proc) {
	r.release(p)
	r.calls.Done()
}

// hold begins a call about a process that may not exist.
func (r *Runtime) hold(id, phase string) (*proc, error) {
	if !validID(id) {
		return nil, fault(http.StatusBadRequest, CodeBadProcessID, Details{Phase: phase}, nil,
			"%.64q is not the id of a process: that is 43 characters of base64url", id)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, closedFault(id, phase)
	}
	p := r.procs[id]
	if p == nil {
		p = newProc(r, id)
		r.procs[id] = p
	}
	p.refs++
	r.calls.Add(1)
	return p, nil
}

// release gives up one interest in p. A process that nobody is interested in
// is forgotten if there are many, and at once if it isn't one.
func (r *Runtime) release(p *proc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.refs--
	if p.refs == 0 && (len(r.procs) > knownProcesses || !p.loaded) {
		p.forget()
		delete(r.procs, p.id)
	}
}

// retain adds an interest to one that the caller has.
func (r *Runtime) retain(p *proc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.refs++
}

func closedFault(id, phase string) error {
	return fault(http.StatusServiceUnavailable, CodeClosed, Details{Process: id, Phase: phase}, ErrClosed, "%s process %s", phase, id)
}

// forget gives back the memory that p's queue was counted for.
func (p *proc) forget() {
	for _, a := range p.queue {
		p.r.queuedBytes.Add(-int64(len(a.Message)))
	}
	p.queue = nil
}

// load reads what the store knows of p, once.
func (p *proc) load(ctx context.Context, phase string) error {
	if err := lock(ctx, p.loading); err != nil {
		return fault(0, "", Details{Process: p.id, Phase: phase}, err, "%s process %s", phase, p.id)
	}
	defer unlock(p.loading)
	if p.loaded {
		return nil
	}
	def, err := p.r.definition(ctx, p.id)
	if errors.Is(err, store.ErrNotFound) {
		return fault(http.StatusNotFound, CodeNoProcess, Details{Process: p.id, Phase: phase}, nil, "there is no process %s here", p.id)
	}
	if err == nil {
		err = p.adopt(ctx, def)
	}
	if err != nil {
		return storeFault(Details{Process: p.id, Phase: phase}, err, "%s process %s: load it", phase, p.id)
	}
	return nil
}

// adopt sets p to what the store knows of the process that def defines. It
// needs loading.
func (p *proc) adopt(ctx context.Context, def *Definition) error {
	st := p.r.store
	assigned, err := p.end(ctx)
	if err != nil {
		return err
	}
	var computed uint64
	for l, err := range st.LinksIn(ctx, resultsOf(p.id), "", true) {
		if err != nil {
			return err
		}
		slot, err := slotOf(l.Name, resultsOf(p.id))
		if err != nil {
			return err
		}
		computed = slot + 1
		break
	}
	if computed > assigned {
		return fmt.Errorf("%w: process %s has a result for slot %d, and a log of %d slots", store.ErrCorrupt, p.id, computed-1, assigned)
	}
	var linked []uint64
	for l, err := range st.LinksIn(ctx, checkpointsOf(p.id), "", false) {
		if err != nil {
			return err
		}
		next, err := slotOf(l.Name, checkpointsOf(p.id))
		if err != nil {
			return err
		}
		linked = append(linked, next)
	}
	diverged, err := p.r.loadDivergence(ctx, p.id)
	if err != nil {
		return err
	}
	p.def, p.device = def, p.r.opts.Devices[def.Device]
	if p.device != nil {
		p.profile = p.device.Profile()
	}
	p.mu.Lock()
	p.assigned, p.computed, p.linked, p.diverged = assigned, computed, linked, diverged
	p.mu.Unlock()
	p.r.mu.Lock()
	p.loaded = true
	p.r.mu.Unlock()
	return nil
}

// end returns the number of slots in p's log.
func (p *proc) end(ctx context.Context) (uint64, error) {
	last, err := p.r.store.LastSlot(ctx, logName(p.id))
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return last + 1, nil
}

// record returns the assignment of one slot, from the log.
func (r *Runtime) record(ctx context.Context, id string, slot uint64) (*Assignment, [32]byte, error) {
	for rec, err := range r.store.Records(ctx, logName(id), slot) {
		if err != nil {
			return nil, [32]byte{}, err
		}
		if rec.Slot != slot {
			break
		}
		return decodeAssignment(id, slot, rec.Data)
	}
	return nil, [32]byte{}, fmt.Errorf("slot %d of process %s: %w", slot, id, store.ErrNotFound)
}

func chainText(chain [32]byte) string { return base64.RawURLEncoding.EncodeToString(chain[:]) }

package process

import (
	"context"
	"fmt"
	"net/http"
	"sync"
)

// Read computes a message on a fork of the process's newest computed state,
// and throws the fork away: a dry run. It changes nothing, is recorded
// nowhere, and doesn't wait for assigned messages, except for the one that is
// being computed. The message sees the slot and the hash chain as they would be
// if it were assigned now.
func (r *Runtime) Read(ctx context.Context, process string, msg Message) (*Outcome, error) {
	p, err := r.enter(ctx, process, PhaseRead)
	if err != nil {
		return nil, err
	}
	defer r.leave(p)
	d := p.details(PhaseRead)
	if p.device == nil {
		return nil, p.noDevice(PhaseRead)
	}
	if len(msg.Data) > r.opts.MaxMessage {
		return nil, fault(http.StatusRequestEntityTooLarge, CodeTooLarge, d, nil,
			"read process %s: the message has %d bytes; at most %d are taken", process, len(msg.Data), r.opts.MaxMessage)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.open, cancel)()
	select {
	case r.reads <- struct{}{}:
		defer func() { <-r.reads }()
	case <-ctx.Done():
		return nil, p.ended(ctx, PhaseRead)
	}

	f, next, err := p.forked(ctx)
	if err != nil {
		return nil, err
	}
	defer p.finish(f)
	t, err := p.before(ctx, next)
	if err != nil {
		return nil, storeFault(d, err, "read process %s: read its last slot", process)
	}
	a, _, err := t.place(p, msg, d)
	if err != nil {
		return nil, err
	}
	o, err := f.compute(ctx, a)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, p.ended(ctx, PhaseRead)
	case err == nil && o == nil:
		err = fmt.Errorf("the device gave no outcome")
		fallthrough
	case err != nil:
		return nil, trouble(d, err)
	}
	return o, nil
}

// ended is the error of a call whose context ended, by itself or by Close.
func (p *proc) ended(ctx context.Context, phase string) error {
	if p.r.open.Err() != nil {
		return closedFault(p.id, phase)
	}
	return fault(0, "", p.details(phase), ctx.Err(), "%s process %s", phase, p.id)
}

// before returns the tail that the log had before slot next.
func (p *proc) before(ctx context.Context, next uint64) (tail, error) {
	t := tail{known: true, next: next, chain: chainStart(p.id)}
	if next == 0 {
		return t, nil
	}
	last, chain, err := p.r.record(ctx, p.id, next-1)
	if err != nil {
		return t, err
	}
	t.timestamp, t.height, t.epoch, t.chain = last.Timestamp, last.BlockHeight, last.Epoch, chain
	return t, nil
}

// forked returns a fork of the newest computed state, and the first slot that
// it hasn't seen. The caller terminates it.
func (p *proc) forked(ctx context.Context) (*guarded, uint64, error) {
	var (
		mu   sync.Mutex
		f    *guarded
		next uint64
		gone bool // nobody will take the fork
	)
	p.mu.Lock()
	after := p.computed
	p.mu.Unlock()
	err := p.order(ctx, PhaseRead, after, false, func(w *worker) error {
		made, err := w.exec.forkNow(w.r.ctx)
		if err != nil {
			return trouble(p.details(PhaseRead), err)
		}
		mu.Lock()
		defer mu.Unlock()
		if gone {
			p.finish(made)
			return nil
		}
		f, next = made, w.exec.next
		return nil
	})
	mu.Lock()
	defer mu.Unlock()
	if err != nil {
		gone = true
		if f != nil {
			p.finish(f)
		}
		return nil, 0, err
	}
	return f, next, nil
}

// order has the worker do something once the state has seen the slots below
// after, and waits for it. With retry, a stalled process tries its slot again
// for it.
func (p *proc) order(ctx context.Context, phase string, after uint64, retry bool, do func(*worker) error) error {
	c := &command{after: after, do: do, done: make(chan error, 1)}
	p.mu.Lock()
	if p.diverged != nil {
		err := p.diverged.refusal()
		p.mu.Unlock()
		return err
	}
	p.commands = append(p.commands, c)
	p.mu.Unlock()
	p.rouse(retry)
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
	case <-p.r.open.Done():
	}
	p.mu.Lock()
	for i := range p.commands {
		if p.commands[i] == c {
			p.commands = append(p.commands[:i], p.commands[i+1:]...)
			break
		}
	}
	p.mu.Unlock()
	return p.ended(ctx, phase)
}

// Checkpoint stores the state after every slot that is assigned now, waits
// until it is durable, and returns it.
func (r *Runtime) Checkpoint(ctx context.Context, process string) (*Checkpoint, error) {
	p, err := r.enter(ctx, process, PhaseCheckpoint)
	if err != nil {
		return nil, err
	}
	defer r.leave(p)
	if p.device == nil {
		return nil, p.noDevice(PhaseCheckpoint)
	}
	p.mu.Lock()
	after := p.assigned
	p.mu.Unlock()
	taken := make(chan *Checkpoint, 1)
	err = p.order(ctx, PhaseCheckpoint, after, true, func(w *worker) error {
		c, err := w.checkpoint(w.r.ctx)
		if err != nil {
			return trouble(p.details(PhaseCheckpoint), err)
		}
		taken <- c
		return nil
	})
	if err != nil {
		return nil, err
	}
	c := <-taken
	if err := r.writer.flush(ctx); err != nil {
		return nil, storeFault(p.details(PhaseCheckpoint), err, "checkpoint process %s: write it", process)
	}
	out := *c
	return &out, nil
}

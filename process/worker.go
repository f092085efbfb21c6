package process

import (
	"errors"
	"time"

	"aorta/store"
)

// worker is the goroutine that owns a process's machine. It lives as long as
// the process has work, or keeps its seat.
type worker struct {
	r *Runtime
	p *proc
	// wake says that there may be something to do.
	wake chan struct{}

	seat *seat
	exec *executor
	// ahead are assignments read from the log, the next one first.
	ahead []*Assignment
	// attempts counts trouble that was not followed by the success of slot
	// troubleAt or a later one.
	attempts  int
	troubleAt uint64
	// last is the checkpoint of the state before the executor's slots.
	last *Checkpoint
	// checkpointed is when the state was last stored or restored.
	checkpointed time.Time
	// retryAt is when a checkpoint may be tried again after one failed.
	retryAt time.Time
	// idleSince is when there was nothing to do any more.
	idleSince time.Time
	// turnEnds is until when the worker may compute before it lets others;
	// zero while it hasn't a turn.
	turnEnds time.Time
	timer    *time.Timer
}

// verdict is why a worker stopped serving.
type verdict int

const (
	leave    verdict = iota // the seat is wanted
	expire                  // idle for too long
	shut                    // the runtime closes
	halt                    // stalled with a broken machine
	diverged                // two results for one slot
)

func newWorker(p *proc) *worker {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &worker{r: p.r, p: p, wake: make(chan struct{}, 1), timer: t}
}

// rouse makes sure that a worker looks at p if there is something to do. With
// retry, a stalled process tries its slot again at once; without, only if it
// has rested.
func (p *proc) rouse(retry bool) {
	p.mu.Lock()
	if p.stalled != nil && (retry || time.Since(p.stalledAt) >= p.r.opts.StallRetry) {
		p.stalled = nil
	}
	w := p.worker
	var start *worker
	if w == nil && p.hasWork() {
		start = newWorker(p)
		p.worker = start
	}
	p.mu.Unlock()
	if w != nil {
		signal(w.wake)
	}
	if start != nil {
		p.r.launch(start)
	}
}

// hasWork needs mu.
func (p *proc) hasWork() bool {
	return len(p.commands) > 0 || p.diverged == nil && p.stalled == nil && p.computed < p.assigned
}

// launch starts a worker that p.worker is set to already, unless the runtime
// closes.
func (r *Runtime) launch(w *worker) bool {
	r.mu.Lock()
	closed := r.closed
	if !closed {
		r.workers.Add(1)
		w.p.refs++
	}
	r.mu.Unlock()
	if closed {
		w.p.mu.Lock()
		w.p.worker = nil
		w.p.mu.Unlock()
		w.p.answerAll(0, 0, closedFault(w.p.id, PhaseCompute))
		return false
	}
	go w.run()
	return true
}

func (w *worker) run() {
	p, r := w.p, w.r
	defer r.workers.Done()
	defer r.release(p)
	for {
		why := w.live()
		if why == shut {
			p.mu.Lock()
			p.worker = nil
			p.mu.Unlock()
			p.answerAll(0, 0, closedFault(p.id, PhaseCompute))
			return
		}
		p.mu.Lock()
		if !p.hasWork() {
			p.worker = nil
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
	}
}

// live is one stay in a seat: a machine is restored, serves, and leaves. The
// first stay of a spawned process has both already.
func (w *worker) live() verdict {
	if w.seat == nil {
		if err := w.sit(); err != nil {
			return shut
		}
	}
	why := w.serve()
	w.endTurn()
	w.vacate(why)
	return why
}

// sit waits for a seat, but not beyond the start of Close.
func (w *worker) sit() (err error) {
	w.p.mu.Lock()
	weight := w.p.footprint
	w.p.mu.Unlock()
	w.seat, err = w.r.seats.take(w.r.ctx, w.r.open, weight)
	return err
}

// serve executes what there is until the worker has a reason to leave.
func (w *worker) serve() verdict {
	for {
		if w.r.open.Err() != nil {
			return shut
		}
		if w.r.seats.overstays(w.seat) {
			return leave
		}
		if w.exec == nil || w.exec.broken != nil {
			w.drop()
			if err := w.restore(); err != nil {
				if why, ended := w.troubled(err); ended {
					return why
				}
				continue
			}
		}
		if w.obey() {
			continue
		}
		a, err := w.assignment()
		if err == nil && a == nil {
			if why, ended := w.rest(); ended {
				return why
			}
			continue
		}
		if err == nil {
			err = w.step(a)
		}
		if err == nil {
			err = w.tend()
		}
		if err != nil {
			if why, ended := w.troubled(err); ended {
				return why
			}
		}
	}
}

// obey runs a command that is due. It reports whether there was one.
func (w *worker) obey() bool {
	p := w.p
	p.mu.Lock()
	var due *command
	var refused error
	for i, c := range p.commands {
		switch {
		case p.diverged != nil:
			refused = p.diverged.refusal()
		case p.stalled != nil && c.after > p.stalledSlot:
			refused = p.stalled
		case c.after > w.exec.next:
			continue
		}
		due = c
		p.commands = append(p.commands[:i], p.commands[i+1:]...)
		break
	}
	p.mu.Unlock()
	switch {
	case due == nil:
		return false
	case refused != nil:
		due.done <- refused
	default:
		due.done <- due.do(w)
	}
	return true
}

// assignment returns the next assignment, or nil if there is none to execute.
func (w *worker) assignment() (*Assignment, error) {
	p, next := w.p, w.exec.next
	p.mu.Lock()
	idle := next >= p.assigned || p.diverged != nil || p.stalled != nil && next >= p.stalledSlot
	p.mu.Unlock()
	if idle {
		return nil, nil
	}
	for len(w.ahead) > 0 && w.ahead[0].Slot < next {
		w.ahead = w.ahead[1:]
	}
	if len(w.ahead) > 0 && w.ahead[0].Slot == next {
		a := w.ahead[0]
		w.ahead[0], w.ahead = nil, w.ahead[1:]
		return a, nil
	}
	if a := p.dequeue(next); a != nil {
		return a, nil
	}
	w.ahead = w.ahead[:0]
	bytes := 0
	for rec, err := range w.r.store.Records(w.r.ctx, logName(p.id), next) {
		if err != nil {
			return nil, err
		}
		a, _, err := decodeAssignment(p.id, rec.Slot, rec.Data)
		if err != nil {
			return nil, err
		}
		w.ahead = append(w.ahead, a)
		if bytes += len(rec.Data); bytes >= aheadBytes || len(w.ahead) >= aheadRecords {
			break
		}
	}
	if len(w.ahead) == 0 || w.ahead[0].Slot != next {
		return nil, errors.Join(store.ErrCorrupt, errors.New("the log lacks a slot that it had"))
	}
	a := w.ahead[0]
	w.ahead = w.ahead[1:]
	return a, nil
}

// step executes one slot and publishes what comes of it.
func (w *worker) step(a *Assignment) error {
	if err := w.r.writer.ready(w.r.ctx); err != nil {
		return err
	}
	if err := w.takeTurn(); err != nil {
		return err
	}
	w.idleSince = time.Time{}
	r, again, err := w.exec.apply(w.r.ctx, a)
	if f := w.r.opts.Events.RolledBack; f != nil && (err != nil || r.Failed) {
		f(w.p.id, a.Slot, again)
	}
	if err != nil {
		return err
	}
	if a.Slot >= w.troubleAt {
		w.attempts = 0
	}
	return w.publish(r)
}

// publish gives a result to those who wait for it and to the writer. A result
// that was known already must be the same.
func (w *worker) publish(r *Result) error {
	p := w.p
	p.mu.Lock()
	p.next = w.exec.next
	if r.Slot < p.computed {
		known := p.unwritten[r.Slot]
		p.mu.Unlock()
		return w.confirm(r, known)
	}
	p.computed = r.Slot + 1
	p.unwritten[r.Slot] = r
	waiting := p.waiters[r.Slot]
	delete(p.waiters, r.Slot)
	p.mu.Unlock()
	for _, c := range waiting {
		c <- answer{r: r}
	}
	if f := w.r.opts.Events.Computed; f != nil {
		f(r)
	}
	w.r.writer.put(entry{p: p, result: r})
	return nil
}

// takeTurn waits until the worker may compute.
func (w *worker) takeTurn() error {
	if !w.turnEnds.IsZero() {
		if len(w.r.turns) < cap(w.r.turns) || time.Now().Before(w.turnEnds) {
			return nil
		}
		w.endTurn()
	}
	select {
	case w.r.turns <- struct{}{}:
	default:
		select {
		case w.r.turns <- struct{}{}:
		case <-w.r.open.Done():
			return ErrClosed
		}
	}
	w.turnEnds = time.Now().Add(turn)
	return nil
}

func (w *worker) endTurn() {
	if !w.turnEnds.IsZero() {
		w.turnEnds = time.Time{}
		<-w.r.turns
	}
}

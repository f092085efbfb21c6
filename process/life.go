package process

import (
	"context"
	"errors"
	"time"

	"aorta/store"
)

// checkpointRetry is the pause after a checkpoint that failed. The process goes
// on meanwhile: its log is all it needs.
const checkpointRetry = 5 * time.Second

// restore gives the worker a machine in the newest state that can be had: of a
// checkpoint, or the one before slot 0. The slots that are missing then are
// executed again by serve.
func (w *worker) restore() error {
	p, r := w.p, w.r
	if err := w.takeTurn(); err != nil {
		return err
	}
	start := time.Now()
	g, c, err := w.normalizeNewest()
	if err != nil {
		return err
	}
	var next uint64
	if g == nil {
		if g, err = initialize(r.ctx, p.device, p.def); err != nil {
			return err
		}
	} else {
		next = c.Next
	}
	w.host(g, next, c)
	if f := r.opts.Events.Restored; f != nil {
		f(p.id, next, c != nil, time.Since(start))
	}
	return nil
}

// host takes over a machine in the state before slot next.
func (w *worker) host(g *guarded, next uint64, c *Checkpoint) {
	p := w.p
	w.exec = newExecutor(g, p.profile, w.r.opts.Mark, next)
	w.last = c
	w.ahead = nil
	w.checkpointed, w.retryAt, w.idleSince = time.Now(), time.Time{}, time.Time{}
	p.mu.Lock()
	p.resident, p.next = true, next
	p.mu.Unlock()
	w.weigh()
}

// weigh tells others what the machine takes.
func (w *worker) weigh() {
	dirty, footprint := w.exec.sizes()
	w.r.seats.weigh(w.seat, footprint)
	w.p.mu.Lock()
	w.p.dirty, w.p.footprint = dirty, footprint
	w.p.mu.Unlock()
}

// normalizeNewest restores the newest checkpoint that is good; nil if none is.
func (w *worker) normalizeNewest() (*guarded, *Checkpoint, error) {
	p, r := w.p, w.r
	p.mu.Lock()
	computed := p.computed
	recent := append([]*Checkpoint(nil), p.recent...)
	p.mu.Unlock()
	tried := make(map[uint64]bool)
	try := func(c *Checkpoint) (*guarded, error) {
		// A state beyond the known results would leave a hole in them.
		if tried[c.Next] || c.Profile != p.profile || c.Next > computed {
			return nil, nil
		}
		tried[c.Next] = true
		g, err := normalize(r.ctx, p.device, p.def, &c.Snapshot)
		if err != nil {
			if r.ctx.Err() != nil {
				return nil, r.ctx.Err()
			}
			w.refuse(c.Next, err)
			return nil, nil
		}
		return g, nil
	}
	for i := len(recent) - 1; i >= 0; i-- {
		if g, err := try(recent[i]); g != nil || err != nil {
			return g, recent[i], err
		}
	}
	for l, err := range r.store.LinksIn(r.ctx, checkpointsOf(p.id), "", true) {
		if err != nil {
			return nil, nil, err
		}
		next, err := slotOf(l.Name, checkpointsOf(p.id))
		if err != nil {
			continue
		}
		c, err := decodeCheckpoint(p.id, next, l.Target)
		if err != nil {
			w.refuse(next, err)
			continue
		}
		if g, err := try(c); g != nil || err != nil {
			return g, c, err
		}
	}
	return nil, nil, nil
}

func (w *worker) refuse(next uint64, err error) {
	w.r.opts.Logger.Warn("a checkpoint can't be used; an older one is", "process", w.p.id, "slot", next, "error", err)
	if f := w.r.opts.Events.CheckpointRefused; f != nil {
		f(w.p.id, next, err)
	}
}

// tend does what is due between two slots: a mark, a checkpoint.
func (w *worker) tend() error {
	marked, err := w.exec.tend()
	if err != nil {
		return err
	}
	if marked {
		w.weigh()
	}
	if !w.due() {
		return nil
	}
	if _, err := w.checkpoint(w.r.ctx); err != nil && w.exec.broken != nil {
		return err
	}
	return nil
}

// due reports whether the policy wants a checkpoint now.
func (w *worker) due() bool {
	e, policy := w.exec, &w.r.opts.Checkpoint
	if e.slots == 0 {
		return false
	}
	w.p.mu.Lock()
	dirty := w.p.dirty
	w.p.mu.Unlock()
	if e.slots < policy.Slots && e.fuel < policy.Fuel && dirty < policy.DirtyBytes && time.Since(w.checkpointed) < policy.Interval {
		return false
	}
	return w.retryAt.IsZero() || time.Now().After(w.retryAt)
}

// checkpoint stores the present state, unless it is stored. The link to it is
// the writer's to set.
func (w *worker) checkpoint(ctx context.Context) (*Checkpoint, error) {
	e, p, r := w.exec, w.p, w.r
	if w.last != nil && w.last.Next == e.next {
		return w.last, nil
	}
	start := time.Now()
	s, err := e.snapshot(ctx, r.store)
	if err == nil && s == nil {
		err = errors.New("the device gave no snapshot")
	}
	if err != nil {
		r.opts.Logger.Warn("a checkpoint failed; the process goes on without", "process", p.id, "slot", e.next, "error", err)
		w.retryAt = time.Now().Add(checkpointRetry)
		if e.broken == nil && len(e.batch) > 0 {
			// Where the mark is now isn't known.
			if markErr := e.remark(); markErr != nil {
				return nil, markErr
			}
		}
		return nil, err
	}
	e.settle()
	e.slots, e.fuel = 0, 0
	c := &Checkpoint{Process: p.id, Next: e.next, Snapshot: *s, Time: r.opts.Clock().UnixMilli()}
	w.last, w.checkpointed, w.retryAt = c, time.Now(), time.Time{}
	p.mu.Lock()
	if p.recent = append(p.recent, c); len(p.recent) > 2 {
		p.recent = p.recent[len(p.recent)-2:]
	}
	p.mu.Unlock()
	w.weigh()
	r.writer.put(entry{p: p, checkpoint: c})
	if f := r.opts.Events.CheckpointTaken; f != nil {
		f(*c, time.Since(start))
	}
	return c, nil
}

// rest waits for something to do. It reports true with why the worker should
// leave instead.
func (w *worker) rest() (verdict, bool) {
	w.endTurn()
	now := time.Now()
	if w.idleSince.IsZero() {
		w.idleSince = now
	}
	until := w.idleSince.Add(w.r.opts.IdleTimeout)
	if w.exec.slots > 0 {
		save := w.checkpointed.Add(w.r.opts.Checkpoint.Interval)
		if w.retryAt.After(save) {
			save = w.retryAt
		}
		if save.Before(until) {
			until = save
		}
	}
	w.r.seats.rest(w.seat)
	w.timer.Reset(until.Sub(now))
	late := false
	select {
	case <-w.wake:
	case <-w.seat.leave:
	case <-w.r.open.Done():
	case <-w.timer.C:
		late = true
	}
	w.timer.Stop()
	switch {
	case w.r.open.Err() != nil:
		return shut, true
	case !w.r.seats.resume(w.seat):
		return leave, true
	case !late:
		return 0, false
	case time.Since(w.idleSince) >= w.r.opts.IdleTimeout:
		return expire, true
	}
	if w.due() {
		// An error was logged, and a broken machine is replaced by serve.
		_, _ = w.checkpoint(w.r.ctx)
	}
	return 0, false
}

// troubled decides what follows an error: another attempt after a pause
// (false), or an end of serving (true).
func (w *worker) troubled(err error) (verdict, bool) {
	p, r := w.p, w.r
	w.endTurn()
	var d *divergedError
	if errors.As(err, &d) {
		w.quarantine(d.d)
		return diverged, true
	}
	if r.open.Err() != nil {
		return shut, true
	}
	lost := w.exec == nil || w.exec.broken != nil
	p.mu.Lock()
	slot := p.computed
	p.mu.Unlock()
	phase := PhaseRestore
	if w.exec != nil {
		slot, phase = w.exec.next, PhaseCompute
	}
	w.attempts++
	w.troubleAt = max(w.troubleAt, slot)
	details := p.details(phase)
	details.Slot = slotPtr(slot)
	placed := trouble(details, err)
	if errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrFailed) {
		placed = storeFault(details, err, "%s slot %d of process %s: the store stopped", phase, slot, p.id)
	}
	r.opts.Logger.Warn("a slot failed on this node", "process", p.id, "slot", slot, "attempt", w.attempts, "error", err)
	if f := r.opts.Events.Trouble; f != nil {
		f(p.id, slot, w.attempts, err)
	}
	if w.attempts < r.opts.Attempts {
		return w.pause()
	}
	w.attempts = 0
	p.mu.Lock()
	p.stalled, p.stalledSlot, p.stalledAt = placed, slot, time.Now()
	p.mu.Unlock()
	if f := r.opts.Events.Stalled; f != nil {
		f(p.id, slot, placed)
	}
	if lost {
		p.answerAll(0, 0, placed)
	} else {
		p.answerAll(slot, slot+1, placed)
	}
	return halt, lost
}

// pause waits before the next attempt.
func (w *worker) pause() (verdict, bool) {
	delay := w.r.opts.RetryDelay
	for range w.attempts - 1 {
		delay *= 4
	}
	w.timer.Reset(delay)
	defer w.timer.Stop()
	select {
	case <-w.timer.C:
		return 0, false
	case <-w.seat.leave:
		return leave, true
	case <-w.r.open.Done():
		return shut, true
	}
}

// vacate stores what changed, ends the machine and gives the seat back.
func (w *worker) vacate(why verdict) {
	p, r := w.p, w.r
	e := w.exec
	if e != nil && e.broken == nil && e.slots > 0 && why != diverged {
		// An error was logged; the log still has everything.
		_, _ = w.checkpoint(r.ctx)
	}
	had := e != nil
	w.drop()
	r.seats.give(w.seat)
	w.seat = nil
	if f := r.opts.Events.Evicted; f != nil && had {
		reason := map[verdict]EvictReason{
			leave: EvictedForRoom, expire: EvictedIdle, shut: EvictedClosing, halt: EvictedTrouble, diverged: EvictedDiverged,
		}[why]
		f(p.id, e.next, reason)
	}
}

// finish ends a machine of p.
func (p *proc) finish(g *guarded) {
	if err := g.terminate(); err != nil {
		p.r.opts.Logger.Error("a machine failed to end", "process", p.id, "error", err)
	}
}

// drop ends the machine, if there is one.
func (w *worker) drop() {
	if w.exec == nil {
		return
	}
	w.p.finish(w.exec.guarded)
	w.exec, w.ahead, w.last = nil, nil, nil
	w.p.mu.Lock()
	w.p.resident, w.p.dirty = false, 0
	w.p.mu.Unlock()
}

// firstMachine makes the machine of a new process, and a worker for it that
// hasn't begun. The error is placed.
func (r *Runtime) firstMachine(ctx context.Context, p *proc, device Device, def *Definition) (*worker, error) {
	d := Details{Process: def.ID, Phase: PhaseSpawn, Device: def.Device}
	s, err := r.seats.take(ctx, r.open, 0)
	if err != nil {
		return nil, fault(0, "", d, err, "spawn process %s: wait for room", def.ID)
	}
	g, err := initialize(ctx, device, def)
	if err != nil {
		r.seats.give(s)
		return nil, moduleFault(d, err)
	}
	w := newWorker(p)
	w.seat = s
	w.exec = newExecutor(g, device.Profile(), r.opts.Mark, 0)
	return w, nil
}

// abandon ends a worker that hasn't begun.
func (w *worker) abandon() {
	w.drop()
	w.r.seats.give(w.seat)
	w.seat = nil
}

// begin lets a worker of a process that was just spawned serve it.
func (w *worker) begin() {
	w.host(w.exec.guarded, 0, nil)
	w.p.mu.Lock()
	taken := w.p.worker != nil
	if !taken {
		w.p.worker = w
	}
	w.p.mu.Unlock()
	if taken || !w.r.launch(w) {
		w.abandon()
	}
}

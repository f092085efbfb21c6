package process

import (
	"context"
	"slices"
	"sync"
	"time"
)

// proc is what the runtime knows of one process while somebody is interested
// in it.
type proc struct {
	r    *Runtime
	id   string
	refs int // guarded by Runtime.mu

	// loading is held while the process is read from the store or spawned;
	// loaded, def and device are constant once loaded is set.
	loading chan struct{}
	loaded  bool
	def     *Definition
	device  Device
	profile string

	// assigning is held while an assignment is appended. It guards tail.
	assigning chan struct{}
	tail      tail

	mu sync.Mutex
	// assigned and computed: slots below are in the log, have a result.
	assigned, computed uint64
	// unwritten are results that the store may not have yet.
	unwritten map[uint64]*Result
	// queue holds assignments that wait, each the next of the one before. The
	// log has those that aren't here.
	queue    []*Assignment
	waiters  map[uint64][]chan answer
	commands []*command
	// linked are the checkpoints in the store, recent the newest in memory,
	// both oldest first.
	linked []uint64
	recent []*Checkpoint

	worker *worker
	// stalled is why nothing is computed from stalledSlot on, until somebody
	// asks or StallRetry has passed since stalledAt.
	stalled     error
	stalledSlot uint64
	stalledAt   time.Time
	diverged    *Divergence

	// What Inspect shows of the machine.
	resident         bool
	next             uint64
	dirty, footprint uint64
}

// tail is the end of a log.
type tail struct {
	known     bool
	next      uint64
	timestamp int64
	height    uint64
	epoch     uint64
	chain     [32]byte
}

// answer is what a waiter gets.
type answer struct {
	r   *Result
	err error
}

// command is something to do on the worker, between two slots, once the state
// has seen every slot below after.
type command struct {
	after uint64
	do    func(w *worker) error
	done  chan error // has room for one
}

func newProc(r *Runtime, id string) *proc {
	return &proc{
		r: r, id: id,
		loading:   make(chan struct{}, 1),
		assigning: make(chan struct{}, 1),
		unwritten: make(map[uint64]*Result),
		waiters:   make(map[uint64][]chan answer),
	}
}

// lock takes one of the locks that are held across calls to the store.
func lock(ctx context.Context, l chan struct{}) error {
	select {
	case l <- struct{}{}:
		return nil
	default:
	}
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func unlock(l chan struct{}) { <-l }

// details starts the details of an error about p.
func (p *proc) details(phase string) Details {
	d := Details{Process: p.id, Phase: phase}
	if p.def != nil {
		d.Device = p.def.Device
	}
	return d
}

// written says that the store has r now.
func (p *proc) written(r *Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unwritten[r.Slot] == r {
		delete(p.unwritten, r.Slot)
	}
}

// link adds a checkpoint to the list, and takes those off it whose links go so
// that keep are left.
func (p *proc) link(next uint64, keep int) (outdated []uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, there := slices.BinarySearch(p.linked, next); !there {
		p.linked = slices.Insert(p.linked, i, next)
	}
	if n := len(p.linked) - keep; n > 0 {
		outdated = slices.Clone(p.linked[:n])
		p.linked = slices.Delete(p.linked, 0, n)
	}
	return outdated
}

// queued hands a durable assignment to the worker.
func (p *proc) queued(a *Assignment) {
	p.mu.Lock()
	p.assigned = a.Slot + 1
	size := int64(len(a.Message))
	fits := p.r.queuedBytes.Load()+size <= maxQueued
	if n := len(p.queue); fits && (n == 0 || p.queue[n-1].Slot+1 == a.Slot) {
		p.queue = append(p.queue, a)
		p.r.queuedBytes.Add(size)
	}
	p.mu.Unlock()
}

// dequeue returns the assignment of slot if it is in memory.
func (p *proc) dequeue(slot uint64) *Assignment {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.queue) && p.queue[n].Slot <= slot {
		n++
	}
	if n == 0 {
		return nil
	}
	last := p.queue[n-1]
	for _, a := range p.queue[:n] {
		p.r.queuedBytes.Add(-int64(len(a.Message)))
	}
	clear(p.queue[:n])
	if p.queue = p.queue[n:]; len(p.queue) == 0 {
		p.queue = nil
	}
	if last.Slot != slot {
		return nil
	}
	return last
}

// answerAll answers every waiter of a slot from from on with err, and every
// command that has to come after a slot from commands on.
func (p *proc) answerAll(from, commands uint64, err error) {
	p.mu.Lock()
	var waiting []chan answer
	for slot, w := range p.waiters {
		if slot >= from {
			waiting = append(waiting, w...)
			delete(p.waiters, slot)
		}
	}
	var told, kept []*command
	for _, c := range p.commands {
		if c.after >= commands {
			told = append(told, c)
		} else {
			kept = append(kept, c)
		}
	}
	p.commands = kept
	p.mu.Unlock()
	for _, w := range waiting {
		w <- answer{err: err}
	}
	for _, c := range told {
		c.done <- err
	}
}

// unwait takes a waiter off the list.
func (p *proc) unwait(slot uint64, c chan answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := slices.DeleteFunc(p.waiters[slot], func(o chan answer) bool { return o == c })
	if len(w) == 0 {
		delete(p.waiters, slot)
		return
	}
	p.waiters[slot] = w
}

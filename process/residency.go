package process

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// residency gives out seats: the right to have a machine in memory. Who waits
// is served in order. An idle machine keeps its seat until somebody waits;
// then the one that has been idle longest is asked to leave.
type residency struct {
	maxSeats int
	maxBytes uint64
	quantum  time.Duration

	waiting atomic.Int32 // len(queue), to look at without the lock

	mu      sync.Mutex
	taken   int
	bytes   uint64 // of all seats
	leaving int    // seats that were asked for
	parting uint64 // their bytes
	idle    list.List
	queue   list.List
}

// seat is one worker's place. Its fields belong to residency.mu.
type seat struct {
	weight  uint64
	since   time.Time
	idle    *list.Element
	leaving bool
	leave   chan struct{} // closed when the seat is asked for
}

// ticket is one worker's place in the queue.
type ticket struct {
	s       *seat
	granted chan struct{}
}

// take waits for a seat for a machine of about weight bytes, until one of the
// contexts ends.
func (r *residency) take(ctx, open context.Context, weight uint64) (*seat, error) {
	s := &seat{weight: weight, leave: make(chan struct{})}
	r.mu.Lock()
	if r.queue.Len() == 0 && r.fits(s) {
		r.sit(s)
		r.mu.Unlock()
		return s, nil
	}
	t := &ticket{s: s, granted: make(chan struct{})}
	place := r.queue.PushBack(t)
	r.waiting.Add(1)
	r.reclaim()
	r.mu.Unlock()
	select {
	case <-t.granted:
		return s, nil
	case <-ctx.Done():
	case <-open.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-t.granted:
		r.rise(s)
	default:
		r.queue.Remove(place)
		r.waiting.Add(-1)
		r.grant()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, ErrClosed
}

// give returns a seat.
func (r *residency) give(s *seat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rise(s)
}

// rest says that s has nothing to do: it may be asked for.
func (r *residency) rest(s *seat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.idle == nil && !s.leaving {
		s.idle = r.idle.PushBack(s)
		r.reclaim()
	}
}

// resume says that s has something to do again. It reports false if the seat
// was asked for already.
func (r *residency) resume(s *seat) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.idle != nil {
		r.idle.Remove(s.idle)
		s.idle = nil
	}
	return !s.leaving
}

// overstays reports whether s has been busy for its quantum while others
// wait, for whom no seat has been asked for yet. If so, it is asked for now.
func (r *residency) overstays(s *seat) bool {
	if r.waiting.Load() == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.leaving {
		return true
	}
	if r.queue.Len() <= r.leaving || time.Since(s.since) < r.quantum {
		return false
	}
	r.ask(s)
	return true
}

// weigh says what the machine in s takes now.
func (r *residency) weigh(s *seat, weight uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.weight == weight {
		return
	}
	r.bytes += weight - s.weight
	if s.leaving {
		r.parting += weight - s.weight
	}
	s.weight = weight
	r.reclaim()
}

// fits, sit, rise, grant, reclaim and ask need the lock.

func (r *residency) fits(s *seat) bool {
	return r.taken == 0 || r.taken < r.maxSeats && r.bytes+s.weight <= r.maxBytes
}

func (r *residency) sit(s *seat) {
	r.taken++
	r.bytes += s.weight
	s.since = time.Now()
}

func (r *residency) rise(s *seat) {
	if s.idle != nil {
		r.idle.Remove(s.idle)
		s.idle = nil
	}
	if s.leaving {
		r.leaving--
		r.parting -= s.weight
		s.leaving = false
	}
	r.taken--
	r.bytes -= s.weight
	r.grant()
}

func (r *residency) grant() {
	for e := r.queue.Front(); e != nil; e = r.queue.Front() {
		t := e.Value.(*ticket)
		if !r.fits(t.s) {
			break
		}
		r.queue.Remove(e)
		r.waiting.Add(-1)
		r.sit(t.s)
		close(t.granted)
	}
	r.reclaim()
}

// reclaim asks idle machines to leave until those who wait will have room, and
// the bytes are within their bound.
func (r *residency) reclaim() {
	for {
		e := r.idle.Front()
		if e == nil {
			return
		}
		seats, bytes := r.taken-r.leaving, r.bytes-r.parting
		short := bytes > r.maxBytes
		if q := r.queue.Front(); q != nil {
			short = short || seats+r.queue.Len() > r.maxSeats || bytes+q.Value.(*ticket).s.weight > r.maxBytes
		}
		if !short {
			return
		}
		r.ask(e.Value.(*seat))
	}
}

func (r *residency) ask(s *seat) {
	if s.idle != nil {
		r.idle.Remove(s.idle)
		s.idle = nil
	}
	s.leaving = true
	r.leaving++
	r.parting += s.weight
	close(s.leave)
}

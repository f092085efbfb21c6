package pebble

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"aorta/store"
)

// A committer gathers what callers append while the last commit is under way.
type committer struct {
	running sync.WaitGroup // the loop
	wake    chan struct{}  // has room for one
	quit    chan struct{}

	mu      sync.Mutex
	pending []*appending

	requests sync.Pool // of *appending
}

// appending is one call of Append.
type appending struct {
	log  string
	slot uint64
	data []byte
	// taken is set by who comes first: the committer, from when on the record
	// may be written, or the caller, when its context ends.
	taken atomic.Bool
	done  chan error
}

// maxCommitBytes bounds one commit, so that one large record doesn't keep many
// small ones waiting, and memory stays small.
const maxCommitBytes = 8 << 20

func newCommitter() committer {
	return committer{
		wake:     make(chan struct{}, 1),
		quit:     make(chan struct{}),
		requests: sync.Pool{New: func() any { return &appending{done: make(chan error, 1)} }},
	}
}

// stop ends the loop. Nobody may be appending any more.
func (c *committer) stop() {
	close(c.quit)
	c.running.Wait()
}

func (c *committer) submit(a *appending) {
	c.mu.Lock()
	c.pending = append(c.pending, a)
	first := len(c.pending) == 1
	c.mu.Unlock()
	if first {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// take moves what fits in one commit to group.
func (c *committer) take(group []*appending) []*appending {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, size := 0, 0
	for n < len(c.pending) && size < maxCommitBytes {
		size += len(c.pending[n].data)
		n++
	}
	group = append(group, c.pending[:n]...)
	left := copy(c.pending, c.pending[n:])
	clear(c.pending[left:])
	c.pending = c.pending[:left]
	return group
}

// Append implements store.Logs.
func (s *Store) Append(ctx context.Context, log string, slot uint64, data []byte) error {
	leave, err := s.enterToWrite(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := checkName(log); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	if len(data) > store.MaxRecord {
		return fmt.Errorf("append to %s: a record of %d bytes is over the limit of %d", log, len(data), store.MaxRecord)
	}
	a := s.commits.requests.Get().(*appending)
	a.log, a.slot, a.data = log, slot, data
	a.taken.Store(false)
	s.commits.submit(a)
	select {
	case err = <-a.done:
	case <-ctx.Done():
		if !a.taken.Swap(true) {
			// Nothing was written, and nothing will be. The committer drops a.
			return ctx.Err()
		}
		err = <-a.done // soon
	}
	a.data = nil
	s.commits.requests.Put(a)
	return err
}

// commitLoop commits what callers append, until the store closes.
func (s *Store) commitLoop() {
	var group []*appending
	grown := make(map[string]growth)
	for {
		select {
		case <-s.commits.wake:
		case <-s.commits.quit:
			return
		}
		for {
			group = s.commits.take(group[:0])
			if len(group) == 0 {
				break
			}
			s.commit(group, grown)
			clear(group)
			clear(grown)
		}
	}
}

// commit makes the records of group durable, and answers. grown is empty.
func (s *Store) commit(group []*appending, grown map[string]growth) {
	b := s.db.NewBatch()
	defer b.Close()
	accepted := group[:0]
	for _, a := range group {
		if a.taken.Swap(true) {
			continue // the caller left
		}
		if err := s.admit(b, a, grown); err != nil {
			a.done <- err
			continue
		}
		accepted = append(accepted, a)
	}
	if len(accepted) == 0 {
		return
	}
	s.slots.begin(grown)
	err := s.write("append", func() error { return b.Commit(pebble.Sync) })
	if err == nil {
		s.slots.commit(grown)
	}
	for _, a := range accepted {
		a.done <- err
	}
}

// admit adds a record to b if it is the next of its log.
func (s *Store) admit(b *pebble.Batch, a *appending, grown map[string]growth) error {
	if err := s.failed(); err != nil {
		return err
	}
	g, ok := grown[a.log]
	if !ok {
		next, err := s.durable(a.log)
		if err != nil {
			return fmt.Errorf("append to %s: %w", a.log, err)
		}
		g = growth{next, next}
	}
	if a.slot != g.to || a.slot == math.MaxUint64 {
		have := "no slots"
		if g.to > 0 {
			have = fmt.Sprintf("slot %d as the last", g.to-1)
		}
		return &store.ConflictError{What: "log " + a.log, Have: have}
	}
	op := b.SetDeferred(1+len(a.log)+1+8, 4+len(a.data))
	copy(op.Key, recordKey(a.log, a.slot))
	encodeRecord(op.Value, op.Key, a.data)
	if err := op.Finish(); err != nil {
		return s.fail(fmt.Errorf("append: %w", err))
	}
	g.to++
	grown[a.log] = g
	return nil
}

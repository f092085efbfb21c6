package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"aorta/store"
)

// tiny makes everything be written out and rolled over all the time.
var tiny = Options{CacheBytes: 1 << 20, MemTableBytes: 64 << 10, PackBytes: 64 << 10, Workers: 2}

// A model knows what a store must have, and what it may have. Contents are made
// from names, so that they need not be remembered.
type model struct {
	mu sync.Mutex
	facts
}

// facts are what is known at one moment.
type facts struct {
	// acknowledged holds the number of acknowledged slots of each log, and
	// attempted the number of those that were ever tried.
	acknowledged, attempted map[string]uint64
	// values and chunks hold how far those got, by the number that they are
	// made from.
	values, chunks map[int]stage
	// links holds what a link may point to: the last durable target first, or
	// nothing, which is a target like others here.
	links map[string][]int
	// tokens holds the largest token given out for each lease.
	tokens map[string]uint64
}

type stage int

const (
	attempted stage = iota // may be there
	written                // is there until a crash
	durable                // is there
)

func newModel() *model {
	return &model{facts: facts{
		acknowledged: map[string]uint64{}, attempted: map[string]uint64{},
		values: map[int]stage{}, chunks: map[int]stage{},
		links: map[string][]int{}, tokens: map[string]uint64{},
	}}
}

// facts returns what is known now.
func (m *model) now() facts {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := facts{
		acknowledged: maps.Clone(m.acknowledged), attempted: maps.Clone(m.attempted),
		values: maps.Clone(m.values), chunks: maps.Clone(m.chunks),
		links: maps.Clone(m.links), tokens: maps.Clone(m.tokens),
	}
	for name, targets := range f.links {
		f.links[name] = slices.Clone(targets)
	}
	return f
}

func (m *model) note(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// content makes some bytes that no other kind and n have, half of them easy to
// compress.
func content(kind string, n, size int) []byte {
	rng := rand.New(rand.NewPCG(uint64(n), uint64(len(kind))))
	size = max(size, 12)
	out := fmt.Appendf(make([]byte, 0, size+16), "%s %d ", kind, n)
	for len(out) < size {
		out = binary.LittleEndian.AppendUint64(out, rng.Uint64()>>32)
	}
	return out[:size]
}

func modelValue(n int) []byte {
	size := []int{20, 3000, 70 << 10, 5, 150 << 10, 200}[n%6]
	return content("value", n, size)
}

func modelChunk(n int) store.Chunk {
	data := content("chunk", n, 1+n*613%9000)
	return store.Chunk{Hash: store.Sum(data), Data: data}
}

func modelRecord(log string, slot uint64) []byte {
	return content(log, int(slot), int(slot*271%1500))
}

func target(n int) []byte { return fmt.Append(nil, n) }

// nothing stands for a link that isn't there.
const nothing = -1

func (m *model) point(name string, n int) {
	if m.links[name] == nil {
		m.links[name] = []int{nothing}
	}
	m.links[name] = append(m.links[name], n)
}

// step does one thing to s, chosen by op and n, and notes what came of it. It
// returns the store's error.
func (m *model) step(ctx context.Context, s store.Store, op string, n int) error {
	switch op {
	case "append":
		return m.append(ctx, s, fmt.Sprint("log", n%3))
	case "values":
		m.note(func() {
			attempt(m.values, n)
			attempt(m.values, n+1)
		})
		_, err := s.PutValues(ctx, modelValue(n), modelValue(n+1))
		if err == nil {
			m.note(func() { m.values[n], m.values[n+1] = max(m.values[n], written), max(m.values[n+1], written) })
		}
		return err
	case "chunks":
		chunks := make([]store.Chunk, 1+n%12)
		m.note(func() {
			for i := range chunks {
				chunks[i] = modelChunk(n + i)
				attempt(m.chunks, n+i)
			}
		})
		err := s.PutChunks(ctx, chunks)
		if err == nil {
			m.note(func() {
				for i := range chunks {
					m.chunks[n+i] = max(m.chunks[n+i], written)
				}
			})
		}
		return err
	case "links":
		a, b := fmt.Sprint("link", n%4), fmt.Sprint("link", (n+1)%4)
		m.note(func() { m.point(a, n); m.point(b, n) })
		return s.SetLinks(ctx, store.Link{Name: a, Target: target(n)}, store.Link{Name: b, Target: target(n)})
	case "swap":
		return m.swap(ctx, s, fmt.Sprint("link", n%4), n)
	case "lease":
		return m.lease(ctx, s, fmt.Sprint("lease", n%2))
	case "sync":
		return m.sync(ctx, s)
	case "compact":
		return m.compact(ctx, s.(*Store))
	}
	panic("no such operation: " + op)
}

var operations = []string{"append", "append", "values", "chunks", "chunks", "links", "swap", "lease", "sync", "compact"}

func (m *model) append(ctx context.Context, s store.Store, log string) error {
	var slot uint64
	m.note(func() {
		slot = m.acknowledged[log]
		m.attempted[log] = max(m.attempted[log], slot+1)
	})
	err := s.Append(ctx, log, slot, modelRecord(log, slot))
	if err == nil {
		m.note(func() { m.acknowledged[log] = slot + 1 })
	}
	return err
}

func (m *model) swap(ctx context.Context, s store.Store, name string, n int) error {
	old, err := s.Link(ctx, name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	m.note(func() { m.point(name, n) })
	if err := s.SwapLink(ctx, name, old, target(n)); err != nil {
		return err
	}
	m.note(func() { m.links[name] = []int{n} })
	return nil
}

// compact lets go of every fifth chunk.
func (m *model) compact(ctx context.Context, s *Store) error {
	needed := map[store.Hash]bool{}
	m.note(func() {
		for n := range m.chunks {
			if n%5 == 0 {
				m.chunks[n] = attempted
			} else {
				needed[modelChunk(n).Hash] = true
			}
		}
	})
	return s.Compact(ctx, func(h store.Hash) bool { return needed[h] })
}

func (m *model) lease(ctx context.Context, s store.Store, name string) error {
	token, err := s.Acquire(ctx, name, "me")
	if err != nil {
		return err
	}
	m.note(func() { m.tokens[name] = max(m.tokens[name], token) })
	return s.Release(ctx, name, "me", token)
}

func (m *model) sync(ctx context.Context, s store.Store) error {
	before := m.now()
	if err := s.Sync(ctx); err != nil {
		return err
	}
	m.note(func() {
		for n, stage := range before.values {
			if stage == written {
				m.values[n] = durable
			}
		}
		for n, stage := range before.chunks {
			if stage == written {
				m.chunks[n] = durable
			}
		}
		for name, targets := range before.links {
			// Whatever was tried after the last of them may be there as well.
			m.links[name] = m.links[name][len(targets)-1:]
		}
	})
	return nil
}

// check compares what s has with f. What s has is what there is from now on:
// the model's facts become that.
func (m *model) check(ctx context.Context, s store.Store, f facts) error {
	m.note(func() { m.facts = f })
	for _, check := range []func(context.Context, store.Store) error{
		m.checkLogs, m.checkValues, m.checkChunks, m.checkLinks, m.checkLeases,
	} {
		if err := check(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (m *model) checkLogs(ctx context.Context, s store.Store) error {
	f := m.now()
	for log, attempted := range f.attempted {
		if err := m.checkLog(ctx, s, log, f.acknowledged[log], attempted); err != nil {
			return err
		}
	}
	return nil
}

func (m *model) checkLog(ctx context.Context, s store.Store, log string, acknowledged, attempted uint64) error {
	var have uint64
	last, err := s.LastSlot(ctx, log)
	if err == nil {
		have = last + 1
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if have < acknowledged || have > attempted {
		return fmt.Errorf("%s has %d slots; %d were acknowledged and %d attempted", log, have, acknowledged, attempted)
	}
	next := uint64(0)
	for r, err := range s.Records(ctx, log, 0) {
		if err != nil {
			return err
		}
		if r.Slot != next || !bytes.Equal(r.Data, modelRecord(log, next)) {
			return fmt.Errorf("%s: slot %d holds something else", log, r.Slot)
		}
		next++
	}
	if next != have {
		return fmt.Errorf("%s has %d records, and says %d", log, next, have)
	}
	m.note(func() { m.acknowledged[log], m.attempted[log] = have, have })
	return nil
}

func (m *model) checkValues(ctx context.Context, s store.Store) error {
	for n, stage := range m.now().values {
		v := modelValue(n)
		got, err := s.Value(ctx, store.Sum(v))
		switch {
		case errors.Is(err, store.ErrNotFound) && stage < durable:
			m.note(func() { delete(m.values, n) })
		case err != nil:
			return fmt.Errorf("value %d, stage %d: %w", n, stage, err)
		case !bytes.Equal(got, v):
			return fmt.Errorf("value %d is another", n)
		}
	}
	return nil
}

func (m *model) checkChunks(ctx context.Context, s store.Store) error {
	for n, stage := range m.now().chunks {
		c := modelChunk(n)
		has, err := s.HasChunks(ctx, []store.Hash{c.Hash})
		if err != nil {
			return err
		}
		err = s.Chunks(ctx, []store.Hash{c.Hash}, func(_ int, data []byte) error {
			if !bytes.Equal(data, c.Data) {
				return errors.New("another chunk")
			}
			return nil
		})
		switch {
		case errors.Is(err, store.ErrNotFound) && stage < durable && !has[0]:
			m.note(func() { delete(m.chunks, n) })
		case err != nil || !has[0]:
			return fmt.Errorf("chunk %d, stage %d, there %v: %w", n, stage, has[0], err)
		}
	}
	return nil
}

func (m *model) checkLinks(ctx context.Context, s store.Store) error {
	for name, targets := range m.now().links {
		got, err := s.Link(ctx, name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		i := slices.IndexFunc(targets, func(n int) bool {
			return err == nil && bytes.Equal(target(n), got) || err != nil && n == nothing
		})
		if i < 0 {
			return fmt.Errorf("%s points to %q, %v: older than what was durable, or never set; may be %v", name, got, err, targets)
		}
		m.note(func() { m.links[name] = targets[i : i+1 : i+1] })
	}
	return nil
}

func (m *model) checkLeases(ctx context.Context, s store.Store) error {
	for name, last := range m.now().tokens {
		// A crash may have come before a release.
		for _, owner := range []string{"me", "checker"} {
			token, err := s.Acquire(ctx, name, owner)
			var conflict *store.ConflictError
			if errors.As(err, &conflict) {
				continue
			}
			if err == nil && token < last {
				err = fmt.Errorf("%s gave token %d after %d", name, token, last)
			}
			if err == nil {
				err = s.Release(ctx, name, owner, token)
			}
			if err != nil {
				return err
			}
		}
		token, err := s.Acquire(ctx, name, "checker")
		if err != nil {
			return err
		}
		if token <= last {
			return fmt.Errorf("%s gave token %d after %d", name, token, last)
		}
		m.note(func() { m.tokens[name] = token })
		if err := s.Release(ctx, name, "checker", token); err != nil {
			return err
		}
	}
	return nil
}

// attempt notes that something was tried, if nothing is known of it yet.
func attempt(stages map[int]stage, n int) {
	if _, ok := stages[n]; !ok {
		stages[n] = attempted
	}
}

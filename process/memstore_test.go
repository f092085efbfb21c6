package process_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"aorta/store"
)

// memStore is a store in memory that can crash. What the contract doesn't
// promise to be durable is lost piece by piece: any of the writes since the
// last sync may have happened, and any not.
type memStore struct {
	mu      sync.Mutex
	now     *memState
	durable *memState
	pending []func(*memState)
	closed  bool

	// fail is asked before each operation, with its name; syncs counts them.
	fail  func(op string) error
	syncs int

	// fuse, if set, counts operations down to a crash; wreck is what is left.
	fuse  int
	wreck *memStore
	rng   *rand.Rand
}

type memState struct {
	values, chunks map[store.Hash][]byte
	links          map[string][]byte
	logs           map[string][][]byte
}

func newMemState() *memState {
	return &memState{
		values: map[store.Hash][]byte{}, chunks: map[store.Hash][]byte{},
		links: map[string][]byte{}, logs: map[string][][]byte{},
	}
}

func (s *memState) clone() *memState {
	c := &memState{values: maps.Clone(s.values), chunks: maps.Clone(s.chunks), links: maps.Clone(s.links), logs: map[string][][]byte{}}
	for name, log := range s.logs {
		c.logs[name] = slices.Clone(log)
	}
	return c
}

func newMemStore() *memStore { return &memStore{now: newMemState(), durable: newMemState()} }

// crash returns what a node finds after a crash, and closes s.
func (s *memStore) crash(rng *rand.Rand) *memStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wreck == nil {
		s.rng = rng
		s.burn()
	}
	return s.wreck
}

// burn needs mu.
func (s *memStore) burn() {
	s.closed = true
	left := s.durable.clone()
	for _, write := range s.pending {
		if s.rng.IntN(2) == 0 {
			write(left)
		}
	}
	s.wreck = &memStore{now: left, durable: left.clone()}
}

// light makes the store crash in the middle of the n-th operation from now: it
// happens or not, and nobody learns which.
func (s *memStore) light(n int, rng *rand.Rand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fuse, s.rng = n, rng
}

func (s *memStore) setFail(f func(op string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
}

// begin takes the lock if op may go on.
func (s *memStore) begin(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.ErrClosed
	}
	if s.fuse > 0 {
		if s.fuse--; s.fuse == 0 {
			s.burn()
			s.mu.Unlock()
			return store.ErrClosed
		}
	}
	if f := s.fail; f != nil {
		if err := f(op); err != nil {
			s.mu.Unlock()
			return err
		}
	}
	return nil
}

func (s *memStore) write(f func(*memState)) {
	f(s.now)
	s.pending = append(s.pending, f)
}

// writeThrough is for what is durable on return. A crash that comes right after
// it keeps the caller from learning that it happened.
func (s *memStore) writeThrough(f func(*memState)) error {
	f(s.now)
	f(s.durable)
	if s.fuse == 1 {
		s.burn()
		return store.ErrClosed
	}
	return nil
}

func (s *memStore) PutValues(ctx context.Context, values ...[]byte) ([]store.Hash, error) {
	if err := s.begin(ctx, "PutValues"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	hashes := make([]store.Hash, len(values))
	for i, v := range values {
		h, v := store.Sum(v), slices.Clone(v)
		hashes[i] = h
		s.write(func(m *memState) { m.values[h] = v })
	}
	return hashes, nil
}

func (s *memStore) Value(ctx context.Context, h store.Hash) ([]byte, error) {
	if err := s.begin(ctx, "Value"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	v, ok := s.now.values[h]
	if !ok {
		return nil, store.ErrNotFound
	}
	return slices.Clone(v), nil
}

func (s *memStore) PutChunks(ctx context.Context, chunks []store.Chunk) error {
	if err := s.begin(ctx, "PutChunks"); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for _, c := range chunks {
		data := slices.Clone(c.Data)
		s.write(func(m *memState) { m.chunks[c.Hash] = data })
	}
	return nil
}

func (s *memStore) Chunks(ctx context.Context, hashes []store.Hash, f func(int, []byte) error) error {
	for i, h := range hashes {
		if err := s.begin(ctx, "Chunks"); err != nil {
			return err
		}
		data, ok := s.now.chunks[h]
		s.mu.Unlock()
		switch {
		case !ok:
			return store.ErrNotFound
		case store.Sum(data) != h:
			return store.ErrCorrupt
		}
		if err := f(i, data); err != nil {
			return err
		}
	}
	return nil
}

func (s *memStore) HasChunks(ctx context.Context, hashes []store.Hash) ([]bool, error) {
	if err := s.begin(ctx, "HasChunks"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	has := make([]bool, len(hashes))
	for i, h := range hashes {
		_, has[i] = s.now.chunks[h]
	}
	return has, nil
}

func (s *memStore) SetLinks(ctx context.Context, links ...store.Link) error {
	if err := s.begin(ctx, "SetLinks"); err != nil {
		return err
	}
	defer s.mu.Unlock()
	own := make([]store.Link, len(links))
	for i, l := range links {
		if len(l.Target) > store.MaxLink {
			return fmt.Errorf("link %s has %d bytes", l.Name, len(l.Target))
		}
		own[i] = store.Link{Name: l.Name, Target: slices.Clone(l.Target)}
	}
	s.write(func(m *memState) {
		for _, l := range own {
			if l.Target == nil {
				delete(m.links, l.Name)
			} else {
				m.links[l.Name] = l.Target
			}
		}
	})
	return nil
}

func (s *memStore) SwapLink(ctx context.Context, name string, old, target []byte) error {
	if err := s.begin(ctx, "SwapLink"); err != nil {
		return err
	}
	defer s.mu.Unlock()
	have, ok := s.now.links[name]
	if ok != (old != nil) || string(have) != string(old) {
		return &store.ConflictError{What: name, Have: fmt.Sprintf("%x", have)}
	}
	own := slices.Clone(target)
	return s.writeThrough(func(m *memState) { m.links[name] = own })
}

func (s *memStore) Link(ctx context.Context, name string) ([]byte, error) {
	if err := s.begin(ctx, "Link"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	target, ok := s.now.links[name]
	if !ok {
		return nil, store.ErrNotFound
	}
	return slices.Clone(target), nil
}

func (s *memStore) LinksIn(ctx context.Context, prefix, from string, reverse bool) iter.Seq2[store.Link, error] {
	return func(yield func(store.Link, error) bool) {
		if err := s.begin(ctx, "LinksIn"); err != nil {
			yield(store.Link{}, err)
			return
		}
		var links []store.Link
		for name, target := range s.now.links {
			in := strings.HasPrefix(name, prefix)
			if in && from != "" {
				in = reverse && name <= from || !reverse && name >= from
			}
			if in {
				links = append(links, store.Link{Name: name, Target: slices.Clone(target)})
			}
		}
		s.mu.Unlock()
		slices.SortFunc(links, func(a, b store.Link) int { return strings.Compare(a.Name, b.Name) })
		if reverse {
			slices.Reverse(links)
		}
		for _, l := range links {
			if !yield(l, nil) {
				return
			}
		}
	}
}

func (s *memStore) Append(ctx context.Context, log string, slot uint64, data []byte) error {
	if err := s.begin(ctx, "Append"); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if n := len(s.now.logs[log]); uint64(n) != slot {
		return &store.ConflictError{What: log, Have: fmt.Sprintf("%d slots", n)}
	}
	own := slices.Clone(data)
	return s.writeThrough(func(m *memState) { m.logs[log] = append(m.logs[log], own) })
}

func (s *memStore) LastSlot(ctx context.Context, log string) (uint64, error) {
	if err := s.begin(ctx, "LastSlot"); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	n := len(s.now.logs[log])
	if n == 0 {
		return 0, store.ErrNotFound
	}
	return uint64(n - 1), nil
}

func (s *memStore) Records(ctx context.Context, log string, from uint64) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		if err := s.begin(ctx, "Records"); err != nil {
			yield(store.Record{}, err)
			return
		}
		records := slices.Clone(s.now.logs[log])
		s.mu.Unlock()
		for slot := from; slot < uint64(len(records)); slot++ {
			if !yield(store.Record{Slot: slot, Data: slices.Clone(records[slot])}, nil) {
				return
			}
		}
	}
}

func (s *memStore) Logs(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := s.begin(ctx, "Logs"); err != nil {
			yield("", err)
			return
		}
		names := slices.Sorted(maps.Keys(s.now.logs))
		s.mu.Unlock()
		for _, name := range names {
			if strings.HasPrefix(name, prefix) && !yield(name, nil) {
				return
			}
		}
	}
}

func (s *memStore) Acquire(context.Context, string, string) (uint64, error) { return 1, nil }

func (s *memStore) Release(context.Context, string, string, uint64) error { return nil }

func (s *memStore) Sync(ctx context.Context) error {
	if err := s.begin(ctx, "Sync"); err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.syncs++
	for _, write := range s.pending {
		write(s.durable)
	}
	s.pending = nil
	return nil
}

func (s *memStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

var _ store.Store = (*memStore)(nil)

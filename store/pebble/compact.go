package pebble

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"aorta/store"
)

// moving is the state of Compact.
type moving struct {
	one sync.Mutex // one Compact at a time

	mu sync.Mutex
	// kept is nil unless Compact runs, and then gets the chunks that were put
	// since it began, whether or not they were there.
	kept map[store.Hash]struct{}
}

// keepAlive tells a Compact that chunks are needed.
func (s *Store) keepAlive(chunks []store.Chunk) {
	s.moving.mu.Lock()
	defer s.moving.mu.Unlock()
	if s.moving.kept == nil {
		return
	}
	for _, c := range chunks {
		s.moving.kept[c.Hash] = struct{}{}
	}
}

func (s *Store) watch(on bool) {
	s.moving.mu.Lock()
	defer s.moving.mu.Unlock()
	if s.moving.kept = nil; on {
		s.moving.kept = make(map[store.Hash]struct{})
	}
}

func (s *Store) isKept(h store.Hash) bool {
	s.moving.mu.Lock()
	defer s.moving.mu.Unlock()
	_, ok := s.moving.kept[h]
	return ok
}

// Compact forgets the chunks that keep denies, and then writes anew what is
// left of packs of which less than half is in use, and removes those. keep
// must know of every chunk that is needed at the time of the call; those that
// are put, again or for the first time, while Compact runs are safe. Values
// are never forgotten.
func (s *Store) Compact(ctx context.Context, keep func(store.Hash) bool) error {
	leave, err := s.enterToWrite(ctx)
	if err != nil {
		return err
	}
	defer leave()
	s.moving.one.Lock()
	defer s.moving.one.Unlock()
	s.watch(true)
	defer s.watch(false)
	if err := s.backlog.drain(ctx); err != nil {
		return err
	}

	// From here on, whatever is put goes to a pack that isn't looked at, or
	// is known to keepAlive; and whatever was put before is in the index.
	s.reuse.Lock()
	s.packs.turn()
	old := s.packs.sizes()
	s.reuse.Unlock()

	c := compaction{s: s, ctx: ctx, used: make(map[uint32]int64)}
	if err = c.forget(keep); err == nil {
		err = c.sparse(old)
	}
	if err == nil {
		err = c.empty(old)
	}
	if err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	return nil
}

// turn makes the next write begin a new pack.
func (p *packs) turn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil {
		p.current.full = true
		p.touch(p.current)
		p.current = nil
	}
}

// A compaction is one call of Compact.
type compaction struct {
	s   *Store
	ctx context.Context
	// used is about how many bytes of each pack somebody needs.
	used map[uint32]int64
}

// some is how many entries of the index are changed at once. Who writes waits
// that long.
const some = 256

// An entry is a chunk or a large value, and what the index says of it.
type entry struct {
	key, value []byte
	pack       uint32
}

func (e entry) hash() store.Hash { return store.Hash(e.key[1:]) }

// scan calls f with some entries of a kind at a time.
func (c *compaction) scan(kind byte, f func([]entry) error) error {
	prefix := []byte{kind}
	from := prefix
	for from != nil {
		if err := c.s.going(c.ctx); err != nil {
			return err
		}
		entries, next, err := c.page(from, end(prefix))
		if err != nil {
			return err
		}
		if err := f(entries); err != nil {
			return err
		}
		from = next
	}
	return nil
}

// page returns entries of the index, and the key after the last, which is nil
// at the end.
func (c *compaction) page(from, to []byte) (entries []entry, next []byte, err error) {
	it, err := c.s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, nil, readError(err)
	}
	defer func() { err = errors.Join(err, readError(it.Close())) }()
	for ok := it.First(); ok; ok = it.Next() {
		if len(entries) == some {
			return entries, slices.Clone(it.Key()), nil
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return nil, nil, readError(err)
		}
		e := entry{key: slices.Clone(it.Key()), value: slices.Clone(v)}
		if len(e.key) != 1+len(store.Hash{}) || len(v) < 4 {
			return nil, nil, damaged("an entry of the index")
		}
		e.pack = packOf(v)
		entries = append(entries, e)
	}
	return entries, nil, readError(it.Error())
}

// forget removes the chunks that nobody needs from the index, and adds up what
// is used.
func (c *compaction) forget(keep func(store.Hash) bool) error {
	err := c.scan(keyChunk, func(entries []entry) error {
		var gone []entry
		for _, e := range entries {
			l, err := decodeLocation(e.value)
			if err != nil {
				return err
			}
			if !keep(e.hash()) {
				gone = append(gone, e)
			} else {
				// Its part of a frame that saves as much as others do.
				c.used[e.pack] += int64(l.length)
			}
		}
		return c.discard(gone)
	})
	if err != nil {
		return err
	}
	return c.scan(keyLarge, func(entries []entry) error {
		for _, e := range entries {
			r, err := decodeRun(e.value)
			if err != nil {
				return err
			}
			c.used[e.pack] += int64(r.length)
		}
		return nil
	})
}

// discard takes chunks out of the index that nobody has put meanwhile.
func (c *compaction) discard(gone []entry) error {
	if len(gone) == 0 {
		return nil
	}
	c.s.reuse.Lock()
	defer c.s.reuse.Unlock()
	b := c.s.db.NewBatch()
	defer b.Close()
	n := 0
	for _, e := range gone {
		if c.s.isKept(e.hash()) {
			c.used[e.pack] += store.MaxChunk // err on the safe side
			continue
		}
		n++
		if err := b.Delete(e.key, nil); err != nil {
			return err
		}
	}
	if n == 0 {
		return nil
	}
	if err := count(b, keyChunk, -n); err != nil {
		return err
	}
	return c.s.write("forget chunks", func() error { return b.Commit(pebble.NoSync) })
}

// sparse takes the packs out of old of which half or more is used.
func (c *compaction) sparse(old map[uint32]int64) error {
	for _, number := range slices.Collect(maps.Keys(old)) {
		if err := c.s.going(c.ctx); err != nil {
			return err
		}
		raw, err := c.s.packs.rawBytes(number, old[number])
		if err != nil {
			return plain(err)
		}
		if raw > 0 && 2*c.used[number] >= raw {
			delete(old, number)
		}
	}
	return nil
}

// rawBytes returns how much there is in a pack, unpacked.
func (p *packs) rawBytes(number uint32, length int64) (int64, error) {
	f, err := p.files.acquire(number)
	if err != nil {
		return 0, err
	}
	defer p.files.release(f)
	var total int64
	header := make([]byte, frameHeader)
	for at := int64(packHeader); at < length; {
		n, err := readAt(f, header, at)
		if err != nil {
			return 0, err
		}
		size, err := frameLength(header[:n])
		if err != nil {
			return total, nil // the rest can't be told
		}
		total += rawLength(header)
		at += int64(size)
	}
	return total, nil
}

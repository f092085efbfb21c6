package pebble

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"aorta/store"
)

// known answers, for most chunks that aren't stored, that they aren't, without
// asking the database: there, a look for something new costs several µs in
// each of the newest 100,000 entries' skip list, and a checkpoint of 300
// pages would pay that 300 times.
//
// It is a series of Bloom filters, each twice as large as the one before,
// that chunks are added to as they are stored. Those that were there at the
// start are added by a scan of the index that begins with the first write;
// until it is done, known knows nothing.
type known struct {
	filters  atomic.Pointer[[]*filter] // the last one gets what is added
	complete atomic.Bool
	started  sync.Once
	scan     sync.WaitGroup

	mu    sync.Mutex // held to add a filter
	count atomic.Int64
}

const (
	firstFilter = 1 << 17 // chunks; at 2 bytes each, 256 KiB
	// maxFilters makes 64 MiB in all, enough for 33 million chunks: 128 GiB of
	// pages. With more of them the database is asked about each.
	maxFilters = 8
)

// begin scans the index, once.
func (k *known) begin(s *Store) {
	k.started.Do(func() {
		filters := []*filter{newFilter(firstFilter)}
		k.filters.Store(&filters)
		k.scan.Go(func() {
			if err := k.addAll(s); err != nil && s.failed() == nil && !s.gate.closing.Load() {
				s.logger.Error("the index of chunks can't be read; writing goes on, but slower", "error", err)
			}
		})
	})
}

// stop waits for the scan, which ends when the store closes.
func (k *known) stop() { k.scan.Wait() }

func (k *known) addAll(s *Store) error {
	prefix := []byte{keyChunk}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: end(prefix)})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if err := s.going(context.Background()); err != nil {
			return err
		}
		if key := it.Key(); len(key) == 1+len(store.Hash{}) {
			k.add(store.Hash(key[1:]))
		}
	}
	if err := it.Error(); err != nil {
		return err
	}
	k.complete.Store(true)
	return nil
}

func (k *known) add(h store.Hash) {
	filters := *k.filters.Load()
	n := k.count.Add(1)
	if last := filters[len(filters)-1]; n > last.until {
		filters = k.grow(n)
	}
	filters[len(filters)-1].add(h)
}

func (k *known) grow(n int64) []*filter {
	k.mu.Lock()
	defer k.mu.Unlock()
	filters := *k.filters.Load()
	last := filters[len(filters)-1]
	if n <= last.until || len(filters) == maxFilters {
		return filters
	}
	size := int64(firstFilter) << len(filters)
	next := newFilter(size)
	next.until = last.until + size
	filters = append(filters[:len(filters):len(filters)], next)
	k.filters.Store(&filters)
	return filters
}

// lacks reports whether a chunk is certainly not stored.
func (k *known) lacks(h store.Hash) bool {
	if !k.complete.Load() {
		return false
	}
	for _, f := range *k.filters.Load() {
		if f.has(h) {
			return false
		}
	}
	return true
}

// A filter is a Bloom filter whose bits for one hash are in one cache line:
// eight words, one bit in each. What it is asked about is evenly distributed
// already, being SHA-256, so its bytes are the hash functions. With 16 bits
// for each chunk, some 0.2 % are taken for stored that aren't.
type filter struct {
	until int64 // how many chunks there are in all when it is full
	words []atomic.Uint64
}

const lineWords = 8

func newFilter(chunks int64) *filter {
	return &filter{until: chunks, words: make([]atomic.Uint64, chunks*16/64)}
}

func (f *filter) line(h store.Hash) []atomic.Uint64 {
	lines := uint64(len(f.words) / lineWords)
	i := binary.LittleEndian.Uint64(h[:]) % lines * lineWords
	return f.words[i : i+lineWords]
}

func (f *filter) add(h store.Hash) {
	for i, line := 0, f.line(h); i < lineWords; i++ {
		line[i].Or(1 << (h[8+i] % 64))
	}
}

func (f *filter) has(h store.Hash) bool {
	for i, line := 0, f.line(h); i < lineWords; i++ {
		if line[i].Load()&(1<<(h[8+i]%64)) == 0 {
			return false
		}
	}
	return true
}

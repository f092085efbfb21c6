package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"aorta/store"
)

// The first byte of a key says what it is.
const (
	keyValue = 'v' // + hash: a value
	keyChunk = 'c' // + hash: where a chunk is, see packs.go
	keyLink  = 'l' // + name: a link's target
	keyLog   = 'g' // + name + 0 + slot (8 bytes): a record, see logs.go
	keyLease = 'e' // + name: a lease, see leases.go
)

func key(kind byte, name string) []byte { return append([]byte{kind}, name...) }

func hashKey(kind byte, h store.Hash) []byte { return append([]byte{kind}, h[:]...) }

// PutValues implements store.Values.
func (s *Store) PutValues(ctx context.Context, values ...[]byte) ([]store.Hash, error) {
	done, err := s.enter(ctx, true)
	if err != nil {
		return nil, err
	}
	defer done()
	hashes := make([]store.Hash, len(values))
	b := s.db.NewBatch()
	defer b.Close()
	for i, v := range values {
		hashes[i] = store.Sum(v)
		k := hashKey(keyValue, hashes[i])
		if len(v) > large {
			// Large values are worth a look whether they are there.
			if _, c, err := s.db.Get(k); err == nil {
				c.Close()
				continue
			}
		}
		if err := b.Set(k, v, nil); err != nil {
			return nil, fmt.Errorf("put values: %w", err)
		}
	}
	if b.Empty() {
		return hashes, nil
	}
	return hashes, s.write("put values", func() error { return b.Commit(pebble.NoSync) })
}

// large is the size in bytes from which storing a value twice costs more than
// looking for it.
const large = 4 << 10

// Value implements store.Values.
func (s *Store) Value(ctx context.Context, h store.Hash) ([]byte, error) {
	done, err := s.enter(ctx, false)
	if err != nil {
		return nil, err
	}
	defer done()
	v, err := s.get(hashKey(keyValue, h))
	if err != nil {
		return nil, fmt.Errorf("value %s: %w", h, err)
	}
	if store.Sum(v) != h {
		return nil, fmt.Errorf("value %s: %w", h, store.ErrCorrupt)
	}
	return v, nil
}

// get returns a copy of what is under k.
func (s *Store) get(k []byte) ([]byte, error) {
	v, c, err := s.db.Get(k)
	if err != nil {
		return nil, readError(err)
	}
	defer c.Close()
	return bytes.Clone(v), nil
}

func readError(err error) error {
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return store.ErrNotFound
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("%w: %w", store.ErrCorrupt, plain(err))
	}
	return plain(err)
}

// Sync implements store.Store.
func (s *Store) Sync(ctx context.Context) error {
	done, err := s.enter(ctx, true)
	if err != nil {
		return err
	}
	defer done()
	return s.write("sync", func() error {
		if err := s.packs.sync(); err != nil {
			return err
		}
		return s.db.LogData(nil, pebble.Sync)
	})
}

package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"aorta/store"
)

// A record is stored as a CRC-32C of key and data, 4 bytes, then the data.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func logPrefix(log string) []byte { return append(key(keyLog, log), 0) }

func recordKey(log string, slot uint64) []byte {
	return binary.BigEndian.AppendUint64(logPrefix(log), slot)
}

func checksum(k, data []byte) uint32 {
	return crc32.Update(crc32.Checksum(k, castagnoli), castagnoli, data)
}

func encodeRecord(k, data []byte) []byte {
	out := make([]byte, 4, 4+len(data))
	binary.BigEndian.PutUint32(out, checksum(k, data))
	return append(out, data...)
}

// decodeRecord returns the data in a stored record.
func decodeRecord(k, v []byte) ([]byte, error) {
	if len(v) < 4 || binary.BigEndian.Uint32(v) != checksum(k, v[4:]) {
		return nil, store.ErrCorrupt
	}
	return bytes.Clone(v[4:]), nil
}

type appendRequest struct {
	log  string
	slot uint64
	data []byte
	err  chan error
}

// Append implements store.Logs.
func (s *Store) Append(ctx context.Context, log string, slot uint64, data []byte) error {
	done, err := s.enter(ctx, true)
	if err != nil {
		return err
	}
	defer done()
	if err := checkName(log); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	r := &appendRequest{log: log, slot: slot, data: data, err: make(chan error, 1)}
	select {
	case s.appends <- r:
	case <-ctx.Done():
		return ctx.Err()
	}
	// From here on the record may be written whatever the context says, and
	// data is in use: there is no leaving early.
	return <-r.err
}

// maxCommit bounds one commit, in records and in bytes.
const (
	maxCommit      = 4096
	maxCommitBytes = 8 << 20
)

// commitLoop commits what callers append until the store closes.
func (s *Store) commitLoop() {
	for first := range s.appends {
		group, size := []*appendRequest{first}, len(first.data)
	gather:
		for len(group) < maxCommit && size < maxCommitBytes {
			select {
			case r, ok := <-s.appends:
				if !ok {
					break gather
				}
				group, size = append(group, r), size+len(r.data)
			default:
				break gather
			}
		}
		s.commit(group)
	}
}

func (s *Store) commit(group []*appendRequest) {
	b := s.db.NewBatch()
	defer b.Close()
	pending := make(map[string]uint64, len(group))
	var accepted []*appendRequest
	for _, r := range group {
		if err := s.admit(b, r, pending); err != nil {
			r.err <- err
			continue
		}
		accepted = append(accepted, r)
	}
	if len(accepted) == 0 {
		return
	}
	err := s.write("append", func() error { return b.Commit(pebble.Sync) })
	for _, r := range accepted {
		if err == nil {
			s.lasts.set(r.log, r.slot)
		} else {
			s.lasts.forget(r.log)
		}
		r.err <- err
	}
}

func (s *Store) admit(b *pebble.Batch, r *appendRequest, pending map[string]uint64) error {
	if f := s.failed.Load(); f != nil {
		return *f
	}
	last, ok := pending[r.log]
	if !ok {
		var err error
		last, err = s.lastSlot(r.log)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("append to %s: %w", r.log, err)
		}
		ok = err == nil
	}
	switch {
	case !ok && r.slot != 0:
		return &store.ConflictError{What: "log " + r.log, Have: "nothing"}
	case ok && r.slot != last+1:
		return &store.ConflictError{What: "log " + r.log, Have: fmt.Sprintf("slot %d", last)}
	}
	k := recordKey(r.log, r.slot)
	if err := b.Set(k, encodeRecord(k, r.data), nil); err != nil {
		return fmt.Errorf("append to %s: %w", r.log, err)
	}
	pending[r.log] = r.slot
	return nil
}

// LastSlot implements store.Logs.
func (s *Store) LastSlot(ctx context.Context, log string) (uint64, error) {
	done, err := s.enter(ctx, false)
	if err != nil {
		return 0, err
	}
	defer done()
	slot, err := s.lastSlot(log)
	if err != nil {
		return 0, fmt.Errorf("log %s: %w", log, err)
	}
	return slot, nil
}

func (s *Store) lastSlot(log string) (uint64, error) {
	if slot, ok := s.lasts.get(log); ok {
		return slot, nil
	}
	prefix := logPrefix(log)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: end(prefix)})
	if err != nil {
		return 0, readError(err)
	}
	defer it.Close()
	if !it.Last() {
		if err := it.Error(); err != nil {
			return 0, readError(err)
		}
		return 0, store.ErrNotFound
	}
	k := it.Key()
	if len(k) != len(prefix)+8 {
		return 0, store.ErrCorrupt
	}
	return binary.BigEndian.Uint64(k[len(prefix):]), nil
}

// Records implements store.Logs.
func (s *Store) Records(ctx context.Context, log string, from uint64) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		done, err := s.enter(ctx, false)
		if err != nil {
			yield(store.Record{}, err)
			return
		}
		defer done()
		prefix := logPrefix(log)
		it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: recordKey(log, from), UpperBound: end(prefix)})
		if err != nil {
			yield(store.Record{}, readError(err))
			return
		}
		defer it.Close()
		for ok := it.First(); ok; ok = it.Next() {
			if err := ctx.Err(); err != nil {
				yield(store.Record{}, err)
				return
			}
			v, err := it.ValueAndErr()
			var data []byte
			if err == nil {
				data, err = decodeRecord(it.Key(), v)
			}
			k := it.Key()
			if err == nil && len(k) != len(prefix)+8 {
				err = store.ErrCorrupt
			}
			if err != nil {
				yield(store.Record{}, fmt.Errorf("log %s: %w", log, readError(err)))
				return
			}
			if !yield(store.Record{Slot: binary.BigEndian.Uint64(k[len(prefix):]), Data: data}, nil) {
				return
			}
		}
		if err := it.Error(); err != nil {
			yield(store.Record{}, fmt.Errorf("log %s: %w", log, readError(err)))
		}
	}
}

// Logs implements store.Logs.
func (s *Store) Logs(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		done, err := s.enter(ctx, false)
		if err != nil {
			yield("", err)
			return
		}
		defer done()
		lower := key(keyLog, prefix)
		it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: end(lower)})
		if err != nil {
			yield("", readError(err))
			return
		}
		defer it.Close()
		for ok := it.First(); ok; {
			name, _, found := bytes.Cut(it.Key()[1:], []byte{0})
			if !found {
				yield("", store.ErrCorrupt)
				return
			}
			log := string(name)
			if !yield(log, nil) {
				return
			}
			ok = it.SeekGE(end(logPrefix(log)))
		}
		if err := it.Error(); err != nil {
			yield("", readError(err))
		}
	}
}

// lastSlots remembers the last slot of logs that were written lately.
type lastSlots struct {
	mu    sync.Mutex
	slots map[string]uint64
}

// maxLasts bounds what is remembered; the worst that forgetting costs is a read.
const maxLasts = 1 << 16

func newLastSlots() *lastSlots { return &lastSlots{slots: make(map[string]uint64)} }

func (l *lastSlots) get(log string) (uint64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slot, ok := l.slots[log]
	return slot, ok
}

func (l *lastSlots) set(log string, slot uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.slots) >= maxLasts {
		clear(l.slots)
	}
	l.slots[log] = slot
}

func (l *lastSlots) forget(log string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.slots, log)
}

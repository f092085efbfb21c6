package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"aorta/store"
)

// A record is stored under its log's name, a zero byte (names have none) and
// its slot, as a CRC-32C of key and data, 4 bytes, then the data.
//
// Pebble shows a record before it is durable. Readers must not see it that
// early, or they would tell others of what a crash may still take back; so
// they read no further than slots (slots.go) says.

func logPrefix(log string) []byte { return append(key(keyLog, log), 0) }

func recordKey(log string, slot uint64) []byte {
	return binary.BigEndian.AppendUint64(logPrefix(log), slot)
}

func recordChecksum(k, data []byte) uint32 {
	return crc32.Update(crc32.Checksum(k, castagnoli), castagnoli, data)
}

// encodeRecord writes a record to dst, which has 4 bytes more than data.
func encodeRecord(dst, k, data []byte) {
	binary.BigEndian.PutUint32(dst, recordChecksum(k, data))
	copy(dst[4:], data)
}

// decodeRecord returns the data in a stored record, as a part of v.
func decodeRecord(k, v []byte) ([]byte, error) {
	if len(v) < 4 || binary.BigEndian.Uint32(v) != recordChecksum(k, v[4:]) {
		return nil, damaged("the checksum of a record is wrong")
	}
	return v[4:], nil
}

// LastSlot implements store.Logs.
func (s *Store) LastSlot(ctx context.Context, log string) (uint64, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	next, err := s.durable(log)
	if err == nil && next == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return 0, fmt.Errorf("log %s: %w", log, err)
	}
	return next - 1, nil
}

// durable returns how many slots of a log are durable.
func (s *Store) durable(log string) (uint64, error) {
	if next, ok := s.slots.durable(log); ok {
		return next, nil
	}
	it, err := s.logIterator(log, 0)
	if err != nil {
		return 0, err
	}
	// What became visible before the iterator was made, and isn't durable
	// now, slots knows of.
	next, ok := s.slots.durable(log)
	if !ok {
		next, err = slotAfter(it, log)
	}
	return next, errors.Join(err, readError(it.Close()))
}

func (s *Store) logIterator(log string, from uint64) (*pebble.Iterator, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: recordKey(log, from), UpperBound: end(logPrefix(log))})
	return it, readError(err)
}

// slotAfter returns the slot after the last one that it finds.
func slotAfter(it *pebble.Iterator, log string) (uint64, error) {
	if !it.Last() {
		return 0, readError(it.Error())
	}
	slot, err := slotOf(it.Key(), log)
	return slot + 1, err
}

func slotOf(k []byte, log string) (uint64, error) {
	// The kind, the name, a zero byte and the slot.
	if len(k) != 1+len(log)+1+8 {
		return 0, damaged("the key of a record")
	}
	slot := binary.BigEndian.Uint64(k[len(k)-8:])
	if slot == math.MaxUint64 {
		return 0, damaged("the key of a record")
	}
	return slot, nil
}

// Records are read some at a time, so that a slow loop over a long log holds
// neither files nor the store's Close.
const (
	maxReadRecords = 256
	maxReadBytes   = 4 << 20
)

// Records implements store.Logs.
func (s *Store) Records(ctx context.Context, log string, from uint64) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		next, err := s.firstRecords(ctx, log, from)
		for slot := from; err == nil && slot < next; {
			var records []store.Record
			records, err = s.someRecords(ctx, log, slot, next)
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
			}
			slot += uint64(len(records))
		}
		if err != nil {
			yield(store.Record{}, fmt.Errorf("log %s: %w", log, err))
		}
	}
}

// firstRecords returns where a loop over a log that begins now ends.
func (s *Store) firstRecords(ctx context.Context, log string, from uint64) (next uint64, err error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	return s.durable(log)
}

// someRecords returns records from slot from on, at least one, but none from
// slot to on. Records before an error are returned with it.
func (s *Store) someRecords(ctx context.Context, log string, from, to uint64) (records []store.Record, err error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	it, err := s.logIterator(log, from)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, readError(it.Close())) }()
	size := 0
	for ok := it.First(); ok; ok = it.Next() {
		r, err := recordAt(it, log, from)
		if err != nil {
			return records, err
		}
		records = append(records, r)
		from++
		size += len(r.Data)
		if from == to || len(records) == maxReadRecords || size >= maxReadBytes {
			return records, nil
		}
	}
	if err := it.Error(); err != nil {
		return records, readError(err)
	}
	return records, damaged(fmt.Sprintf("slot %d is missing", from))
}

// recordAt returns the record that it stands at, which is to be in slot.
func recordAt(it *pebble.Iterator, log string, slot uint64) (store.Record, error) {
	have, err := slotOf(it.Key(), log)
	if err != nil {
		return store.Record{}, err
	}
	if have != slot {
		return store.Record{}, damaged(fmt.Sprintf("slot %d is missing", slot))
	}
	v, err := it.ValueAndErr()
	if err != nil {
		return store.Record{}, readError(err)
	}
	data, err := decodeRecord(it.Key(), v)
	if err != nil {
		return store.Record{}, fmt.Errorf("slot %d: %w", slot, err)
	}
	return store.Record{Slot: slot, Data: append(make([]byte, 0, len(data)), data...)}, nil
}

// Logs implements store.Logs.
func (s *Store) Logs(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		leave, err := s.enter(ctx)
		if err != nil {
			yield("", err)
			return
		}
		defer leave()
		lower := key(keyLog, prefix)
		it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: end(lower)})
		if err != nil {
			yield("", readError(err))
			return
		}
		defer it.Close()
		for ok := it.First(); ok; {
			name, _, found := bytes.Cut(it.Key()[1:], []byte{0})
			err := s.going(ctx)
			if err == nil && !found {
				err = damaged("the key of a record")
			}
			if err != nil {
				yield("", err)
				return
			}
			log := string(name)
			// A log whose first record isn't durable isn't there yet.
			if next, known := s.slots.durable(log); (!known || next > 0) && !yield(log, nil) {
				return
			}
			ok = it.SeekGE(end(logPrefix(log)))
		}
		if err := it.Error(); err != nil {
			yield("", readError(err))
		}
	}
}

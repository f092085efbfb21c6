package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"aorta/store"
)

// maxInline is the largest value that is kept in the database, in bytes. A
// larger one would be copied through its log, its tables and every compaction;
// it goes into a pack.
const maxInline = 64 << 10

// PutValues implements store.Values.
func (s *Store) PutValues(ctx context.Context, values ...[]byte) ([]store.Hash, error) {
	leave, err := s.enterToWrite(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, v := range values {
		if len(v) > store.MaxValue {
			return nil, fmt.Errorf("put values: a value of %d bytes is over the limit of %d", len(v), store.MaxValue)
		}
	}
	s.reuse.RLock()
	defer s.reuse.RUnlock()
	hashes := make([]store.Hash, len(values))
	b := s.db.NewBatch()
	defer b.Close()
	small := 0
	var large []placement
	for i, v := range values {
		hashes[i] = store.Sum(v)
		there, err := s.hasValue(hashes[i], len(v))
		if err != nil {
			return nil, fmt.Errorf("put value %s: %w", hashes[i], err)
		}
		if there {
			continue
		}
		if len(v) <= maxInline {
			small++
			err = b.Set(hashKey(keyValue, hashes[i]), v, nil)
		} else {
			err = s.write("put large value", func() error {
				p, err := s.placeLarge(hashes[i], v)
				large = append(large, p)
				return err
			})
		}
		if err != nil {
			return nil, err
		}
	}
	return hashes, s.write("put values", func() error { return s.commitValues(b, small, large) })
}

// commitValues commits b, which has some small values in it, together with
// where large ones are.
func (s *Store) commitValues(b *pebble.Batch, small int, large []placement) error {
	fresh := small
	if len(large) > 0 {
		s.placing.Lock()
		defer s.placing.Unlock()
	}
	for _, p := range large {
		// Others may have put it since, and it may be durable.
		_, err := s.locateLarge(store.Hash(p.key[1:]))
		switch {
		case err == nil:
			continue
		case !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt):
			return err
		}
		fresh++
		if err := b.Set(p.key, p.value, nil); err != nil {
			return err
		}
	}
	if fresh == 0 {
		return nil
	}
	if err := count(b, keyValue, fresh); err != nil {
		return err
	}
	return b.Commit(pebble.NoSync)
}

func (s *Store) hasValue(h store.Hash, length int) (bool, error) {
	if length <= maxInline {
		return s.has(hashKey(keyValue, h))
	}
	_, err := s.locateLarge(h)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) {
		return false, nil
	}
	return err == nil, err
}

// Value implements store.Values.
func (s *Store) Value(ctx context.Context, h store.Hash) ([]byte, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	v, err := s.get(hashKey(keyValue, h))
	if errors.Is(err, store.ErrNotFound) {
		v, err = s.large(h)
	}
	if err == nil && store.Sum(v) != h {
		err = store.ErrCorrupt
	}
	if err != nil {
		return nil, fmt.Errorf("value %s: %w", h, err)
	}
	return v, nil
}

// A run is where a large value is: in frames one after another. The index
// holds it under the value's hash, as four numbers of 4 bytes.
type run struct {
	pack   uint32
	offset uint32
	size   uint32 // of the frames, as they are in the pack
	length uint32 // of the value
}

func (r run) encode() []byte {
	var out []byte
	for _, n := range [...]uint32{r.pack, r.offset, r.size, r.length} {
		out = binary.BigEndian.AppendUint32(out, n)
	}
	return out
}

func decodeRun(v []byte) (run, error) {
	if len(v) != 16 {
		return run{}, damaged("the location of a value")
	}
	u := binary.BigEndian.Uint32
	r := run{u(v), u(v[4:]), u(v[8:]), u(v[12:])}
	if r.length > store.MaxValue || int64(r.size) > 2*store.MaxValue {
		return run{}, damaged("the location of a value")
	}
	return r, nil
}

func (r run) frame() frameID { return frameID{r.pack, r.offset} }

// locateLarge returns where a large value is: store.ErrNotFound if it isn't,
// or if a crash took it, or store.ErrCorrupt if it was found damaged.
func (s *Store) locateLarge(h store.Hash) (run, error) {
	r, err := s.lookUpLarge(h)
	for err == nil && !s.packs.holds(r.pack, int64(r.offset)+int64(r.size)) {
		was := r // as in locate
		if r, err = s.lookUpLarge(h); err == nil && r == was {
			return run{}, store.ErrNotFound
		}
	}
	if err == nil && s.suspects.has(r.frame()) {
		return run{}, store.ErrCorrupt
	}
	return r, err
}

// lookUpLarge returns what the index says of a large value.
func (s *Store) lookUpLarge(h store.Hash) (run, error) {
	v, err := s.get(hashKey(keyLarge, h))
	if err != nil {
		return run{}, err
	}
	return decodeRun(v)
}

// placeLarge writes a large value to a pack, and returns where it is.
func (s *Store) placeLarge(h store.Hash, v []byte) (placement, error) {
	frames := make([][]byte, (len(v)+valueFrame-1)/valueFrame)
	s.workers.each(len(frames), func(i int) {
		frames[i] = appendFrame(nil, v[i*valueFrame:min((i+1)*valueFrame, len(v))])
	})
	r := run{length: uint32(len(v))}
	for _, f := range frames {
		r.size += uint32(len(f))
	}
	number, at, err := s.packs.append(frames...)
	r.pack, r.offset = number, uint32(at)
	return placement{hashKey(keyLarge, h), r.encode()}, err
}

// large reads a large value.
func (s *Store) large(h store.Hash) ([]byte, error) {
	r, err := s.locateLarge(h)
	if err != nil {
		return nil, err
	}
	v, err := s.readRun(r)
	for n := 0; n < maxMoves && errors.Is(err, errPackGone); n++ {
		// A compaction moved it just now.
		if r, err = s.locateLarge(h); err == nil {
			v, err = s.readRun(r)
		}
	}
	if err == nil && store.Sum(v) != h {
		err = store.ErrCorrupt
	}
	if errors.Is(err, store.ErrCorrupt) {
		s.suspects.add(r.frame())
	}
	return v, plain(err)
}

func (s *Store) readRun(r run) ([]byte, error) {
	packed, err := s.packs.read(r.pack, int64(r.offset), int(r.size))
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, r.length)
	for len(packed) > 0 {
		n, err := frameLength(packed)
		if err == nil && n > len(packed) {
			err = damaged("a frame is cut short")
		}
		if err != nil {
			return nil, err
		}
		raw, err := decodeFrame(out[len(out):], packed[:n])
		if err != nil {
			return nil, err
		}
		if len(out)+len(raw) > int(r.length) {
			return nil, damaged("a value is longer than the index says")
		}
		out = append(out, raw...) // onto itself, mostly
		packed = packed[n:]
	}
	if len(out) != int(r.length) {
		return nil, damaged("a value is shorter than the index says")
	}
	return out, nil
}

// read returns n bytes of a pack.
func (p *packs) read(number uint32, at int64, n int) ([]byte, error) {
	f, err := p.files.acquire(number)
	if err != nil {
		return nil, err
	}
	defer p.files.release(f)
	buf := make([]byte, n)
	got, err := readAt(f, buf, at)
	if err == nil && got < n {
		err = damaged("a pack is cut short")
	}
	return buf, err
}

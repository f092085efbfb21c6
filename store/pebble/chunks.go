package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"aorta/store"
)

// What is durable stays so: an entry of the index never comes to point to a
// copy that isn't durable, in place of one that may be. Whoever stores
// something looks again, when nobody else can come between, whether it is
// there; and whoever moves something syncs it first.

// location says where a chunk is. The index holds it under the chunk's hash,
// as five numbers of 4 bytes.
type location struct {
	pack   uint32
	offset uint32 // of the frame in the pack
	size   uint32 // of the frame, as it is in the pack
	start  uint32 // of the chunk in what the frame holds
	length uint32 // of the chunk
}

const locationSize = 20

func (l location) encode(dst []byte) {
	for i, n := range [...]uint32{l.pack, l.offset, l.size, l.start, l.length} {
		binary.BigEndian.PutUint32(dst[4*i:], n)
	}
}

func decodeLocation(v []byte) (location, error) {
	if len(v) != locationSize {
		return location{}, damaged("the location of a chunk")
	}
	var n [5]uint32
	for i := range n {
		n[i] = binary.BigEndian.Uint32(v[4*i:])
	}
	l := location{n[0], n[1], n[2], n[3], n[4]}
	if l.size < frameHeader || int64(l.size) > int64(maxEncoded(maxFrame)) || l.length > store.MaxChunk || l.start > maxFrame {
		return location{}, damaged("the location of a chunk")
	}
	return l, nil
}

// packOf returns the pack that an entry of the index speaks of.
func packOf(v []byte) uint32 { return binary.BigEndian.Uint32(v) }

// locate returns where a chunk is: store.ErrNotFound if it isn't, or if a
// crash took it.
func (s *Store) locate(h store.Hash) (location, error) {
	l, err := s.lookUp(h)
	for err == nil && !s.packs.holds(l.pack, int64(l.offset)+int64(l.size)) {
		// The pack may have been removed after the index was read; then the
		// index says something else by now.
		was := l
		if l, err = s.lookUp(h); err == nil && l == was {
			return location{}, store.ErrNotFound
		}
	}
	return l, err
}

// lookUp returns what the index says of a chunk.
func (s *Store) lookUp(h store.Hash) (location, error) {
	var k [1 + len(h)]byte
	k[0] = keyChunk
	copy(k[1:], h[:])
	v, c, err := s.db.Get(k[:])
	if err != nil {
		return location{}, readError(err)
	}
	l, err := decodeLocation(v)
	return l, errors.Join(err, c.Close())
}

// stored reports whether a chunk is there and, as far as is known, whole.
func (s *Store) stored(h store.Hash) (bool, error) {
	if s.known.lacks(h) {
		return false, nil
	}
	l, err := s.locate(h)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && !s.suspects.has(l.frame()), err
}

// HasChunks implements store.Chunks.
func (s *Store) HasChunks(ctx context.Context, hashes []store.Hash) ([]bool, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	// First the backlog: what leaves it is in the index by then.
	waiting, _ := s.backlog.waits(hashes)
	out := make([]bool, len(hashes))
	for i, h := range hashes {
		if _, out[i] = waiting[i]; out[i] {
			continue
		}
		if out[i], err = s.stored(h); err != nil {
			return nil, fmt.Errorf("chunk %s: %w", h, err)
		}
	}
	return out, nil
}

// PutChunks implements store.Chunks.
func (s *Store) PutChunks(ctx context.Context, chunks []store.Chunk) error {
	leave, err := s.enterToWrite(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for _, c := range chunks {
		if len(c.Data) > store.MaxChunk {
			return fmt.Errorf("put chunks: a chunk of %d bytes is over the limit of %d", len(c.Data), store.MaxChunk)
		}
	}
	s.known.begin(s)
	if err := s.backlog.room(ctx); err != nil {
		return err
	}
	s.reuse.RLock()
	defer s.reuse.RUnlock()
	s.keepAlive(chunks)
	fresh, asOf, err := s.fresh(chunks)
	if err == nil && len(fresh) > 0 {
		err = s.backlog.put(fresh, asOf, s.stored)
	}
	if err != nil {
		return fmt.Errorf("put chunks: %w", err)
	}
	// The packer may have found out meanwhile that the disk is broken.
	return s.failed()
}

// fresh returns a copy of those of chunks that aren't there yet, each once, as
// of when the packer had packed asOf deliveries.
func (s *Store) fresh(chunks []store.Chunk) (fresh []store.Chunk, asOf uint64, err error) {
	hashes := make([]store.Hash, len(chunks))
	for i, c := range chunks {
		hashes[i] = c.Hash
	}
	waiting, asOf := s.backlog.waits(hashes)
	seen := make(map[store.Hash]struct{}, len(chunks))
	fresh = make([]store.Chunk, 0, len(chunks))
	size := 0
	for i, c := range chunks {
		if _, waits := waiting[i]; waits {
			continue
		}
		if _, twice := seen[c.Hash]; twice {
			continue
		}
		seen[c.Hash] = struct{}{}
		there, err := s.stored(c.Hash)
		if err != nil && !errors.Is(err, store.ErrCorrupt) {
			return nil, 0, fmt.Errorf("chunk %s: %w", c.Hash, err)
		}
		if !there {
			fresh = append(fresh, c)
			size += len(c.Data)
		}
	}
	copies := make([]byte, 0, size)
	for i, c := range fresh {
		from := len(copies)
		copies = append(copies, c.Data...)
		fresh[i].Data = copies[from:len(copies):len(copies)]
		s.known.add(c.Hash)
	}
	return fresh, asOf, nil
}

// A frameOfChunks is some chunks that go into one frame.
type frameOfChunks struct {
	chunks  []store.Chunk
	scratch *scratch // holds the frame, after pack
}

// divide cuts chunks into frames.
func divide(chunks []store.Chunk) []frameOfChunks {
	var frames []frameOfChunks
	for first, i, size := 0, 0, 0; i < len(chunks); i++ {
		size += len(chunks[i].Data)
		if i+1 == len(chunks) || size+len(chunks[i+1].Data) > chunkFrame {
			frames = append(frames, frameOfChunks{chunks: chunks[first : i+1]})
			first, size = i+1, 0
		}
	}
	return frames
}

// pack makes the frame, in sc.
func (f *frameOfChunks) pack(sc *scratch) {
	sc.raw = sc.raw[:0]
	for _, c := range f.chunks {
		sc.raw = append(sc.raw, c.Data...)
	}
	sc.packed = appendFrame(sc.packed[:0], sc.raw)
	f.scratch = sc
}

// A placement is where something in a pack is, as the index is to say it.
type placement struct {
	key, value []byte
}

// placeFrames writes frames to a pack, and returns where the chunks are.
func (s *Store) placeFrames(frames []frameOfChunks) ([]placement, error) {
	packed := make([][]byte, len(frames))
	n := 0
	for i, f := range frames {
		packed[i] = f.scratch.packed
		n += len(f.chunks)
	}
	number, at, err := s.packs.append(packed...)
	if err != nil {
		return nil, err
	}
	const keySize = 1 + len(store.Hash{})
	buf := make([]byte, n*(keySize+locationSize))
	placed := make([]placement, 0, n)
	for _, f := range frames {
		l := location{pack: number, offset: uint32(at), size: uint32(len(f.scratch.packed))}
		for _, c := range f.chunks {
			l.length = uint32(len(c.Data))
			p := placement{buf[:keySize:keySize], buf[keySize : keySize+locationSize]}
			buf = buf[keySize+locationSize:]
			p.key[0] = keyChunk
			copy(p.key[1:], c.Hash[:])
			l.encode(p.value)
			placed = append(placed, p)
			l.start += l.length
		}
		at += int64(len(f.scratch.packed))
	}
	return placed, nil
}

// putFrames writes frames of new chunks to a pack, and then where they are to
// the index.
func (s *Store) putFrames(frames []frameOfChunks) error {
	placed, err := s.placeFrames(frames)
	if err != nil {
		return err
	}
	b := s.db.NewBatchWithSize((len(placed) + 1) * (locationSize + 40))
	defer b.Close()
	for _, p := range placed {
		if err := b.Set(p.key, p.value, nil); err != nil {
			return err
		}
	}
	if err := count(b, keyChunk, len(placed)); err != nil {
		return err
	}
	return b.Commit(pebble.NoSync)
}

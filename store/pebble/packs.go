package pebble

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/klauspost/compress/s2"

	"aorta/store"
)

// A pack is a file of frames. A frame is some chunks, one after another,
// compressed together:
//
//	"AFR1"  compressed length  length  CRC-32C of the compressed bytes  compressed bytes (S2)
//
// all numbers in 4 bytes, big-endian. Packs have numbers for names, and are
// only ever appended to; each opening of the store begins a new one. The index
// in the database says of each chunk in which frame it is, and where in it.
// Since a frame is written before its index, and both are checked on reading,
// a crash can lose chunks that weren't synced but never return wrong ones.
const (
	frameMagic  = "AFR1"
	frameHeader = 16
	// frameBytes is about how much goes into a frame: large enough to
	// compress well, small enough that reading one chunk costs little.
	frameBytes = 128 << 10
	// maxFrame bounds what a damaged header can ask for, in bytes.
	maxFrame = frameBytes + store.MaxChunk
)

// location says where a chunk is.
type location struct {
	pack   uint32
	offset uint64 // of the frame in the pack
	start  uint32 // in the uncompressed frame
	length uint32
}

func (l location) encode() []byte {
	out := binary.BigEndian.AppendUint32(nil, l.pack)
	out = binary.BigEndian.AppendUint64(out, l.offset)
	out = binary.BigEndian.AppendUint32(out, l.start)
	return binary.BigEndian.AppendUint32(out, l.length)
}

func decodeLocation(v []byte) (location, error) {
	if len(v) != 20 {
		return location{}, store.ErrCorrupt
	}
	l := location{binary.BigEndian.Uint32(v), binary.BigEndian.Uint64(v[4:]), binary.BigEndian.Uint32(v[12:]), binary.BigEndian.Uint32(v[16:])}
	if l.length > store.MaxChunk || l.start > maxFrame {
		return location{}, store.ErrCorrupt
	}
	return l, nil
}

type packs struct {
	s       *Store
	dir     string
	maxSize int64

	mu      sync.Mutex
	writing vfs.File // nil until the first write
	number  uint32   // of the pack being written, or the last there is
	size    int64
	dirty   []vfs.File // written since the last sync, the one being written last
	open    map[uint32]vfs.File
}

func openPacks(s *Store, dir string, maxSize int64) (*packs, error) {
	p := &packs{s: s, dir: dir, maxSize: maxSize, open: make(map[uint32]vfs.File)}
	names, err := s.fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list packs: %w", plain(err))
	}
	for _, n := range names {
		if number, err := strconv.ParseUint(strings.TrimSuffix(n, ".pack"), 10, 32); err == nil {
			p.number = max(p.number, uint32(number))
		}
	}
	return p, nil
}

func (p *packs) path(number uint32) string {
	return p.s.fs.PathJoin(p.dir, fmt.Sprintf("%08d.pack", number))
}

// PutChunks implements store.Chunks.
func (s *Store) PutChunks(ctx context.Context, chunks []store.Chunk) error {
	done, err := s.enter(ctx, true)
	if err != nil {
		return err
	}
	defer done()
	frames, err := build(chunks)
	if err != nil {
		return err
	}
	var blob []byte
	for i := range frames {
		frames[i].at = int64(len(blob))
		blob = append(blob, frames[i].bytes...)
	}
	return s.write("put chunks", func() error {
		number, base, err := s.packs.append(blob)
		if err != nil {
			return err
		}
		b := s.db.NewBatchWithSize(len(chunks) * 64)
		defer b.Close()
		for _, f := range frames {
			for _, c := range f.chunks {
				c.location.pack, c.location.offset = number, uint64(base+f.at)
				if err := b.Set(hashKey(keyChunk, c.hash), c.location.encode(), nil); err != nil {
					return err
				}
			}
		}
		return b.Commit(pebble.NoSync)
	})
}

type placed struct {
	hash     store.Hash
	location location
}

type frame struct {
	chunks []placed
	bytes  []byte
	at     int64
}

// build makes frames of chunks, compressing on as many processors as are
// worth it.
func build(chunks []store.Chunk) ([]frame, error) {
	var frames []frame
	var raws [][]byte
	for _, c := range chunks {
		if len(c.Data) > store.MaxChunk {
			return nil, fmt.Errorf("put chunks: a chunk of %d bytes is over the limit of %d", len(c.Data), store.MaxChunk)
		}
		last := len(frames) - 1
		if last < 0 || len(raws[last])+len(c.Data) > frameBytes {
			frames, raws = append(frames, frame{}), append(raws, make([]byte, 0, frameBytes))
			last++
		}
		frames[last].chunks = append(frames[last].chunks, placed{c.Hash, location{start: uint32(len(raws[last])), length: uint32(len(c.Data))}})
		raws[last] = append(raws[last], c.Data...)
	}
	var wg sync.WaitGroup
	const workers = 2
	for w := range min(workers, len(frames)) {
		work := func() {
			for i := w; i < len(frames); i += workers {
				frames[i].bytes = encodeFrame(raws[i])
			}
		}
		if w == 0 && len(frames) > 1 {
			wg.Go(work)
		} else {
			work()
		}
	}
	wg.Wait()
	return frames, nil
}

func encodeFrame(raw []byte) []byte {
	out := make([]byte, frameHeader, frameHeader+s2.MaxEncodedLen(len(raw)))
	body := s2.Encode(out[frameHeader:cap(out)], raw)
	copy(out, frameMagic)
	binary.BigEndian.PutUint32(out[4:], uint32(len(body)))
	binary.BigEndian.PutUint32(out[8:], uint32(len(raw)))
	binary.BigEndian.PutUint32(out[12:], crc32.Checksum(body, castagnoli))
	return out[:frameHeader+len(body)]
}

// frameLength reads a frame's header and returns how many bytes follow it.
func frameLength(header []byte) (int, error) {
	if len(header) < frameHeader || string(header[:4]) != frameMagic {
		return 0, store.ErrCorrupt
	}
	n := binary.BigEndian.Uint32(header[4:])
	if int64(n) > int64(s2.MaxEncodedLen(maxFrame)) || binary.BigEndian.Uint32(header[8:]) > maxFrame {
		return 0, store.ErrCorrupt
	}
	return int(n), nil
}

// decodeFrame returns the chunks in a whole frame.
func decodeFrame(data []byte) ([]byte, error) {
	n, err := frameLength(data)
	if err != nil {
		return nil, err
	}
	body := data[frameHeader:]
	if len(body) != n || crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(data[12:]) {
		return nil, store.ErrCorrupt
	}
	length := binary.BigEndian.Uint32(data[8:])
	if have, err := s2.DecodedLen(body); err != nil || have != int(length) {
		return nil, store.ErrCorrupt
	}
	raw, err := s2.Decode(nil, body)
	if err != nil {
		return nil, store.ErrCorrupt
	}
	return raw, nil
}

// append writes data to the current pack and returns where it begins.
func (p *packs) append(data []byte) (number uint32, at int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writing == nil || p.size > 0 && p.size+int64(len(data)) > p.maxSize {
		f, err := p.s.fs.Create(p.path(p.number+1), vfs.WriteCategoryUnspecified)
		if err != nil {
			return 0, 0, err
		}
		if err := p.s.syncDir(p.dir); err != nil {
			return 0, 0, errors.Join(err, f.Close())
		}
		if p.writing != nil && !slices.Contains(p.dirty, p.writing) {
			if err := p.writing.Close(); err != nil {
				return 0, 0, errors.Join(err, f.Close())
			}
		}
		p.writing, p.size = f, 0
		p.number++
	}
	at = p.size
	n, err := p.writing.Write(data)
	p.size += int64(n)
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return 0, 0, err
	}
	if !slices.Contains(p.dirty, p.writing) {
		p.dirty = append(p.dirty, p.writing)
	}
	return p.number, at, nil
}

func (p *packs) sync() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.dirty) > 0 {
		f := p.dirty[0]
		if err := f.Sync(); err != nil {
			return err
		}
		if f != p.writing {
			if err := f.Close(); err != nil {
				return err
			}
		}
		p.dirty = p.dirty[1:]
	}
	return nil
}

func (p *packs) close() error {
	err := error(nil)
	if p.s.failed.Load() == nil {
		err = p.sync()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.dirty {
		if f != p.writing {
			_ = f.Close()
		}
	}
	if p.writing != nil {
		err = errors.Join(err, p.writing.Close())
	}
	for _, f := range p.open {
		err = errors.Join(err, f.Close())
	}
	return err
}

func (p *packs) reading(number uint32) (vfs.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f, ok := p.open[number]; ok {
		return f, nil
	}
	f, err := p.s.fs.Open(p.path(number), vfs.RandomReadsOption)
	if errors.Is(err, os.ErrNotExist) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, plain(err)
	}
	p.open[number] = f
	return f, nil
}

// wanted is a chunk to read.
type wanted struct {
	i int // its index in the request
	location
}

// Chunks implements store.Chunks.
func (s *Store) Chunks(ctx context.Context, hashes []store.Hash, f func(i int, data []byte) error) error {
	done, err := s.enter(ctx, false)
	if err != nil {
		return err
	}
	defer done()
	list := make([]wanted, 0, len(hashes))
	for i, h := range hashes {
		l, err := s.locate(h)
		if err != nil {
			return fmt.Errorf("chunk %s: %w", h, err)
		}
		list = append(list, wanted{i, l})
	}
	slices.SortFunc(list, func(a, b wanted) int {
		return cmp.Or(cmp.Compare(a.pack, b.pack), cmp.Compare(a.offset, b.offset), cmp.Compare(a.start, b.start))
	})
	for len(list) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := 1
		for n < len(list) && list[n].pack == list[0].pack && list[n].offset == list[0].offset {
			n++
		}
		raw, err := s.packs.read(list[0].pack, int64(list[0].offset))
		if err != nil {
			return fmt.Errorf("chunk %s: %w", hashes[list[0].i], err)
		}
		for _, w := range list[:n] {
			if uint64(w.start)+uint64(w.length) > uint64(len(raw)) {
				return fmt.Errorf("chunk %s: %w", hashes[w.i], store.ErrCorrupt)
			}
			data := raw[w.start : w.start+w.length : w.start+w.length]
			if store.Sum(data) != hashes[w.i] {
				return fmt.Errorf("chunk %s: %w", hashes[w.i], store.ErrCorrupt)
			}
			if err := f(w.i, data); err != nil {
				return err
			}
		}
		list = list[n:]
	}
	return nil
}

// read returns the uncompressed frame at an offset of a pack.
func (p *packs) read(number uint32, at int64) ([]byte, error) {
	f, err := p.reading(number)
	if err != nil {
		return nil, err
	}
	// One read gets most frames whole.
	buf := make([]byte, frameHeader+frameBytes/2)
	n, err := f.ReadAt(buf, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, plain(err)
	}
	buf = buf[:n]
	length, err := frameLength(buf)
	if err != nil {
		return nil, err
	}
	if want := frameHeader + length; want <= n {
		buf = buf[:want]
	} else {
		buf = append(buf, make([]byte, want-n)...)
		if m, err := f.ReadAt(buf[n:], at+int64(n)); m < want-n {
			if err != nil && !errors.Is(err, io.EOF) {
				return nil, plain(err)
			}
			return nil, store.ErrCorrupt
		}
	}
	return decodeFrame(buf)
}

func (s *Store) locate(h store.Hash) (location, error) {
	v, c, err := s.db.Get(hashKey(keyChunk, h))
	if err != nil {
		return location{}, readError(err)
	}
	defer c.Close()
	return decodeLocation(v)
}

// HasChunks implements store.Chunks.
func (s *Store) HasChunks(ctx context.Context, hashes []store.Hash) ([]bool, error) {
	done, err := s.enter(ctx, false)
	if err != nil {
		return nil, err
	}
	defer done()
	out := make([]bool, len(hashes))
	for i, h := range hashes {
		_, err := s.locate(h)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("chunk %s: %w", h, err)
		}
		out[i] = err == nil
	}
	return out, nil
}

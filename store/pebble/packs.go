package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A pack is a file of frames, named by its number, that is only ever appended
// to. It begins with
//
//	0   "AORTAPK1"
//	8   its number, in 4 bytes, big-endian
//	12  CRC-32C of bytes 0 to 12
//
// The database holds a mark of each pack: how many of its bytes were synced,
// and whether it is sealed, which is when nothing will be written to it any
// more. After a crash, a pack that isn't sealed is read from its mark on, and
// sealed where the first frame isn't whole. What the index says of bytes
// beyond the seal is of chunks that the crash took, and counts for nothing.
// That is why writing always goes on in a new pack after opening: the numbers
// beyond a seal never get a new meaning.
const (
	packMagic  = "AORTAPK1"
	packHeader = 16
	packSuffix = ".pack"
)

func encodePackHeader(number uint32) []byte {
	out := binary.BigEndian.AppendUint32([]byte(packMagic), number)
	return binary.BigEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
}

func checkPackHeader(data []byte, number uint32) error {
	if len(data) < packHeader || string(data[:packHeader]) != string(encodePackHeader(number)) {
		return damaged("a pack doesn't begin as one")
	}
	return nil
}

// A mark is what the database says of a pack.
type mark struct {
	number uint32
	length int64 // bytes that are whole and synced
	sealed bool
}

func (m mark) key() []byte { return binary.BigEndian.AppendUint32([]byte{keyPack}, m.number) }

func (m mark) encode() []byte {
	sealed := byte(0)
	if m.sealed {
		sealed = 1
	}
	return append(binary.BigEndian.AppendUint64(nil, uint64(m.length)), sealed)
}

func decodeMark(k, v []byte) (mark, error) {
	if len(k) != 5 || len(v) != 9 || v[8] > 1 {
		return mark{}, damaged("the mark of a pack")
	}
	return mark{binary.BigEndian.Uint32(k[1:]), int64(binary.BigEndian.Uint64(v)), v[8] == 1}, nil
}

// packs are the packs of a store.
type packs struct {
	fs    vfs.FS
	dir   string
	limit int64
	files packFiles

	syncing sync.Mutex // held from syncing packs until the marks say so

	mu      sync.Mutex
	lengths map[uint32]int64 // of the packs there are, as far as they are whole
	dirty   []*writing       // written since the last sync, in order; the last may be the current one
	current *writing         // nil until something is written
	next    uint32           // the number of the next pack
}

// writing is a pack that is open for writing.
type writing struct {
	number uint32
	file   vfs.File
	length int64
	full   bool // nothing more will be written
}

func packPath(fs vfs.FS, dir string, number uint32) string {
	return fs.PathJoin(dir, fmt.Sprintf("%08d%s", number, packSuffix))
}

// openPacks finds the packs in dir, and seals those that a crash left open.
func openPacks(s *Store, dir string) (*packs, error) {
	p := &packs{fs: s.disk, dir: dir, limit: s.opts.PackBytes, lengths: make(map[uint32]int64), next: 1}
	p.files.init(s.disk, dir)
	marks, err := s.marks()
	if err != nil {
		return nil, err
	}
	names, err := s.disk.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list packs: %w", plain(err))
	}
	var sealed []mark
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, packSuffix)
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || n == 0 {
			continue
		}
		m := marks[uint32(n)]
		m.number = uint32(n)
		if !m.sealed {
			if m, err = p.seal(m); err != nil {
				return nil, fmt.Errorf("check pack %d: %w", n, plain(err))
			}
			sealed = append(sealed, m)
		}
		p.lengths[m.number] = m.length
	}
	for number := range marks {
		if _, ok := p.lengths[number]; !ok {
			s.logger.Error("a pack is missing; what is in it is lost", "pack", number)
		}
		p.next = max(p.next, number+1)
	}
	for number := range p.lengths {
		p.next = max(p.next, number+1)
	}
	if len(sealed) == 0 {
		return p, nil
	}
	b := s.db.NewBatch()
	defer b.Close()
	for _, m := range sealed {
		if err := b.Set(m.key(), m.encode(), nil); err != nil {
			return nil, err
		}
	}
	return p, s.write("seal packs", func() error { return b.Commit(pebble.Sync) })
}

func (s *Store) marks() (map[uint32]mark, error) {
	prefix := []byte{keyPack}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: end(prefix)})
	if err != nil {
		return nil, readError(err)
	}
	out := make(map[uint32]mark)
	for ok := it.First(); ok; ok = it.Next() {
		m, err := decodeMark(it.Key(), it.Value())
		if err != nil {
			return nil, errors.Join(err, it.Close())
		}
		out[m.number] = m
	}
	return out, readError(errors.Join(it.Error(), it.Close()))
}

// seal finds out how much of a pack is whole, from its mark on.
func (p *packs) seal(m mark) (mark, error) {
	f, err := p.fs.Open(packPath(p.fs, p.dir, m.number), vfs.SequentialReadsOption)
	if err != nil {
		return m, err
	}
	defer f.Close()
	m.sealed = true
	m.length, err = wholeLength(f, m)
	if err != nil {
		return m, err
	}
	// What was read may be in the system's memory only.
	return m, f.Sync()
}

func wholeLength(f io.ReaderAt, m mark) (int64, error) {
	at := m.length
	buf := make([]byte, packHeader, maxEncoded(maxFrame))
	if at == 0 {
		n, err := readAt(f, buf, 0)
		if err != nil {
			return 0, err
		}
		if checkPackHeader(buf[:n], m.number) != nil {
			return 0, nil
		}
		at = packHeader
	}
	for {
		n, err := readAt(f, buf[:frameHeader], at)
		if err != nil {
			return 0, err
		}
		length, err := frameLength(buf[:n])
		if err != nil {
			return at, nil
		}
		if n, err = readAt(f, buf[:length], at); err != nil {
			return 0, err
		}
		if _, err = checkFrame(buf[:n]); err != nil {
			return at, nil
		}
		at += int64(length)
	}
}

// readAt reads as much of buf as the file has.
func readAt(f io.ReaderAt, buf []byte, at int64) (int, error) {
	n, err := f.ReadAt(buf, at)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// append writes frames, one after another, to the current pack. It returns
// the pack's number and where in it they begin.
func (p *packs) append(frames ...[]byte) (number uint32, at int64, err error) {
	var size int64
	for _, f := range frames {
		size += int64(len(f))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil && p.current.length+size > p.limit {
		p.current.full = true
		p.touch(p.current) // the next sync seals and closes it
		p.current = nil
	}
	if p.current == nil {
		if err := p.begin(); err != nil {
			return 0, 0, err
		}
	}
	w := p.current
	at = w.length
	p.touch(w)
	for _, f := range frames {
		if _, err := w.file.Write(f); err != nil {
			return 0, 0, err
		}
		w.length += int64(len(f))
	}
	p.lengths[w.number] = w.length
	return w.number, at, nil
}

// touch makes the next sync look at w, under mu.
func (p *packs) touch(w *writing) {
	if !slices.Contains(p.dirty, w) {
		p.dirty = append(p.dirty, w)
	}
}

// begin begins a new pack, under mu. Its name is durable before anything in
// the database speaks of it.
func (p *packs) begin() error {
	number := p.next
	f, err := p.fs.Create(packPath(p.fs, p.dir, number), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(encodePackHeader(number))
	if err == nil {
		err = syncDir(p.fs, p.dir)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	p.next++
	p.current = &writing{number: number, file: f, length: packHeader}
	return nil
}

// sync makes what was appended before it durable, and returns the marks that
// say so, under syncing.
func (p *packs) sync() ([]mark, error) {
	dirty, marks := p.take()
	for i, w := range dirty {
		if err := w.file.Sync(); err != nil {
			return nil, err
		}
		if marks[i].sealed {
			if err := w.file.Close(); err != nil {
				return nil, err
			}
			w.file = nil
		}
	}
	return marks, nil
}

func (p *packs) take() ([]*writing, []mark) {
	p.mu.Lock()
	defer p.mu.Unlock()
	dirty := p.dirty
	p.dirty = nil
	marks := make([]mark, len(dirty))
	for i, w := range dirty {
		marks[i] = mark{w.number, w.length, w.full}
	}
	return dirty, marks
}

// close closes the files. What isn't synced by then may be lost.
func (p *packs) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	open := slices.Clone(p.dirty)
	if p.current != nil && !slices.Contains(open, p.current) {
		open = append(open, p.current)
	}
	var errs []error
	for _, w := range open {
		if w.file != nil {
			errs = append(errs, w.file.Close())
		}
	}
	p.dirty, p.current = nil, nil
	return errors.Join(append(errs, p.files.close())...)
}

// holds reports whether the bytes before to are whole in a pack.
func (p *packs) holds(number uint32, to int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return to <= p.lengths[number]
}

// sizes returns the lengths of all packs.
func (p *packs) sizes() map[uint32]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.lengths)
}

// errPackGone says that a pack was removed after somebody learnt of it. Who
// looks for its new place and finds none has lost it.
var errPackGone = damaged("a pack is missing")

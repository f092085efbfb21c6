package pebble

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"aorta/store"
)

// maxRead is how much of a pack is read at once, in bytes: enough that the
// calls don't count, little enough that several processors get work.
const maxRead = 256 << 10

// maxMoves is how often a reader looks again for what a compaction moved away.
// That may happen more than once, but not all the time: then the pack is lost.
const maxMoves = 10

// A frameID says where a frame is.
type frameID struct{ pack, offset uint32 }

func (l location) frame() frameID { return frameID{l.pack, l.offset} }

// suspects are frames that were found damaged. Chunks in them are stored
// again when they come again.
type suspects struct {
	mu     sync.Mutex
	frames map[frameID]struct{}
	some   atomic.Bool
}

// maxSuspects bounds what is remembered; a disk that bad needs replacing.
const maxSuspects = 1 << 14

func (s *suspects) add(f frameID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frames == nil {
		s.frames = make(map[frameID]struct{})
	}
	if len(s.frames) < maxSuspects {
		s.frames[f] = struct{}{}
		s.some.Store(true)
	}
}

func (s *suspects) has(f frameID) bool {
	if !s.some.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.frames[f]
	return ok
}

// A wanted chunk is one of those asked for.
type wanted struct {
	i int // its index among those asked for
	location
}

// A stretch is a piece of a pack that is read at once, and what is wanted of it.
type stretch struct {
	file   *packFile
	wanted []wanted // in the order in which they are in the pack
}

func (r stretch) offset() int64 { return int64(r.wanted[0].offset) }

func (r stretch) size() int {
	last := r.wanted[len(r.wanted)-1]
	return int(last.offset + last.size - r.wanted[0].offset)
}

// Chunks implements store.Chunks.
func (s *Store) Chunks(ctx context.Context, hashes []store.Hash, f func(i int, data []byte) error) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	// First the backlog: what leaves it is in the index by then.
	waiting, _ := s.backlog.waits(hashes)
	packed := make([]int, 0, len(hashes)-len(waiting))
	for i, h := range hashes {
		data, waits := waiting[i]
		if !waits {
			packed = append(packed, i)
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if store.Sum(data) != h {
			return fmt.Errorf("chunk %s: %w", h, store.ErrCorrupt)
		}
		if err := f(i, bytes.Clone(data)); err != nil {
			return err
		}
	}
	stretches, release, err := s.plan(hashes, packed)
	for n := 0; n < maxMoves && errors.Is(err, errPackGone); n++ {
		stretches, release, err = s.plan(hashes, packed)
	}
	if err != nil {
		return err
	}
	defer release()
	r := restore{s: s, hashes: hashes, stretches: stretches}
	return r.run(ctx, f)
}

// plan finds out where the chunks are that indexes say of hashes, and opens
// the packs.
func (s *Store) plan(hashes []store.Hash, indexes []int) (stretches []stretch, release func(), err error) {
	list := make([]wanted, len(indexes))
	errs := make([]error, len(indexes))
	const some = 64 // is worth a worker's while
	s.workers.each((len(indexes)+some-1)/some, func(n int) {
		for i := n * some; i < min((n+1)*some, len(indexes)); i++ {
			list[i].i = indexes[i]
			list[i].location, errs[i] = s.locate(hashes[indexes[i]])
		}
	})
	for i, err := range errs {
		if err != nil {
			return nil, nil, fmt.Errorf("chunk %s: %w", hashes[indexes[i]], err)
		}
	}
	slices.SortFunc(list, func(a, b wanted) int {
		return cmp.Or(cmp.Compare(a.pack, b.pack), cmp.Compare(a.offset, b.offset), cmp.Compare(a.start, b.start))
	})
	var files []*packFile
	release = func() {
		for _, f := range files {
			s.packs.files.release(f)
		}
	}
	for from := 0; from < len(list); {
		first := list[from]
		if len(files) == 0 || files[len(files)-1].number != first.pack {
			file, err := s.packs.files.acquire(first.pack)
			if err != nil {
				release()
				return nil, nil, fmt.Errorf("chunk %s: %w", hashes[first.i], plain(err))
			}
			files = append(files, file)
		}
		to := from + 1
		for to < len(list) && follows(list[to-1], list[to]) && int64(list[to].offset)+int64(list[to].size)-int64(first.offset) <= maxRead {
			to++
		}
		stretches = append(stretches, stretch{files[len(files)-1], list[from:to]})
		from = to
	}
	return stretches, release, nil
}

// follows reports whether b is in the frame of a or in the next one.
func follows(a, b wanted) bool {
	return a.pack == b.pack && (a.offset == b.offset && a.size == b.size || a.offset+a.size == b.offset)
}

// A restore is one call of Chunks.
type restore struct {
	s         *Store
	hashes    []store.Hash
	stretches []stretch
	next      atomic.Int64 // the first stretch that nobody has taken
	stopped   atomic.Bool
}

// A piece is what came of a stretch.
type piece struct {
	stretch stretch
	data    [][]byte // parallel to stretch.wanted
	scratch *scratch // holds data
	err     error
}

// run reads, unpacks and checks on several processors, and calls f on the
// caller's goroutine.
func (r *restore) run(ctx context.Context, f func(i int, data []byte) error) error {
	ready := make(chan *piece)
	gone := make(chan struct{})
	wait := r.s.workers.hire(len(r.stretches)-1, func() {
		for p := r.take(); p != nil; p = r.take() {
			select {
			case ready <- p:
			case <-gone:
				r.s.workers.put(p.scratch)
				return
			}
		}
	})
	// Workers stop before the packs are closed and their memory is used again.
	defer wait()
	defer close(gone)
	defer r.stopped.Store(true)
	for done := 0; done < len(r.stretches); done++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		var p *piece
		select {
		case p = <-ready:
		default:
			if p = r.take(); p == nil {
				p = <-ready
			}
		}
		err := p.deliver(f)
		r.s.workers.put(p.scratch)
		if err != nil {
			return err
		}
	}
	return nil
}

// take reads the next stretch; nil if there is none.
func (r *restore) take() *piece {
	n := int(r.next.Add(1)) - 1
	if n >= len(r.stretches) || r.stopped.Load() {
		return nil
	}
	p := &piece{stretch: r.stretches[n], scratch: r.s.workers.get()}
	p.err = p.read(r)
	return p
}

func (p *piece) deliver(f func(i int, data []byte) error) error {
	for j, data := range p.data {
		if err := f(p.stretch.wanted[j].i, data); err != nil {
			return err
		}
	}
	return p.err
}

// read reads the stretch, unpacks its frames and checks its chunks.
func (p *piece) read(r *restore) error {
	sc, size := p.scratch, p.stretch.size()
	if cap(sc.packed) < size {
		sc.packed = make([]byte, size)
	}
	packed := sc.packed[:size]
	n, err := readAt(p.stretch.file, packed, p.stretch.offset())
	if err != nil {
		return fmt.Errorf("chunk %s: %w", r.hashes[p.stretch.wanted[0].i], plain(err))
	}
	packed = packed[:n]
	sc.raw = sc.raw[:0]
	for rest := p.stretch.wanted; len(rest) > 0; {
		same := 1
		for same < len(rest) && rest[same].offset == rest[0].offset {
			same++
		}
		if err := p.unpack(r, packed, rest[:same]); err != nil {
			if errors.Is(err, store.ErrCorrupt) {
				r.s.suspects.add(rest[0].frame())
			}
			return err
		}
		rest = rest[same:]
	}
	return nil
}

// unpack gets chunks out of the frame that they are in.
func (p *piece) unpack(r *restore, packed []byte, chunks []wanted) error {
	first := chunks[0]
	from := int64(first.offset) - p.stretch.offset()
	to := from + int64(first.size)
	if to > int64(len(packed)) {
		return fmt.Errorf("chunk %s: %w", r.hashes[first.i], damaged("a pack is cut short"))
	}
	sc := p.scratch
	used := len(sc.raw)
	if cap(sc.raw)-used < maxFrame {
		// What was unpacked before stays where it is, in use.
		sc.raw, used = make([]byte, 0, max(4*maxFrame, cap(sc.raw))), 0
	}
	raw, err := decodeFrame(sc.raw[used:used:cap(sc.raw)], packed[from:to])
	if err != nil {
		return fmt.Errorf("chunk %s: %w", r.hashes[first.i], err)
	}
	sc.raw = sc.raw[:used+len(raw)]
	for _, w := range chunks {
		if int64(w.start)+int64(w.length) > int64(len(raw)) {
			return fmt.Errorf("chunk %s: %w", r.hashes[w.i], damaged("a frame is shorter than the index says"))
		}
		data := raw[w.start : w.start+w.length : w.start+w.length]
		if store.Sum(data) != r.hashes[w.i] {
			return fmt.Errorf("chunk %s: %w", r.hashes[w.i], store.ErrCorrupt)
		}
		p.data = append(p.data, data)
	}
	return nil
}

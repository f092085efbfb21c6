package pebble

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"aorta/store"
)

// A backlog holds chunks that were put and aren't in a pack yet. Compressing
// them is most of what storing a checkpoint costs, and a process waits for its
// checkpoint but not for the disk: Sync does. So putting chunks copies them
// here, and one goroutine, the packer, writes them. Whoever asks for them
// meanwhile gets them from here.
type backlog struct {
	packing sync.WaitGroup // the packer
	wake    chan struct{}  // has room for one
	quit    chan struct{}

	mu     sync.Mutex
	chunks map[store.Hash][]byte // all that wait
	queue  []delivery            // those that the packer hasn't taken
	size   int                   // in bytes, of all that wait
	// accepted and packed count deliveries; progress is closed, and made
	// anew, when packed or size change.
	accepted, packed uint64
	progress         chan struct{}
}

// A delivery is what is new of one call.
type delivery struct {
	chunks []store.Chunk
	size   int
}

const (
	// maxBacklog is how much may wait, in bytes. Whoever comes then waits for
	// the packer, which handles as much in some 50 ms.
	maxBacklog = 32 << 20
	// maxPacking is how much is packed at once, in bytes, if many wait.
	maxPacking = 4 << 20
)

func newBacklog() backlog {
	return backlog{
		wake:     make(chan struct{}, 1),
		quit:     make(chan struct{}),
		chunks:   make(map[store.Hash][]byte),
		progress: make(chan struct{}),
	}
}

// waits reports which of hashes wait, with their bytes, and how many deliveries
// have been packed by now.
func (b *backlog) waits(hashes []store.Hash) (found map[int][]byte, packed uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.chunks) == 0 {
		return nil, b.packed
	}
	for i, h := range hashes {
		if data, ok := b.chunks[h]; ok {
			if found == nil {
				found = make(map[int][]byte)
			}
			found[i] = data
		}
	}
	return found, b.packed
}

// await waits until ready, which is called under mu, says yes.
func (b *backlog) await(ctx context.Context, ready func() bool) error {
	for {
		b.mu.Lock()
		ok, progress := ready(), b.progress
		b.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// room waits until there is room for more.
func (b *backlog) room(ctx context.Context) error {
	return b.await(ctx, func() bool { return b.size < maxBacklog })
}

// drain waits until all that was put before is in packs.
func (b *backlog) drain(ctx context.Context) error {
	b.mu.Lock()
	upTo := b.accepted
	b.mu.Unlock()
	return b.await(ctx, func() bool { return b.packed >= upTo })
}

// put adds chunks, whose data nobody else changes, and which were neither
// here nor stored when the packer had packed asOf deliveries.
func (b *backlog) put(chunks []store.Chunk, asOf uint64, stored func(store.Hash) (bool, error)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var d delivery
	for _, c := range chunks {
		// Others may have put it since. Then it is here still, or else stored
		// by now: the packer takes nothing away while mu is held.
		if _, waits := b.chunks[c.Hash]; waits {
			continue
		}
		if b.packed != asOf {
			there, err := stored(c.Hash)
			if err != nil && !errors.Is(err, store.ErrCorrupt) {
				return fmt.Errorf("chunk %s: %w", c.Hash, err)
			}
			if there {
				continue
			}
		}
		d.chunks = append(d.chunks, c)
		d.size += len(c.Data)
	}
	if len(d.chunks) == 0 {
		return nil
	}
	for _, c := range d.chunks {
		b.chunks[c.Hash] = c.Data
	}
	b.size += d.size
	b.accepted++
	b.queue = append(b.queue, d)
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return nil
}

// take returns the deliveries that are to be packed next.
func (b *backlog) take() (chunks []store.Chunk, deliveries int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := 0
	for deliveries < len(b.queue) && size < maxPacking {
		size += b.queue[deliveries].size
		deliveries++
	}
	for _, d := range b.queue[:deliveries] {
		chunks = append(chunks, d.chunks...)
	}
	left := copy(b.queue, b.queue[deliveries:])
	clear(b.queue[left:])
	b.queue = b.queue[:left]
	return chunks, deliveries
}

// done says that chunks of some deliveries are in packs, or never will be:
// then they stay here, to be read.
func (b *backlog) done(chunks []store.Chunk, deliveries int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range chunks {
		b.size -= len(c.Data)
		if err == nil {
			delete(b.chunks, c.Hash)
		}
	}
	b.packed += uint64(deliveries)
	close(b.progress)
	b.progress = make(chan struct{})
}

// stop ends the packer when nothing waits any more.
func (b *backlog) stop() {
	close(b.quit)
	b.packing.Wait()
}

// packLoop packs what waits, until the store closes.
func (s *Store) packLoop() {
	for {
		select {
		case <-s.backlog.wake:
		case <-s.backlog.quit:
			return
		}
		for {
			chunks, deliveries := s.backlog.take()
			if deliveries == 0 {
				break
			}
			s.backlog.done(chunks, deliveries, s.packAll(chunks))
		}
	}
}

// packAll writes chunks to a pack and to the index.
func (s *Store) packAll(chunks []store.Chunk) error {
	if err := s.failed(); err != nil {
		return err
	}
	frames := divide(chunks)
	s.workers.each(len(frames), func(i int) { frames[i].pack(s.workers.get()) })
	s.reuse.RLock()
	err := s.write("put chunks", func() error { return s.putFrames(frames) })
	s.reuse.RUnlock()
	for _, f := range frames {
		s.workers.put(f.scratch)
	}
	return err
}

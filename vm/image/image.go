// Package image keeps a machine's linear memory as a page-tracked image that can be marked, rolled back, forked, checkpointed and restored at the cost of what changed.
//
// The memory that a guest writes is a private (copy-on-write) mapping of a
// Backing, a file in memory that holds the state at the last mark. So
//
//   - Mark copies into the backing what differs from it. The kernel says where
//     to look (see Mode); elsewhere everything is compared.
//   - Rollback drops the private copies.
//   - A fork, or another instance of the same state, is one more mapping.
//   - A checkpoint hashes the pages that marks have changed since the last
//     one, and stores those.
//
// The state's fingerprint is a Merkle root over its pages (see Tree). It
// depends on the bytes and the size of the memory alone.
//
// An Image belongs to one goroutine at a time. Backings are immutable while
// they are shared: an image that marks over a shared backing first takes a
// copy of its own. Space, Backing reference counts and the cache are safe for
// concurrent use.
package image

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"
)

// PageSize is the unit of tracking, of hashing and of storage, in bytes. It
// divides WebAssembly's page, and equals the page of the processors that most
// nodes run on.
const PageSize = 4096

// ErrGrown says that the memory is larger than it was at the mark. Linear
// memory can't shrink, so the caller must rebuild the instance and attach it
// to the image's backing.
var ErrGrown = errors.New("memory has grown since the mark")

// Space makes images and counts what they take.
type Space struct {
	mode   Mode
	kernel *pagemap // nil for ModeCompare

	mu   sync.Mutex
	open int // backings not yet released
}

// NewSpace returns a space that finds written pages by mode. ModeAuto probes
// for the cheapest mode that works here.
func NewSpace(mode Mode) (*Space, error) {
	if os.Getpagesize() > WasmPage {
		return nil, fmt.Errorf("image: pages of %d bytes are larger than WebAssembly's", os.Getpagesize())
	}
	m, k, err := resolve(mode)
	if err != nil {
		return nil, err
	}
	return &Space{mode: m, kernel: k}, nil
}

// Close releases what the space itself holds. No image may be attached any
// more, and no backing alive.
func (s *Space) Close() error {
	if n := s.Backings(); n > 0 {
		return fmt.Errorf("close image space: %d states are still in use", n)
	}
	return s.kernel.close()
}

// WasmPage is the unit in which linear memory grows, in bytes.
const WasmPage = 64 << 10

// Mode returns how this space finds written pages.
func (s *Space) Mode() Mode { return s.mode }

// Backings returns how many backings are alive. A space that nobody uses any
// more has none.
func (s *Space) Backings() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// Image is the linear memory of one instance. The zero value is not usable.
type Image struct {
	space *Space
	back  *Backing
	// base is where the guest's memory is mapped, mapped how many bytes from
	// there are a private mapping of back.
	base   unsafe.Pointer
	mapped int

	tracker  tracker
	private  []span // reused by every scan
	detached bool
}

// Attach takes over the memory at base, whose first back.Size() bytes become
// a private mapping of back: what was there before is replaced by back's
// content. base must stay valid until Detach. The image holds a reference to
// back.
func (s *Space) Attach(base unsafe.Pointer, size int, back *Backing) (*Image, error) {
	if size != back.Size() {
		return nil, fmt.Errorf("attach image: memory has %d bytes, the image %d", size, back.Size())
	}
	img := &Image{space: s, back: back.Retain(), base: base, tracker: newTracker(s.mode, s.kernel)}
	if err := img.remap(0); err != nil {
		img.Detach()
		return nil, err
	}
	return img, nil
}

// Capture copies the memory at base (size bytes) into a new backing.
func (s *Space) Capture(base unsafe.Pointer, size int) (*Backing, error) {
	b, err := s.newBacking(size)
	if err != nil {
		return nil, fmt.Errorf("capture image: %w", err)
	}
	src := unsafe.Slice((*byte)(base), size)
	for p := 0; p*PageSize < size; p++ {
		page := src[p*PageSize : (p+1)*PageSize]
		if !isZero(page) {
			copy(b.page(p), page)
			b.tree.stale(p)
		}
	}
	return b, nil
}

// remap maps back over memory from byte offset from on.
func (i *Image) remap(from int) error {
	size := i.back.Size()
	if from < size {
		if err := mapPrivate(i.base, i.back.file, from, size-from); err != nil {
			return fmt.Errorf("map image: %w", err)
		}
	}
	i.mapped = size
	return nil
}

// Size is the memory's size at the last mark, in bytes.
func (i *Image) Size() int { return i.back.Size() }

// Backing is the state at the last mark. The caller must retain it to keep it
// beyond the image's next call.
func (i *Image) Backing() *Backing { return i.back }

// Dirty counts the pages written since the last mark, given the memory's
// present size in bytes. It may count pages that were written with what they
// held before.
func (i *Image) Dirty(size int) (pages int, err error) {
	if err := i.scan(size); err != nil {
		return 0, err
	}
	for _, s := range i.private {
		pages += s.end - s.start
	}
	return pages, nil
}

func (i *Image) scan(size int) (err error) {
	i.private, err = i.tracker.written(i.private[:0], i.base, size)
	if err != nil {
		return fmt.Errorf("find written pages: %w", err)
	}
	return nil
}

// maxExcess is how many private pages that turn out unchanged are compared
// again at each mark before they are dropped. Keeping a page private saves
// the fault of its next write (about 0.7 µs); comparing it costs about 0.1 µs.
const maxExcess = 4096

// Mark makes the present content the state that Rollback returns to. size is
// the memory's present size in bytes. It returns how many pages changed.
func (i *Image) Mark(size int) (changed int, err error) {
	if size < i.back.Size() {
		return 0, fmt.Errorf("mark image: memory shrank from %d to %d bytes", i.back.Size(), size)
	}
	if err := i.scan(size); err != nil {
		return 0, err
	}
	replaced := false
	if i.back.shared() {
		own, err := i.back.clone()
		if err != nil {
			return 0, fmt.Errorf("mark image: %w", err)
		}
		i.back.Release()
		i.back, replaced = own, true
	}
	grown := size > i.back.Size()
	if grown {
		if err := i.back.grow(size); err != nil {
			return 0, fmt.Errorf("mark image: %w", err)
		}
	}
	mem := unsafe.Slice((*byte)(i.base), size)
	same := 0
	for _, s := range i.private {
		for p := s.start; p < s.end; p++ {
			live, kept := mem[p*PageSize:(p+1)*PageSize], i.back.page(p)
			if string(live) == string(kept) {
				same++
				continue
			}
			copy(kept, live)
			i.back.tree.stale(p)
			changed++
		}
	}
	switch {
	case replaced:
		err = i.remap(0)
	case grown:
		err = i.remap(i.mapped)
	case same > maxExcess && i.tracker.precise():
		err = discard(i.base, i.back.file, i.mapped)
	}
	return changed, err
}

// Rollback returns memory to the last mark. size is the memory's present
// size in bytes: if it has grown since, ErrGrown, and nothing was done.
func (i *Image) Rollback(size int) error {
	if size != i.mapped {
		return ErrGrown
	}
	if err := discard(i.base, i.back.file, i.mapped); err != nil {
		return fmt.Errorf("roll back image: %w", err)
	}
	return nil
}

// Detach gives up the backing. The memory at base must not be used by a guest
// any more. Twice is harmless.
func (i *Image) Detach() {
	if i.detached {
		return
	}
	i.detached = true
	i.back.Release()
}

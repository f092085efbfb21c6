package image

import (
	"fmt"
	"sync/atomic"
)

// Backing is the bytes of a state in a file in memory, counted by reference:
// whoever retains it releases it once.
type Backing struct {
	space *Space
	file  *file
	data  []byte // a shared mapping of file
	tree  *Tree
	refs  atomic.Int32
}

func (s *Space) newBacking(size int) (*Backing, error) {
	if size < 0 || size%WasmPage != 0 {
		return nil, fmt.Errorf("memory of %d bytes is not a whole number of pages", size)
	}
	f, err := newFile(size)
	if err != nil {
		return nil, fmt.Errorf("make a file of %d bytes in memory: %w", size, err)
	}
	data, err := f.mapShared(size)
	if err != nil {
		f.close()
		return nil, fmt.Errorf("map a file of %d bytes in memory: %w", size, err)
	}
	b := &Backing{space: s, file: f, data: data, tree: NewTree(size)}
	b.refs.Store(1)
	s.mu.Lock()
	s.open++
	s.mu.Unlock()
	return b, nil
}

// Size is the state's size in bytes.
func (b *Backing) Size() int { return len(b.data) }

// Footprint is how many bytes of this node's memory the state takes, about.
func (b *Backing) Footprint() int { return b.tree.nonZero() * (PageSize + hashSize) }

func (b *Backing) page(p int) []byte { return b.data[p*PageSize : (p+1)*PageSize : (p+1)*PageSize] }

// Retain adds a reference and returns b.
func (b *Backing) Retain() *Backing {
	b.refs.Add(1)
	return b
}

func (b *Backing) shared() bool { return b.refs.Load() > 1 }

// Release gives a reference back; the last one frees the memory.
func (b *Backing) Release() {
	switch n := b.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("image: backing released more often than retained")
	}
	b.file.unmap(b.data)
	b.file.close()
	b.data = nil
	b.space.mu.Lock()
	b.space.open--
	b.space.mu.Unlock()
}

func (b *Backing) clone() (*Backing, error) {
	c, err := b.space.newBacking(b.Size())
	if err != nil {
		return nil, err
	}
	for p := range b.tree.occupied() {
		copy(c.page(p), b.page(p))
	}
	c.tree = b.tree.clone()
	return c, nil
}

func (b *Backing) grow(size int) error {
	if err := b.file.truncate(size); err != nil {
		return fmt.Errorf("grow to %d bytes: %w", size, err)
	}
	data, err := b.file.mapShared(size)
	if err != nil {
		return fmt.Errorf("grow to %d bytes: %w", size, err)
	}
	b.file.unmap(b.data)
	b.data = data
	b.tree.grow(size)
	return nil
}

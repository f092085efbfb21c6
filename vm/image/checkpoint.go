package image

import (
	"context"
	"fmt"
	"math/bits"
)

// Sink takes the chunks of a checkpoint: pages of PageSize bytes and tree
// nodes of 2 KiB, each under its SHA-256. The bytes are valid during the call.
type Sink interface {
	PutChunks(ctx context.Context, hashes []Hash, data [][]byte) error
}

// Source gives chunks back. It calls f once for each of hashes, in any order
// but one at a time, with the hash's index and bytes that have that hash; it
// returns the first error.
type Source interface {
	Chunks(ctx context.Context, hashes []Hash, f func(i int, data []byte) error) error
}

// Checkpoint names a stored memory.
type Checkpoint struct {
	// Size is the memory's size in bytes.
	Size int
	// Top is the hash of the tree's top node; the zero Hash for a memory of
	// zero bytes.
	Top Hash
	// Written is how many bytes were handed to the sink.
	Written int
}

// Root is the memory's fingerprint.
func (c Checkpoint) Root() Hash { return rootOf(c.Size, c.Top) }

// Root returns the fingerprint of the state.
func (b *Backing) Root() Hash {
	b.tree.mu.Lock()
	defer b.tree.mu.Unlock()
	return rootOf(b.Size(), b.tree.refresh(b.page))
}

// Save hands what the last Save or Restore didn't have to sink. A state saved
// to one sink is not saved to another: see Forget.
func (b *Backing) Save(ctx context.Context, sink Sink) (Checkpoint, error) {
	t := b.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	cp := Checkpoint{Size: b.Size(), Top: t.refresh(b.page)}
	var hashes []Hash
	var data [][]byte
	for level, nodes := range t.levels {
		for i, n := range nodes {
			if n == nil {
				continue
			}
			for set := n.unsaved; set != 0; set &= set - 1 {
				c := bits.TrailingZeros64(set)
				child := i*fanout + c
				var chunk []byte
				if level == 0 {
					chunk = b.page(child)
				} else {
					chunk = t.levels[level-1][child].bytes()
				}
				hashes, data = append(hashes, n.hash[c]), append(data, chunk)
				cp.Written += len(chunk)
			}
		}
	}
	if top := t.levels[len(t.levels)-1][0]; top != nil && cp.Top != (Hash{}) && len(hashes) > 0 {
		chunk := top.bytes()
		hashes, data = append(hashes, cp.Top), append(data, chunk)
		cp.Written += len(chunk)
	}
	if len(hashes) > 0 {
		if err := sink.PutChunks(ctx, hashes, data); err != nil {
			return Checkpoint{}, fmt.Errorf("save image: %w", err)
		}
	}
	for _, nodes := range t.levels {
		for _, n := range nodes {
			if n != nil {
				n.unsaved = 0
			}
		}
	}
	return cp, nil
}

// Forget makes the next Save hand out everything again.
func (b *Backing) Forget() {
	b.tree.mu.Lock()
	defer b.tree.mu.Unlock()
	for _, nodes := range b.tree.levels {
		for _, n := range nodes {
			if n != nil {
				n.unsaved = n.present
			}
		}
	}
}

// Restore builds the backing of a stored memory from its chunks. maxSize
// bounds what a damaged or hostile checkpoint can ask for, in bytes.
func (s *Space) Restore(ctx context.Context, source Source, cp Checkpoint, maxSize int) (*Backing, error) {
	if cp.Size > maxSize {
		return nil, fmt.Errorf("restore image: memory of %d bytes is over the limit of %d", cp.Size, maxSize)
	}
	b, err := s.newBacking(cp.Size)
	if err != nil {
		return nil, fmt.Errorf("restore image: %w", err)
	}
	if err := b.load(ctx, source, cp.Top); err != nil {
		b.Release()
		return nil, fmt.Errorf("restore image: %w", err)
	}
	return b, nil
}

func (b *Backing) load(ctx context.Context, source Source, top Hash) error {
	t := b.tree
	if top == (Hash{}) {
		return nil
	}
	last := len(t.levels) - 1
	want, at := []Hash{top}, []int{0}
	for level := last; level >= 0; level-- {
		below := (b.Size() + PageSize - 1) / PageSize
		if level > 0 {
			below = len(t.levels[level-1])
		}
		var next []Hash
		var nextAt []int
		err := source.Chunks(ctx, want, func(i int, data []byte) error {
			n, err := parseNode(data, below-at[i]*fanout)
			if err == nil {
				t.levels[level][at[i]] = n
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("read level %d of the tree: %w", level, err)
		}
		for _, i := range at {
			n := t.levels[level][i]
			for set := n.present; set != 0; set &= set - 1 {
				c := bits.TrailingZeros64(set)
				next, nextAt = append(next, n.hash[c]), append(nextAt, i*fanout+c)
			}
		}
		want, at = next, nextAt
	}
	err := source.Chunks(ctx, want, func(i int, data []byte) error {
		if len(data) != PageSize {
			return fmt.Errorf("a page of %d bytes", len(data))
		}
		copy(b.page(at[i]), data)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read pages: %w", err)
	}
	return nil
}

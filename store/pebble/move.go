package pebble

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"aorta/store"
)

// maxMoving bounds how much is moved between two scans of the index, in bytes,
// and so the memory that it takes to remember it: some 25 MiB, for pages.
const maxMoving = 1 << 30

// empty writes anew what is used of the packs in old, and removes them.
func (c *compaction) empty(old map[uint32]int64) error {
	for len(old) > 0 {
		part := make(map[uint32]bool)
		size := int64(0)
		for number := range old {
			if size += c.used[number]; size > maxMoving && len(part) > 0 {
				break
			}
			part[number] = true
			delete(old, number)
		}
		if err := c.emptySome(part); err != nil {
			return err
		}
	}
	return nil
}

func (c *compaction) emptySome(packs map[uint32]bool) error {
	var moving []entry
	var err error
	for _, kind := range []byte{keyChunk, keyLarge} {
		err = c.scan(kind, func(entries []entry) error {
			for _, e := range entries {
				if packs[e.pack] {
					moving = append(moving, e)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	// In the order in which they are in the packs: what was put together
	// stays together. An entry begins with the pack and the offset.
	slices.SortFunc(moving, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.key[0], b.key[0]), bytes.Compare(a.value, b.value))
	})
	values := moving
	for len(values) > 0 && values[0].key[0] == keyChunk {
		values = values[1:]
	}
	var moved []move
	for group := range slices.Chunk(moving[:len(moving)-len(values)], some) {
		if moved, err = c.moveChunks(moved, group); err != nil {
			return err
		}
	}
	for _, e := range values {
		if moved, err = c.moveValue(moved, e); err != nil {
			return err
		}
	}
	if err := c.point(moved); err != nil {
		return err
	}
	return c.remove(packs)
}

// remove removes packs that nothing is in any more.
func (c *compaction) remove(packs map[uint32]bool) error {
	// The new places must be durable before the old ones are gone.
	if err := c.s.sync(c.ctx); err != nil {
		return err
	}
	c.s.packs.syncing.Lock()
	defer c.s.packs.syncing.Unlock()
	return c.s.write("remove packs", func() error {
		b := c.s.db.NewBatch()
		defer b.Close()
		for number := range packs {
			if err := b.Delete(mark{number: number}.key(), nil); err != nil {
				return err
			}
		}
		// The marks before the files: a file without a mark is looked at when
		// the store is opened, a mark without a file is a loss.
		if err := b.Commit(pebble.Sync); err != nil {
			return err
		}
		for number := range packs {
			if err := c.s.packs.remove(number); err != nil {
				return err
			}
		}
		return nil
	})
}

// remove removes a pack. Who reads it goes on doing so.
func (p *packs) remove(number uint32) error {
	p.files.forget(number)
	p.mu.Lock()
	delete(p.lengths, number)
	p.mu.Unlock()
	err := p.fs.Remove(packPath(p.fs, p.dir, number))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// A move is something that is in two places, and where.
type move struct {
	from entry
	to   placement
}

// point makes the index point to the new places, once those are durable.
func (c *compaction) point(moved []move) error {
	if err := c.s.write("sync packs", c.s.syncPacks); err != nil {
		return err
	}
	for group := range slices.Chunk(moved, some) {
		if err := c.s.going(c.ctx); err != nil {
			return err
		}
		if err := c.pointSome(group); err != nil {
			return err
		}
	}
	return nil
}

func (c *compaction) pointSome(group []move) error {
	c.s.reuse.Lock()
	defer c.s.reuse.Unlock()
	b := c.s.db.NewBatch()
	defer b.Close()
	for _, m := range group {
		same, err := c.unchanged(m.from)
		if err != nil {
			return err
		}
		if !same {
			continue
		}
		if err := b.Set(m.to.key, m.to.value, nil); err != nil {
			return err
		}
	}
	if b.Empty() {
		return nil
	}
	return c.s.write("move", func() error { return b.Commit(pebble.NoSync) })
}

// unchanged reports whether the index says what it said when e was read.
func (c *compaction) unchanged(e entry) (bool, error) {
	now, err := c.s.get(e.key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return bytes.Equal(now, e.value), err
}

// moveChunks writes chunks to the current pack.
func (c *compaction) moveChunks(moved []move, group []entry) ([]move, error) {
	chunks, err := c.readChunks(group)
	if errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNotFound) {
		group, chunks, err = c.readOneByOne(group)
	}
	if err != nil || len(chunks) == 0 {
		return moved, err
	}
	frames := divide(chunks)
	for i := range frames {
		frames[i].pack(new(scratch))
	}
	err = c.s.write("move chunks", func() error {
		placed, err := c.s.placeFrames(frames)
		for i, p := range placed {
			moved = append(moved, move{group[i], p})
		}
		return err
	})
	return moved, err
}

func (c *compaction) readChunks(group []entry) ([]store.Chunk, error) {
	hashes := make([]store.Hash, len(group))
	for i, e := range group {
		hashes[i] = e.hash()
	}
	chunks := make([]store.Chunk, len(group))
	err := c.s.Chunks(c.ctx, hashes, func(i int, data []byte) error {
		chunks[i] = store.Chunk{Hash: hashes[i], Data: bytes.Clone(data)}
		return nil
	})
	return chunks, err
}

// readOneByOne reads what can be read of group, and drops the rest.
func (c *compaction) readOneByOne(group []entry) (left []entry, chunks []store.Chunk, err error) {
	for i, e := range group {
		one, err := c.readChunks(group[i : i+1])
		if err != nil {
			if err := c.drop(e, err); err != nil {
				return nil, nil, err
			}
			continue
		}
		left, chunks = append(left, e), append(chunks, one...)
	}
	return left, chunks, nil
}

// moveValue writes a value to the current pack.
func (c *compaction) moveValue(moved []move, e entry) ([]move, error) {
	if err := c.s.going(c.ctx); err != nil {
		return moved, err
	}
	v, err := c.s.large(e.hash())
	if err != nil {
		return moved, c.drop(e, err)
	}
	err = c.s.write("move value", func() error {
		p, err := c.s.placeLarge(e.hash(), v)
		moved = append(moved, move{e, p})
		return err
	})
	return moved, err
}

// drop takes something out of the index that is lost, unless somebody has put
// it again meanwhile. It returns cause if that says anything else.
func (c *compaction) drop(e entry, cause error) error {
	if !errors.Is(cause, store.ErrCorrupt) && !errors.Is(cause, store.ErrNotFound) {
		return cause
	}
	c.s.reuse.Lock()
	defer c.s.reuse.Unlock()
	same, err := c.unchanged(e)
	if err != nil || !same {
		return err
	}
	c.s.logger.Error("something that is in use is lost", "hash", e.hash(), "error", cause)
	return c.s.write("drop", func() error { return c.s.db.Delete(e.key, pebble.NoSync) })
}

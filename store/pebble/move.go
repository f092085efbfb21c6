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
	for _, kind := range []byte{keyChunk, keyLarge} {
		err := c.scan(kind, func(entries []entry) error {
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
	for group := range slices.Chunk(moving[:len(moving)-len(values)], some) {
		if err := c.moveChunks(group); err != nil {
			return err
		}
	}
	for _, e := range values {
		if err := c.moveValue(e); err != nil {
			return err
		}
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

// moveChunks writes chunks to the current pack.
func (c *compaction) moveChunks(group []entry) error {
	chunks, err := c.readChunks(group)
	if errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNotFound) {
		chunks, err = c.readOneByOne(group)
	}
	if err != nil {
		return err
	}
	frames := divide(chunks)
	if len(frames) == 0 {
		return nil
	}
	for i := range frames {
		frames[i].pack(new(scratch))
	}
	c.s.reuse.Lock()
	defer c.s.reuse.Unlock()
	return c.s.write("move chunks", func() error { return c.s.putFrames(frames, false) })
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
func (c *compaction) readOneByOne(group []entry) ([]store.Chunk, error) {
	var chunks []store.Chunk
	for i := range group {
		one, err := c.readChunks(group[i : i+1])
		if err != nil {
			if err := c.drop(group[i], err); err != nil {
				return nil, err
			}
			continue
		}
		chunks = append(chunks, one...)
	}
	return chunks, nil
}

// moveValue writes a value to the current pack.
func (c *compaction) moveValue(e entry) error {
	if err := c.s.going(c.ctx); err != nil {
		return err
	}
	v, err := c.s.large(e.hash())
	if err != nil {
		return c.drop(e, err)
	}
	c.s.reuse.Lock()
	defer c.s.reuse.Unlock()
	return c.s.write("move value", func() error {
		b := c.s.db.NewBatch()
		defer b.Close()
		if err := c.s.putLarge(b, e.hash(), v); err != nil {
			return err
		}
		return b.Commit(pebble.NoSync)
	})
}

// drop takes something out of the index that is lost, unless somebody has put
// it again meanwhile. It returns cause if that says anything else.
func (c *compaction) drop(e entry, cause error) error {
	if !errors.Is(cause, store.ErrCorrupt) && !errors.Is(cause, store.ErrNotFound) {
		return cause
	}
	c.s.reuse.Lock()
	defer c.s.reuse.Unlock()
	now, err := c.s.get(e.key)
	if errors.Is(err, store.ErrNotFound) || err == nil && !bytes.Equal(now, e.value) {
		return nil
	}
	if err != nil {
		return err
	}
	c.s.logger.Error("something that is in use is lost", "hash", e.hash(), "error", cause)
	return c.s.write("drop", func() error { return c.s.db.Delete(e.key, pebble.NoSync) })
}

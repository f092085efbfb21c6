package pebble

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"aorta/store"
)

// What is durable stays so: its entry in the index must not come to point to a
// copy that a crash may still take.

// TestCrashWhileCompactMovesThingsTakesNothing crashes at each write to packs
// that Compact makes, right after somebody else has made the index durable.
func TestCrashWhileCompactMovesThingsTakesNothing(t *testing.T) {
	ctx := t.Context()
	for n := int64(1); ; n++ {
		fs, m := vfs.NewCrashableMem(), newModel()
		var s *Store
		var compacting atomic.Bool
		var writes atomic.Int64
		_, crash := crashing(fs, m, 0, 0, nil)
		disk := onWrite(fs, func(op errorfs.Op) {
			if compacting.Load() && strings.Contains(op.Path, "packs") && writes.Add(1) == n {
				if err := s.db.LogData(nil, pebble.Sync); err != nil {
					t.Error(err)
				}
				crash()
			}
		})
		s, err := Open("data", with(tiny, disk))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			if err := m.step(ctx, s, "chunks", i); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.sync(ctx, s); err != nil { // so that the first pack is full of chunks
			t.Fatal(err)
		}
		if err := m.step(ctx, s, "values", 2); err != nil { // a large one
			t.Fatal(err)
		}
		if err := m.sync(ctx, s); err != nil {
			t.Fatal(err)
		}
		needed := map[store.Hash]bool{}
		m.note(func() {
			for c := range m.chunks {
				if c%4 == 0 {
					needed[modelChunk(c).Hash] = true
				} else {
					m.chunks[c] = attempted
				}
			}
		})
		compacting.Store(true)
		if err := s.Compact(ctx, func(h store.Hash) bool { return needed[h] }); err != nil {
			t.Fatal(err)
		}
		compacting.Store(false)
		left, done := crash(), writes.Load()
		if _, there := s.packs.sizes()[1]; there {
			t.Fatal("Compact left the first pack where it was")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := Open("data", with(tiny, left.disk))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.check(ctx, again, left.known); err != nil {
			t.Errorf("write %d: %v", n, err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		if n > done {
			break
		}
	}
}

func TestLateCopyOfAChunkIsNotStored(t *testing.T) {
	ctx := t.Context()
	s := open(t, "data", Options{FS: vfs.NewMem()})
	chunks := heapPages(1, 10)
	s.known.begin(s)
	// One call has looked, and found nothing.
	late, asOf, err := s.fresh(chunks)
	if err != nil || len(late) != len(chunks) {
		t.Fatal(len(late), err)
	}
	// Then another stores the same, once durably, once not yet.
	for _, part := range [][]store.Chunk{chunks[:5], chunks[5:]} {
		if err := s.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.PutChunks(ctx, part); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.backlog.put(late, asOf, s.stored); err != nil {
		t.Fatal(err)
	}
	st, err := s.Stats(ctx)
	if err != nil || st.Chunks != int64(len(chunks)) {
		t.Errorf("%d chunks were stored, %v; want %d", st.Chunks, err, len(chunks))
	}
}

func TestLateCopyOfALargeValueIsNotIndexed(t *testing.T) {
	ctx := t.Context()
	s := open(t, "data", Options{FS: vfs.NewMem()})
	v := content("value", 1, maxInline+1)
	late, err := s.placeLarge(store.Sum(v), v)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutValues(ctx, v); err != nil {
		t.Fatal(err)
	}
	before, err := s.lookUpLarge(store.Sum(v))
	if err != nil {
		t.Fatal(err)
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := s.commitValues(b, 0, []placement{late}); err != nil {
		t.Fatal(err)
	}
	if after, err := s.lookUpLarge(store.Sum(v)); err != nil || after != before {
		t.Errorf("the value was at %v and is at %v, %v", before, after, err)
	}
	if st, err := s.Stats(ctx); err != nil || st.Values != 1 {
		t.Errorf("got %+v, %v", st, err)
	}
}

package pebble

import (
	"encoding/binary"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aorta/store"
)

func numbered(n uint64) store.Hash { return store.Sum(binary.BigEndian.AppendUint64(nil, n)) }

func TestKnownNeverDeniesWhatWasAdded(t *testing.T) {
	const n = 3 * firstFilter
	var k known
	filters := []*filter{newFilter(firstFilter)}
	k.filters.Store(&filters)
	k.complete.Store(true)
	for i := range uint64(n) {
		k.add(numbered(i))
	}
	for i := range uint64(n) {
		if k.lacks(numbered(i)) {
			t.Fatalf("%d of %d was denied", i, n)
		}
	}
	wrong := 0
	for i := range uint64(n) {
		if !k.lacks(numbered(n + i)) {
			wrong++
		}
	}
	if got := float64(wrong) / n; got > 0.01 {
		t.Errorf("%.2f %% of what was never added is thought to be there", 100*got)
	}
	if got := len(*k.filters.Load()); got != 2 {
		t.Errorf("there are %d filters, want 2", got)
	}
}

func TestChunksOfAnEarlierRunAreNotStoredTwice(t *testing.T) {
	ctx := t.Context()
	fs := vfs.NewMem()
	chunks := heapPages(1, 100)
	var first Stats
	for run := range 3 {
		s, err := Open("data", Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := s.PutChunks(ctx, chunks); err != nil {
				t.Fatal(err)
			}
		}
		s.known.scan.Wait()
		if err := s.PutChunks(ctx, chunks); err != nil {
			t.Fatal(err)
		}
		st, err := s.Stats(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if run == 0 {
			first = st
		}
		if st.Chunks != 100 || st.PackBytes != first.PackBytes || st.Packs != 1 {
			t.Errorf("run %d: %+v, first %+v", run, st, first)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStatsCountWhatIsThere(t *testing.T) {
	ctx := t.Context()
	s := open(t, "data", with(tiny, vfs.NewMem()))
	if st, err := s.Stats(ctx); err != nil || st.Values+st.Chunks+st.PackBytes+int64(st.Packs) != 0 {
		t.Errorf("an empty store says %+v, %v", st, err)
	}
	for i := range 10 {
		// Each value but the first is there already, the second time.
		if _, err := s.PutValues(ctx, modelValue(i), modelValue(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutChunks(ctx, heapPages(1, 50)); err != nil {
		t.Fatal(err)
	}
	st, err := s.Stats(ctx)
	if err != nil || st.Values != 11 || st.Chunks != 50 || st.Packs < 2 || st.PackBytes == 0 || st.DiskBytes == 0 {
		t.Errorf("got %+v, %v", st, err)
	}
}

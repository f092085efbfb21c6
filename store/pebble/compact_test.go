package pebble

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aorta/store"
)

func TestCompactKeepsWhatIsNeededAndFreesTheRest(t *testing.T) {
	ctx := t.Context()
	fs := vfs.NewMem()
	s := open(t, "data", with(tiny, fs))
	needed := map[store.Hash]bool{}
	var kept []store.Chunk
	var values []store.Hash
	for call := range 40 {
		chunks := heapPages(uint64(call), 30)
		if call%10 == 0 { // one pack of some is all needed
			for _, c := range chunks {
				needed[c.Hash] = true
			}
			kept = append(kept, chunks...)
		} else {
			needed[chunks[3].Hash] = true
			kept = append(kept, chunks[3])
		}
		if err := s.PutChunks(ctx, chunks); err != nil {
			t.Fatal(err)
		}
		if call%8 == 0 {
			h, err := s.PutValues(ctx, content("large value", call, 100<<10))
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, h...)
		}
	}
	check := func(s *Store) {
		t.Helper()
		if err := readAll(s, kept); err != nil {
			t.Fatal(err)
		}
		for _, h := range values {
			if _, err := s.Value(ctx, h); err != nil {
				t.Fatal(err)
			}
		}
	}
	before, err := s.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(ctx, func(h store.Hash) bool { return needed[h] }); err != nil {
		t.Fatal(err)
	}
	check(s)
	after, err := s.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if after.Chunks != int64(len(kept)) || after.PackBytes > before.PackBytes*6/10 {
		t.Errorf("before %+v, after %+v; %d chunks are needed", before, after, len(kept))
	}
	gone := heapPages(1, 30)[0]
	if has, err := s.HasChunks(ctx, []store.Hash{gone.Hash}); err != nil || has[0] {
		t.Errorf("a chunk that nobody needs is there: %v, %v", has, err)
	}
	// It is stored again when it comes again, and nothing is missed later.
	if err := s.PutChunks(ctx, []store.Chunk{gone}); err != nil {
		t.Fatal(err)
	}
	if err := readAll(s, []store.Chunk{gone}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, "data", with(tiny, fs))
	check(again)
	if files, err := fs.List("data/packs"); err != nil || len(files) > after.Packs+1 {
		t.Errorf("%d packs are left as files, %v; want %d", len(files), err, after.Packs+1)
	}
}

func readAll(s *Store, chunks []store.Chunk) error {
	hashes := make([]store.Hash, len(chunks))
	for i, c := range chunks {
		hashes[i] = c.Hash
	}
	n := 0
	err := s.Chunks(context.Background(), hashes, func(int, []byte) error { n++; return nil })
	if err == nil && n != len(chunks) {
		err = fmt.Errorf("%d of %d chunks", n, len(chunks))
	}
	return err
}

func TestCompactMissesNothingThatIsPutMeanwhile(t *testing.T) {
	ctx := t.Context()
	s := open(t, "data", with(tiny, vfs.NewMem()))
	var wg sync.WaitGroup
	for c := range 4 {
		rng := rand.New(rand.NewPCG(uint64(c), 0))
		wg.Go(func() {
			for range 60 {
				chunks := heapPages(rng.Uint64N(12), 20)
				if err := s.PutChunks(ctx, chunks); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	// Nothing is needed but what is put while Compact runs; who puts it
	// afterwards finds it, stored or not before.
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		mine := heapPages(3, 20)
		ready := make(chan error, 1)
		first := true
		err := s.Compact(ctx, func(store.Hash) bool {
			if first {
				first = false
				go func() { ready <- s.PutChunks(ctx, mine) }()
				if err := <-ready; err != nil {
					t.Error(err)
				}
			}
			return false
		})
		if err != nil {
			t.Fatal(err)
		}
		if !first {
			if err := readAll(s, mine); err != nil {
				t.Fatalf("put while Compact ran, and lost: %v", err)
			}
		}
	}
}

func TestReadingGoesOnWhileCompactMovesThings(t *testing.T) {
	ctx := t.Context()
	s := open(t, "data", with(tiny, vfs.NewMem()))
	var kept []store.Chunk
	for call := range 30 {
		chunks := heapPages(uint64(call), 30)
		kept = append(kept, chunks[0], chunks[17])
		if err := s.PutChunks(ctx, chunks); err != nil {
			t.Fatal(err)
		}
	}
	needed := map[store.Hash]bool{}
	for _, c := range kept {
		needed[c.Hash] = true
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := readAll(s, kept); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for round := range 5 {
		if err := s.Compact(ctx, func(h store.Hash) bool { return needed[h] }); err != nil {
			t.Fatal(err)
		}
		if err := s.PutChunks(ctx, slices.Concat(kept, heapPages(uint64(100+round), 60))); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
}

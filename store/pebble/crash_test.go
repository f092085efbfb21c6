package pebble

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"pgregory.net/rapid"

	"aorta/store"
)

// A wreck is what a crash leaves: the disk, and what was known just then.
type wreck struct {
	disk  *vfs.MemFS
	known facts
}

// crashing returns a file system that takes a picture of itself before its
// n-th write from now: what a crash then would leave.
func crashing(fs *vfs.MemFS, m *model, n int64, unsynced int, rng *rand.Rand) (vfs.FS, func() wreck) {
	var count atomic.Int64
	var once sync.Once
	var left wreck
	take := func() {
		once.Do(func() {
			// What is known first: what is acknowledged between the two is
			// there without having to be.
			known := m.now()
			left.disk = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rng})
			// And what was attempted after: it may be there.
			later := m.now()
			known.attempted = later.attempted
			for v := range later.values {
				attempt(known.values, v)
			}
			for c := range later.chunks {
				attempt(known.chunks, c)
			}
			for name, targets := range later.links {
				known.links[name] = append(known.links[name], targets...)
			}
			left.known = known
		})
	}
	wrapped := onWrite(fs, func(errorfs.Op) {
		if count.Add(1) == n {
			take()
		}
	})
	return wrapped, func() wreck { take(); return left }
}

// TestCrashTakesNothingThatWasAcknowledged runs random operations, crashes at
// a random write, opens what is left and goes on with that.
func TestCrashTakesNothingThatWasAcknowledged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		fs, m := vfs.NewCrashableMem(), newModel()
		for life := range rapid.IntRange(1, 3).Draw(t, "lives") {
			n := rapid.Int64Range(1, 400).Draw(t, "writes until the crash")
			unsynced := rapid.SampledFrom([]int{0, 20, 50, 80, 100}).Draw(t, "percent of unsynced blocks that survive")
			rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			ops := rapid.SliceOfN(rapid.SampledFrom(operations), 1, 60).Draw(t, "operations")
			disk, crash := crashing(fs, m, n, unsynced, rng)
			s, err := Open("data", with(tiny, disk))
			if err != nil {
				t.Fatalf("life %d: %v", life, err)
			}
			defer s.Close()
			if err := m.check(ctx, s, m.now()); err != nil {
				t.Fatalf("life %d: %v", life, err)
			}
			for _, op := range ops {
				if err := m.step(ctx, s, op, rapid.IntRange(0, 40).Draw(t, "n")); err != nil {
					t.Fatalf("life %d: %s: %v", life, op, err)
				}
			}
			left := crash()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			fs, m = left.disk, &model{facts: left.known}
		}
		s, err := Open("data", with(tiny, fs))
		if err != nil {
			t.Fatalf("open what the crash left: %v", err)
		}
		defer s.Close()
		if err := m.check(ctx, s, m.now()); err != nil {
			t.Fatal(err)
		}
		// What the crash took can be stored again.
		for n := range 60 {
			if err := s.PutChunks(ctx, []store.Chunk{modelChunk(n)}); err != nil {
				t.Fatal(err)
			}
			m.chunks[n] = written
		}
		if err := m.checkChunks(ctx, s); err != nil {
			t.Fatalf("stored again: %v", err)
		}
	})
}

// TestCrashDuringOpeningLeavesADirectoryThatOpens crashes at every write of
// the first opening, and of one that finds something.
func TestCrashDuringOpeningLeavesADirectoryThatOpens(t *testing.T) {
	ctx := t.Context()
	for seed := range uint64(20) {
		for n := int64(1); ; n++ {
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			fs, m := vfs.NewCrashableMem(), newModel()
			if seed%2 == 1 {
				s, err := Open("data", with(tiny, fs))
				if err != nil {
					t.Fatal(err)
				}
				for _, op := range operations {
					if err := m.step(ctx, s, op, int(seed)); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			disk, crash := crashing(fs, m, n, int(seed%7)*15, rng)
			var writes atomic.Int64
			s, err := Open("data", with(tiny, onWrite(disk, func(errorfs.Op) { writes.Add(1) })))
			if err != nil {
				t.Fatal(err)
			}
			left, opening := crash(), writes.Load()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			again, err := Open("data", with(tiny, left.disk))
			if err != nil {
				t.Fatalf("seed %d, write %d: %v", seed, n, err)
			}
			if err := m.check(ctx, again, left.known); err != nil {
				t.Errorf("seed %d, write %d: %v", seed, n, err)
			}
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
			if n > opening {
				break
			}
		}
	}
}

// onWrite returns a file system that calls f before each of its writes.
func onWrite(fs vfs.FS, f func(op errorfs.Op)) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			f(op)
		}
		return nil
	}))
}

func with(opts Options, fs vfs.FS) Options {
	opts.FS = fs
	return opts
}

// TestCrashDuringConcurrentCallsTakesNothingThatWasAcknowledged does the same
// while many call at once.
func TestCrashDuringConcurrentCallsTakesNothingThatWasAcknowledged(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			ctx := t.Context()
			rng := rand.New(rand.NewPCG(seed, 1))
			fs, m := vfs.NewCrashableMem(), newModel()
			disk, crash := crashing(fs, m, 20+rng.Int64N(600), int(seed%5)*25, rng)
			s, err := Open("data", with(tiny, disk))
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for c := range 6 {
				rng := rand.New(rand.NewPCG(seed, uint64(c)+2))
				wg.Go(func() {
					for range 30 {
						var err error
						// A few things that all put at once, or many.
						n := rng.IntN([]int{5, 40}[seed%2])
						switch rng.IntN(5) {
						case 0:
							err = m.step(ctx, s, "chunks", n)
						case 1:
							err = m.step(ctx, s, "values", n)
						case 2:
							err = m.step(ctx, s, "sync", 0)
						default:
							err = m.append(ctx, s, fmt.Sprint("log", c))
						}
						if err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			left := crash()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			again, err := Open("data", with(tiny, left.disk))
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if err := (&model{}).check(ctx, again, left.known); err != nil {
				t.Fatal(err)
			}
		})
	}
}

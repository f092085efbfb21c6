package storetest

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"

	"aorta/store"
)

func chunkOf(seed, n int) store.Chunk {
	data := sized(seed, n)
	return store.Chunk{Hash: store.Sum(data), Data: data}
}

func someChunks(seed, count, n int) []store.Chunk {
	out := make([]store.Chunk, count)
	for i := range out {
		out[i] = chunkOf(seed+i, n)
	}
	return out
}

func hashesOf(chunks []store.Chunk) []store.Hash {
	out := make([]store.Hash, len(chunks))
	for i, c := range chunks {
		out[i] = c.Hash
	}
	return out
}

func testChunks(t *testing.T, h harness) {
	t.Run("ComeBackWhole", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		chunks := slices.Concat(someChunks(0, 300, 4<<10), someChunks(1000, 10, store.MaxChunk),
			[]store.Chunk{chunkOf(2000, 0), chunkOf(2001, 1), chunkOf(2002, 5000)})
		must(t, s.PutChunks(ctx, chunks))
		wantChunks(t, s, chunks)
	})
	t.Run("ComeBackInWhateverOrderTheyAreAskedFor", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		var all []store.Chunk
		for call := range 5 {
			chunks := someChunks(call*1000, 100, 4<<10)
			must(t, s.PutChunks(ctx, chunks))
			all = append(all, chunks...)
		}
		slices.SortFunc(all, func(a, b store.Chunk) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
		wantChunks(t, s, all)
		wantChunks(t, s, []store.Chunk{all[7], all[300], all[7], all[7]})
	})
	t.Run("OfNoneAreNone", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		must(t, s.PutChunks(ctx, nil))
		wantChunks(t, s, nil)
	})
	t.Run("MayBePutAgain", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		chunks := someChunks(0, 50, 4<<10)
		must(t, s.PutChunks(ctx, chunks[:30]))
		must(t, s.PutChunks(ctx, slices.Concat(chunks, chunks[10:40])))
		must(t, s.PutChunks(ctx, chunks))
		wantChunks(t, s, chunks)
	})
	t.Run("OverTheLimitAreRefused", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		good, bad := chunkOf(0, 10), chunkOf(1, store.MaxChunk+1)
		if err := s.PutChunks(ctx, []store.Chunk{good, bad}); err == nil {
			t.Fatal("a chunk that is too large was taken")
		}
		must(t, s.PutChunks(ctx, []store.Chunk{good}))
		wantChunks(t, s, []store.Chunk{good})
	})
	t.Run("ThatDoNotMatchTheirHashAreDamaged", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		lie := store.Chunk{Hash: store.Sum([]byte("truth")), Data: []byte("lie")}
		must(t, s.PutChunks(ctx, []store.Chunk{lie}))
		err := s.Chunks(ctx, []store.Hash{lie.Hash}, func(int, []byte) error {
			t.Error("damaged bytes were handed out")
			return nil
		})
		wantError(t, err, store.ErrCorrupt)
	})
	t.Run("ThatAreUnknownAreNotFound", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		known, unknown := chunkOf(0, 100), chunkOf(1, 100)
		must(t, s.PutChunks(ctx, []store.Chunk{known}))
		err := s.Chunks(ctx, []store.Hash{known.Hash, unknown.Hash}, func(i int, _ []byte) error {
			if i != 0 {
				t.Errorf("chunk %d was handed out", i)
			}
			return nil
		})
		wantError(t, err, store.ErrNotFound)
		has, err := s.HasChunks(ctx, []store.Hash{unknown.Hash, known.Hash})
		must(t, err)
		if !slices.Equal(has, []bool{false, true}) {
			t.Fatalf("HasChunks says %v", has)
		}
	})
	t.Run("EndWithTheErrorOfTheCaller", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		chunks := someChunks(0, 500, 4<<10)
		must(t, s.PutChunks(ctx, chunks))
		stop := errors.New("enough")
		calls := 0
		err := s.Chunks(ctx, hashesOf(chunks), func(int, []byte) error {
			calls++
			if calls == 3 {
				return stop
			}
			return nil
		})
		wantError(t, err, stop)
		if calls != 3 {
			t.Fatalf("there were %d calls, want none after the error", calls)
		}
	})
	t.Run("MayBeAskedForFromWithinTheCall", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		chunks := someChunks(0, 200, 4<<10)
		must(t, s.PutChunks(ctx, chunks))
		must(t, s.Chunks(ctx, hashesOf(chunks), func(i int, data []byte) error {
			if err := s.PutChunks(ctx, []store.Chunk{chunkOf(1000+i, 100)}); err != nil {
				return err
			}
			return s.Chunks(ctx, hashesOf(chunks[:2]), func(int, []byte) error { return nil })
		}))
	})
	t.Run("AreThereAfterSyncAndReopening", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		first, second := someChunks(0, 300, 4<<10), someChunks(500, 20, store.MaxChunk)
		must(t, s.PutChunks(ctx, first))
		must(t, s.Sync(ctx))
		must(t, s.PutChunks(ctx, second))
		must(t, s.Sync(ctx))
		s = h.again(t, s)
		wantChunks(t, s, slices.Concat(second, first))
		must(t, s.PutChunks(ctx, someChunks(900, 20, 100)))
		must(t, s.Sync(ctx))
		s = h.again(t, s)
		wantChunks(t, s, slices.Concat(first, second, someChunks(900, 20, 100)))
	})
	t.Run("ComeFromManyCallersAtOnce", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		var wg sync.WaitGroup
		for c := range 6 {
			wg.Go(func() {
				for i := range 20 {
					chunks := someChunks(c*7+i*5, 40, 2000) // many the same for all
					if err := s.PutChunks(ctx, chunks); err != nil {
						t.Error(err)
						return
					}
					if c == 0 {
						if err := s.Sync(ctx); err != nil {
							t.Error(err)
							return
						}
					}
					if err := checkChunks(t, s, chunks); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
	t.Run("WaitForNobodyWhoseContextEnded", func(t *testing.T) {
		s := h.store(t)
		c := chunkOf(0, 10)
		wantError(t, s.PutChunks(cancelled(), []store.Chunk{c}), cancelled().Err())
		wantError(t, s.Chunks(cancelled(), []store.Hash{c.Hash}, nil), cancelled().Err())
		_, err := s.HasChunks(cancelled(), []store.Hash{c.Hash})
		wantError(t, err, cancelled().Err())
	})
}

func wantChunks(t *testing.T, s store.Store, want []store.Chunk) {
	t.Helper()
	must(t, checkChunks(t, s, want))
	has, err := s.HasChunks(t.Context(), hashesOf(want))
	must(t, err)
	if len(has) != len(want) || slices.Contains(has, false) {
		t.Fatal("HasChunks denies chunks that can be read")
	}
}

func checkChunks(t *testing.T, s store.Store, want []store.Chunk) error {
	got := make([]int, len(want))
	err := s.Chunks(t.Context(), hashesOf(want), func(i int, data []byte) error {
		if !bytes.Equal(data, want[i].Data) {
			return errors.New("a chunk has other bytes")
		}
		got[i]++
		return nil
	})
	if err != nil {
		return err
	}
	for _, n := range got {
		if n != 1 {
			return errors.New("a chunk was handed out not once")
		}
	}
	return nil
}

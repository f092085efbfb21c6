package storetest

import (
	"bytes"
	"sync"
	"testing"

	"aorta/store"
)

// sizes are lengths of values around the limits that implementations have.
var sizes = []int{0, 1, 31, 32, 33, 4 << 10, 64<<10 - 1, 64 << 10, 64<<10 + 1, 512 << 10, 512<<10 + 1, 3<<20 + 17}

func testValues(t *testing.T, h harness) {
	t.Run("ComeBackByTheirHash", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		var values [][]byte
		for i, n := range sizes {
			values = append(values, sized(i, n))
		}
		hashes, err := s.PutValues(ctx, values...)
		must(t, err)
		if len(hashes) != len(values) {
			t.Fatalf("got %d hashes for %d values", len(hashes), len(values))
		}
		for i, v := range values {
			if hashes[i] != store.Sum(v) {
				t.Errorf("value %d of %d bytes has the hash %s, want its SHA-256", i, len(v), hashes[i])
			}
			wantValue(t, s, hashes[i], v)
		}
	})
	t.Run("NothingIsStoredForNoValues", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		hashes, err := s.PutValues(ctx)
		must(t, err)
		if len(hashes) != 0 {
			t.Fatalf("got %d hashes", len(hashes))
		}
	})
	t.Run("MayBePutAgain", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		for i, n := range sizes {
			v := sized(i, n)
			_, err := s.PutValues(ctx, v, v)
			must(t, err)
			hashes, err := s.PutValues(ctx, v)
			must(t, err)
			wantValue(t, s, hashes[0], v)
		}
	})
	t.Run("BelongToTheCallerBeforeAndAfter", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		for _, n := range []int{100, 100 << 10} {
			v := sized(1, n)
			want := bytes.Clone(v)
			hashes, err := s.PutValues(ctx, v)
			must(t, err)
			clear(v)
			got, err := s.Value(ctx, hashes[0])
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Fatal("the store kept the caller's bytes, not a copy")
			}
			clear(got)
			wantValue(t, s, hashes[0], want)
		}
	})
	t.Run("ThatAreUnknownAreNotFound", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		_, err := s.Value(ctx, store.Sum([]byte("never stored")))
		wantError(t, err, store.ErrNotFound)
	})
	t.Run("AreThereAfterSyncAndReopening", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		var hashes []store.Hash
		for i, n := range sizes {
			put, err := s.PutValues(ctx, sized(i, n))
			must(t, err)
			hashes = append(hashes, put...)
		}
		must(t, s.Sync(ctx))
		s = h.again(t, s)
		for i, n := range sizes {
			wantValue(t, s, hashes[i], sized(i, n))
		}
	})
	t.Run("ComeFromManyCallersAtOnce", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		var wg sync.WaitGroup
		for c := range 8 {
			wg.Go(func() {
				for i := range 50 {
					// Half of them are the same for all callers.
					v := sized(i+(c%2)*1000*c, 50+i*3000)
					hashes, err := s.PutValues(ctx, v)
					if err != nil {
						t.Error(err)
						return
					}
					got, err := s.Value(ctx, hashes[0])
					if err != nil || !bytes.Equal(got, v) {
						t.Errorf("got %d bytes, %v, want %d", len(got), err, len(v))
						return
					}
				}
			})
		}
		wg.Wait()
	})
	t.Run("WaitForNobodyWhoseContextEnded", func(t *testing.T) {
		s := h.store(t)
		_, err := s.PutValues(cancelled(), []byte("x"))
		wantError(t, err, cancelled().Err())
		_, err = s.Value(cancelled(), store.Sum([]byte("x")))
		wantError(t, err, cancelled().Err())
		_, err = s.Value(t.Context(), store.Sum([]byte("x")))
		wantError(t, err, store.ErrNotFound)
	})
}

func wantValue(t *testing.T, s store.Store, h store.Hash, want []byte) {
	t.Helper()
	got, err := s.Value(t.Context(), h)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Fatalf("value %s: got %d bytes, want %d others", h, len(got), len(want))
	}
}

package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"aorta/store"
)

func testLeases(t *testing.T, h harness) {
	t.Run("BelongToOneOwner", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		token := acquire(t, s, "p", "one")
		_, err := s.Acquire(ctx, "p", "two")
		wantConflict(t, err, "p")
		if again := acquire(t, s, "p", "one"); again != token {
			t.Fatalf("renewed under token %d, want %d", again, token)
		}
		acquire(t, s, "q", "two")
	})
	t.Run("AreGivenBackByTheirOwnerOnly", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		wantConflict(t, s.Release(ctx, "p", "one", 1), "p")
		token := acquire(t, s, "p", "one")
		wantConflict(t, s.Release(ctx, "p", "two", token), "p")
		wantConflict(t, s.Release(ctx, "p", "one", token+1), "p")
		must(t, s.Release(ctx, "p", "one", token))
		wantConflict(t, s.Release(ctx, "p", "one", token), "p")
	})
	t.Run("GiveTokensThatGrow", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		last := uint64(0)
		for i := range 10 {
			owner := fmt.Sprint(i % 3)
			token := acquire(t, s, "p", owner)
			if token <= last {
				t.Fatalf("got token %d after %d", token, last)
			}
			last = token
			must(t, s.Release(ctx, "p", owner, token))
		}
	})
	t.Run("RefuseBadNames", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		if _, err := s.Acquire(ctx, "", "one"); err == nil {
			t.Error("an empty name was taken")
		}
		if _, err := s.Acquire(ctx, "p", ""); err == nil {
			t.Error("an empty owner was taken")
		}
	})
	t.Run("GoToOneOfMany", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		var wg sync.WaitGroup
		var mu sync.Mutex
		holder, last := "", uint64(0)
		for c := range 8 {
			wg.Go(func() {
				owner := fmt.Sprint("owner ", c)
				for range 10 {
					token, err := s.Acquire(ctx, "p", owner)
					var conflict *store.ConflictError
					if errors.As(err, &conflict) {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if holder != "" || token <= last {
						t.Errorf("%s got token %d while %q held it, after %d", owner, token, holder, last)
					}
					holder, last = owner, token
					mu.Unlock()
					mu.Lock()
					holder = ""
					mu.Unlock()
					if err := s.Release(ctx, "p", owner, token); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
	t.Run("AreHeldAfterReopening", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		held, free := acquire(t, s, "held", "one"), acquire(t, s, "free", "one")
		must(t, s.Release(ctx, "free", "one", free))
		s = h.again(t, s)
		_, err := s.Acquire(ctx, "held", "two")
		wantConflict(t, err, "held")
		if token := acquire(t, s, "held", "one"); token != held {
			t.Fatalf("renewed under token %d, want %d", token, held)
		}
		if token := acquire(t, s, "free", "two"); token <= free {
			t.Fatalf("got token %d after %d", token, free)
		}
	})
	t.Run("WaitForNobodyWhoseContextEnded", func(t *testing.T) {
		s := h.store(t)
		_, err := s.Acquire(cancelled(), "p", "one")
		wantError(t, err, context.Canceled)
		token := acquire(t, s, "p", "two")
		wantError(t, s.Release(cancelled(), "p", "two", token), context.Canceled)
	})
}

func acquire(t *testing.T, s store.Store, name, owner string) uint64 {
	t.Helper()
	token, err := s.Acquire(t.Context(), name, owner)
	must(t, err)
	if token == 0 {
		t.Fatal("got token 0, which is what no lease looks like")
	}
	return token
}

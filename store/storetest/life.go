package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"aorta/store"
)

func testLife(t *testing.T, h harness) {
	t.Run("ClosingTwiceIsHarmless", func(t *testing.T) {
		s := h.store(t)
		must(t, s.Close())
		must(t, s.Close())
	})
	t.Run("NothingWorksAfterClosing", func(t *testing.T) {
		s := h.store(t)
		must(t, s.Append(t.Context(), "log", 0, nil))
		must(t, s.Close())
		for name, err := range everyCall(t, s) {
			if !errors.Is(err, store.ErrClosed) {
				t.Errorf("%s: got %v, want ErrClosed", name, err)
			}
		}
	})
	t.Run("SyncTakesAContext", func(t *testing.T) {
		s := h.store(t)
		wantError(t, s.Sync(cancelled()), cancelled().Err())
		must(t, s.Sync(t.Context()))
	})
	t.Run("ClosingDuringCallsBreaksNone", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		var wg, started sync.WaitGroup
		for c := range 8 {
			started.Add(1)
			wg.Go(func() {
				log := fmt.Sprint("log", c)
				for slot := uint64(0); ; slot++ {
					chunk := chunkOf(c*1000+int(slot), 500)
					err := errors.Join(s.Append(ctx, log, slot, nil), s.PutChunks(ctx, []store.Chunk{chunk}), s.Sync(ctx))
					for _, e := range s.LinksIn(ctx, "", "", false) {
						err = errors.Join(err, e)
					}
					if slot == 0 {
						started.Done()
					}
					if err != nil {
						if !errors.Is(err, store.ErrClosed) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		started.Wait()
		must(t, s.Close())
		wg.Wait()
	})
	t.Run("ClosingKeepsEverything", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		chunks := someChunks(0, 100, 4<<10)
		must(t, s.PutChunks(ctx, chunks))
		hashes, err := s.PutValues(ctx, []byte("small"), sized(1, 200<<10))
		must(t, err)
		must(t, s.SetLinks(ctx, link("a", "1")))
		s = h.again(t, s)
		wantChunks(t, s, chunks)
		wantValue(t, s, hashes[0], []byte("small"))
		wantValue(t, s, hashes[1], sized(1, 200<<10))
		wantLink(t, s, "a", "1")
	})
}

// everyCall calls every method of s once, with valid arguments.
func everyCall(t *testing.T, s store.Store) map[string]error {
	ctx := t.Context()
	calls := map[string]error{}
	_, calls["PutValues"] = s.PutValues(ctx, []byte("x"))
	_, calls["Value"] = s.Value(ctx, store.Hash{})
	calls["PutChunks"] = s.PutChunks(ctx, someChunks(0, 1, 10))
	calls["Chunks"] = s.Chunks(ctx, make([]store.Hash, 1), func(int, []byte) error { return nil })
	_, calls["HasChunks"] = s.HasChunks(ctx, make([]store.Hash, 1))
	calls["SetLinks"] = s.SetLinks(ctx, link("a", "1"))
	calls["SwapLink"] = s.SwapLink(ctx, "a", nil, []byte("1"))
	_, calls["Link"] = s.Link(ctx, "a")
	for _, calls["LinksIn"] = range s.LinksIn(ctx, "", "", false) {
	}
	calls["Append"] = s.Append(ctx, "log", 1, nil)
	_, calls["LastSlot"] = s.LastSlot(ctx, "log")
	for _, calls["Records"] = range s.Records(ctx, "log", 0) {
	}
	for _, calls["Logs"] = range s.Logs(ctx, "") {
	}
	_, calls["Acquire"] = s.Acquire(ctx, "p", "one")
	calls["Release"] = s.Release(ctx, "p", "one", 1)
	calls["Sync"] = s.Sync(ctx)
	return calls
}

package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"aorta/store"
)

func testLogs(t *testing.T, h harness) {
	t.Run("GrowBySlots", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		_, err := s.LastSlot(ctx, "log")
		wantError(t, err, store.ErrNotFound)
		for i := range uint64(600) {
			must(t, s.Append(ctx, "log", i, record("log", i)))
			last, err := s.LastSlot(ctx, "log")
			must(t, err)
			if last != i {
				t.Fatalf("the last slot is %d, want %d", last, i)
			}
		}
		for _, from := range []uint64{0, 1, 255, 256, 599} {
			wantRecords(t, s, "log", from, 600)
		}
		wantRecords(t, s, "log", 600, 600)
		wantRecords(t, s, "log", math.MaxUint64, 600)
		wantRecords(t, s, "another", 0, 0)
	})
	t.Run("TakeOnlyTheNextSlot", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		wantConflict(t, s.Append(ctx, "log", 1, []byte("x")), "log")
		wantConflict(t, s.Append(ctx, "log", math.MaxUint64, []byte("x")), "log")
		must(t, s.Append(ctx, "log", 0, record("log", 0)))
		for _, slot := range []uint64{0, 2, math.MaxUint64} {
			wantConflict(t, s.Append(ctx, "log", slot, []byte("x")), "log")
		}
		must(t, s.Append(ctx, "log", 1, record("log", 1)))
		wantRecords(t, s, "log", 0, 2)
	})
	t.Run("HoldRecordsOfAllSizes", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		for i, n := range sizes {
			must(t, s.Append(ctx, "log", uint64(i), sized(i, n)))
		}
		i := 0
		for r, err := range s.Records(ctx, "log", 0) {
			must(t, err)
			if r.Slot != uint64(i) || !bytes.Equal(r.Data, sized(i, sizes[i])) {
				t.Fatalf("record %d has %d bytes, want %d", r.Slot, len(r.Data), sizes[i])
			}
			i++
		}
		if i != len(sizes) {
			t.Fatalf("got %d records, want %d", i, len(sizes))
		}
	})
	t.Run("KeepApart", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		names := []string{"a", "aa", "a/b", "a\x01", "b", "\xff", strings.Repeat("n", 1<<10)}
		for slot := range uint64(3) {
			for _, name := range names {
				must(t, s.Append(ctx, name, slot, record(name, slot)))
			}
		}
		for _, name := range names {
			wantRecords(t, s, name, 0, 3)
		}
		for _, bad := range []string{"", "a\x00b", strings.Repeat("n", 1<<10+1)} {
			if err := s.Append(ctx, bad, 0, nil); err == nil {
				t.Errorf("the name %.10q was taken", bad)
			}
		}
	})
	t.Run("AreListedInOrder", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		for _, name := range []string{"b", "a", "b/1", "b/\xff", "c", "b0"} {
			for slot := range uint64(3) {
				must(t, s.Append(ctx, name, slot, nil))
			}
		}
		wantLogs(t, s, "", "a", "b", "b/1", "b/\xff", "b0", "c")
		wantLogs(t, s, "b", "b", "b/1", "b/\xff", "b0")
		wantLogs(t, s, "b/", "b/1", "b/\xff")
		wantLogs(t, s, "x")
	})
	t.Run("AreReadAsOfTheCall", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		for slot := range uint64(3) {
			must(t, s.Append(ctx, "log", slot, record("log", slot)))
		}
		next := uint64(3)
		n := 0
		for _, err := range s.Records(ctx, "log", 0) {
			must(t, err)
			must(t, s.Append(ctx, "log", next, record("log", next)))
			next++
			n++
		}
		if n != 3 {
			t.Fatalf("got %d records, want the 3 there were", n)
		}
		wantRecords(t, s, "log", 0, 6)
	})
	t.Run("MayBeReadInPart", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		for slot := range uint64(10) {
			must(t, s.Append(ctx, "log", slot, nil))
		}
		for r, err := range s.Records(ctx, "log", 4) {
			must(t, err)
			if r.Slot == 6 {
				break
			}
		}
		for _, err := range s.Logs(ctx, "") {
			must(t, err)
			break
		}
	})
	t.Run("BelongToTheCallerBeforeAndAfter", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		data := record("log", 0)
		must(t, s.Append(ctx, "log", 0, data))
		clear(data)
		for r, err := range s.Records(ctx, "log", 0) {
			must(t, err)
			clear(r.Data)
		}
		wantRecords(t, s, "log", 0, 1)
	})
	t.Run("TakeASlotFromOneOfMany", func(t *testing.T) { logsTakeASlotFromOneOfMany(t, h) })
	t.Run("GrowAtOnce", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		var wg sync.WaitGroup
		for c := range 32 {
			wg.Go(func() {
				name := fmt.Sprint("log", c)
				for slot := range uint64(30) {
					if err := s.Append(ctx, name, slot, record(name, slot)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		for c := range 32 {
			wantRecords(t, s, fmt.Sprint("log", c), 0, 30)
		}
	})
	t.Run("ShowOnlyWholeRunsWhileTheyGrow", func(t *testing.T) { logsShowOnlyWholeRuns(t, h) })
	t.Run("AreThereAfterReopeningWithoutSync", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		for round := range uint64(3) {
			for slot := range uint64(5) {
				must(t, s.Append(ctx, "log", round*5+slot, record("log", round*5+slot)))
			}
			s = h.again(t, s)
			wantRecords(t, s, "log", 0, round*5+5)
			wantConflict(t, s.Append(ctx, "log", round*5+4, nil), "log")
		}
		wantLogs(t, s, "", "log")
	})
	t.Run("WaitForNobodyWhoseContextEnded", func(t *testing.T) {
		s := h.store(t)
		wantError(t, s.Append(cancelled(), "log", 0, nil), context.Canceled)
		for slot := range uint64(3) {
			must(t, s.Append(t.Context(), "log", slot, record("log", slot)))
		}
		_, err := s.LastSlot(cancelled(), "log")
		wantError(t, err, context.Canceled)
		for _, err := range s.Records(cancelled(), "log", 0) {
			wantError(t, err, context.Canceled)
		}
		for _, err := range s.Logs(cancelled(), "") {
			wantError(t, err, context.Canceled)
		}
		wantRecords(t, s, "log", 0, 3)
	})
	t.Run("AreWholeWhoeverGivesUpWaiting", func(t *testing.T) { logsAreWholeWhoeverGivesUp(t, h) })
}

// logsTakeASlotFromOneOfMany lets many append to one log, each at the slot
// after the last that it knows of: exactly one gets each slot.
func logsTakeASlotFromOneOfMany(t *testing.T, h harness) {
	ctx, s := t.Context(), h.store(t)
	const slots = 100
	var mu sync.Mutex
	won := map[uint64]string{}
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for slot := uint64(0); slot < slots; {
				name := fmt.Sprintf("caller %d in slot %d", c, slot)
				err := s.Append(ctx, "log", slot, []byte(name))
				var conflict *store.ConflictError
				switch {
				case err == nil:
					mu.Lock()
					if other, twice := won[slot]; twice {
						t.Errorf("%s and %s were both told yes", name, other)
					}
					won[slot] = name
					mu.Unlock()
					slot++
				case errors.As(err, &conflict):
					last, err := s.LastSlot(ctx, "log")
					if err != nil && !errors.Is(err, store.ErrNotFound) {
						t.Error(err)
						return
					}
					if err == nil {
						slot = last + 1
					}
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	n := 0
	for r, err := range s.Records(ctx, "log", 0) {
		must(t, err)
		if won[r.Slot] != string(r.Data) {
			t.Fatalf("slot %d has %q, but %q was told yes", r.Slot, r.Data, won[r.Slot])
		}
		n++
	}
	if n != slots || len(won) != slots {
		t.Fatalf("got %d records for %d acknowledged, want %d", n, len(won), slots)
	}
}

// logsShowOnlyWholeRuns reads a log while it grows.
func logsShowOnlyWholeRuns(t *testing.T, h harness) {
	ctx, s := t.Context(), h.store(t)
	const slots = 300
	grown := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(grown)
		for slot := range uint64(slots) {
			if err := s.Append(ctx, "log", slot, record("log", slot)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			for done := false; !done; {
				select {
				case <-grown:
					done = true
				default:
				}
				last, err := s.LastSlot(ctx, "log")
				if errors.Is(err, store.ErrNotFound) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				next := uint64(0)
				for r, err := range s.Records(ctx, "log", 0) {
					if err != nil || r.Slot != next || !bytes.Equal(r.Data, record("log", next)) {
						t.Errorf("slot %d: got slot %d with %q, %v", next, r.Slot, r.Data, err)
						return
					}
					next++
				}
				if next <= last {
					t.Errorf("read %d slots after the last was said to be %d", next, last)
					return
				}
			}
		})
	}
	wg.Wait()
}

// logsAreWholeWhoeverGivesUp cancels appends while they are under way.
func logsAreWholeWhoeverGivesUp(t *testing.T, h harness) {
	s := h.store(t)
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			name := fmt.Sprint("log", c)
			next := uint64(0)
			for range 60 {
				ctx, cancel := context.WithCancel(t.Context())
				go cancel()
				err := s.Append(ctx, name, next, record(name, next))
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
					return
				}
				acknowledged := err == nil
				last, err := s.LastSlot(t.Context(), name)
				switch {
				case errors.Is(err, store.ErrNotFound) && next == 0 && !acknowledged:
				case err != nil:
					t.Error(err)
					return
				case acknowledged && last != next, last > next:
					t.Errorf("the last slot is %d after an append at %d", last, next)
					return
				default:
					next = last + 1
				}
			}
		})
	}
	wg.Wait()
	for c := range 8 {
		name := fmt.Sprint("log", c)
		last, err := s.LastSlot(t.Context(), name)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		must(t, err)
		wantRecords(t, s, name, 0, last+1)
	}
}

// record is what the tests write to a slot.
func record(log string, slot uint64) []byte { return fmt.Appendf(nil, "%.20s in slot %d", log, slot) }

func wantRecords(t *testing.T, s store.Store, log string, from, to uint64) {
	t.Helper()
	next := from
	for r, err := range s.Records(t.Context(), log, from) {
		must(t, err)
		if r.Slot != next || !bytes.Equal(r.Data, record(log, next)) {
			t.Fatalf("log %.20q: got slot %d with %q, want slot %d", log, r.Slot, r.Data, next)
		}
		next++
	}
	if next != max(from, to) {
		t.Fatalf("log %.20q ends before slot %d, want %d", log, next, to)
	}
}

func wantLogs(t *testing.T, s store.Store, prefix string, want ...string) {
	t.Helper()
	var got []string
	for name, err := range s.Logs(t.Context(), prefix) {
		must(t, err)
		got = append(got, name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("logs with %q (-want +got):\n%s", prefix, diff)
	}
}

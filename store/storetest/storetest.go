// Package storetest holds every implementation of store.Store to the contract of the ports.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"aorta/store"
)

// Open returns a new store with nothing in it.
type Open func(tb testing.TB) store.Store

// Reopen closes s and opens what it left.
type Reopen func(tb testing.TB, s store.Store) store.Store

// Run runs the whole suite. It closes every store that it opens. A nil reopen
// leaves out what is about durability.
func Run(t *testing.T, open Open, reopen Reopen) {
	h := harness{open: open, reopen: reopen}
	for _, part := range []struct {
		name string
		test func(*testing.T, harness)
	}{
		{"Values", testValues},
		{"Chunks", testChunks},
		{"Links", testLinks},
		{"Logs", testLogs},
		{"Leases", testLeases},
		{"Life", testLife},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, h) })
	}
}

type harness struct {
	open   Open
	reopen Reopen
}

// store opens a store for one test.
func (h harness) store(t *testing.T) store.Store {
	t.Helper()
	s := h.open(t)
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

// again opens what s left.
func (h harness) again(t *testing.T, s store.Store) store.Store {
	t.Helper()
	if h.reopen == nil {
		t.Skip("this store doesn't outlive its process")
	}
	s = h.reopen(t, s)
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t *testing.T, s store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// must fails the test if err isn't nil.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// wantError fails the test if err isn't want.
func wantError(tb testing.TB, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Fatalf("got error %v, want %v", err, want)
	}
}

// wantConflict fails the test if err isn't a conflict on something with name.
func wantConflict(tb testing.TB, err error, name string) {
	tb.Helper()
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) {
		tb.Fatalf("got error %v, want a conflict", err)
	}
	if !strings.Contains(conflict.What, name) || conflict.Have == "" {
		tb.Fatalf("the conflict %+v doesn't say that it is on %s, and what is there", conflict, name)
	}
}

// sized returns n bytes that differ with seed, half of them easy to compress.
func sized(seed, n int) []byte {
	out := make([]byte, n)
	x := uint64(seed)*0x9e3779b97f4a7c15 + 1
	for i := range out {
		if i%64 < 32 {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			out[i] = byte(x)
		}
	}
	if n > 0 {
		copy(out, fmt.Sprint(seed))
	}
	return out
}

// cancelled returns a context that has ended.
func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

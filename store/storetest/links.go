package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"aorta/store"
)

func link(name, target string) store.Link { return store.Link{Name: name, Target: []byte(target)} }

func testLinks(t *testing.T, h harness) {
	t.Run("PointWhereTheyWereSetLast", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		must(t, s.SetLinks(ctx, link("a", "1"), link("b", "2"), link("empty", "")))
		must(t, s.SetLinks(ctx, link("a", "3")))
		wantLink(t, s, "a", "3")
		wantLink(t, s, "b", "2")
		wantLink(t, s, "empty", "")
		_, err := s.Link(ctx, "c")
		wantError(t, err, store.ErrNotFound)
	})
	t.Run("AreGoneWhenSetToNil", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		must(t, s.SetLinks(ctx, link("a", "1"), link("b", "2")))
		must(t, s.SetLinks(ctx, store.Link{Name: "a"}, store.Link{Name: "never there"}))
		_, err := s.Link(ctx, "a")
		wantError(t, err, store.ErrNotFound)
		wantList(t, s, "", "", false, "b=2")
	})
	t.Run("OfOneCallAreSetInOrder", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		must(t, s.SetLinks(ctx, link("a", "1"), link("a", "2"), link("b", "1"), store.Link{Name: "b"}))
		wantLink(t, s, "a", "2")
		wantList(t, s, "", "", false, "a=2")
	})
	t.Run("KeepTheirLimits", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		long := strings.Repeat("n", 1<<10)
		target := bytes.Repeat([]byte("t"), store.MaxLink)
		must(t, s.SetLinks(ctx, store.Link{Name: long, Target: target}))
		wantLink(t, s, long, string(target))
		for what, bad := range map[string]store.Link{
			"an empty name":     link("", "x"),
			"a long name":       link(long+"n", "x"),
			"a zero byte":       link("a\x00b", "x"),
			"too large a value": {Name: "a", Target: append(target, 't')},
		} {
			if err := s.SetLinks(ctx, link("good", "x"), bad); err == nil {
				t.Errorf("SetLinks took %s", what)
			}
			if err := s.SwapLink(ctx, bad.Name, nil, bad.Target); err == nil {
				t.Errorf("SwapLink took %s", what)
			}
		}
		_, err := s.Link(ctx, "good")
		wantError(t, err, store.ErrNotFound)
	})
	t.Run("AreListedInOrder", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		must(t, s.SetLinks(ctx, link("b/2", "x"), link("a", "x"), link("b/10", "x"), link("b", "x"),
			link("b/1", "x"), link("c", "x"), link("b/\xff", "x"), link("\xff", "x"), link("\xff\xff", "x"), link("b0", "x")))
		for _, l := range []struct {
			prefix, from string
			reverse      bool
			want         string
		}{
			{"", "", false, "a b b/1 b/10 b/2 b/\xff b0 c \xff \xff\xff"},
			{"", "", true, "\xff\xff \xff c b0 b/\xff b/2 b/10 b/1 b a"},
			{"b/", "", false, "b/1 b/10 b/2 b/\xff"},
			{"b/", "", true, "b/\xff b/2 b/10 b/1"},
			{"b/", "b/10", false, "b/10 b/2 b/\xff"},
			{"b/", "b/10", true, "b/10 b/1"},
			{"b/", "b/11", false, "b/2 b/\xff"},
			{"b/", "b/11", true, "b/10 b/1"},
			{"b/", "a", false, "b/1 b/10 b/2 b/\xff"},
			{"b/", "a", true, ""},
			{"b/", "z", false, ""},
			{"b/", "z", true, "b/\xff b/2 b/10 b/1"},
			{"", "b", true, "b a"},
			{"\xff", "", false, "\xff \xff\xff"},
			{"\xff", "", true, "\xff\xff \xff"},
			{"\xff", "\xff", true, "\xff"},
			{"\xff", "\xff\x01", false, "\xff\xff"},
			{"nothing", "", false, ""},
		} {
			var want []string
			for _, name := range strings.Fields(l.want) {
				want = append(want, name+"=x")
			}
			wantList(t, s, l.prefix, l.from, l.reverse, want...)
		}
	})
	t.Run("MayBeListedInPart", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		for i := range 10 {
			must(t, s.SetLinks(ctx, link(fmt.Sprint(i), "x")))
		}
		n := 0
		for _, err := range s.LinksIn(ctx, "", "", false) {
			must(t, err)
			if n++; n == 3 {
				break
			}
		}
	})
	t.Run("AreListedAsOfTheCall", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		must(t, s.SetLinks(ctx, link("a", "1"), link("b", "1"), link("c", "1")))
		var got []string
		for l, err := range s.LinksIn(ctx, "", "", false) {
			must(t, err)
			got = append(got, l.Name+string(l.Target))
			must(t, s.SetLinks(ctx, link("b", "2"), store.Link{Name: "c"}, link("d", "1")))
		}
		if diff := cmp.Diff([]string{"a1", "b1", "c1"}, got); diff != "" {
			t.Fatal(diff)
		}
	})
	t.Run("BelongToTheCallerBeforeAndAfter", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		target := []byte("one")
		must(t, s.SetLinks(ctx, store.Link{Name: "a", Target: target}))
		clear(target)
		got, err := s.Link(ctx, "a")
		must(t, err)
		clear(got)
		for l, err := range s.LinksIn(ctx, "", "", false) {
			must(t, err)
			clear(l.Target)
		}
		wantLink(t, s, "a", "one")
	})
	t.Run("SwapOnlyWhatIsThere", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		wantConflict(t, s.SwapLink(ctx, "a", []byte("1"), []byte("2")), "a")
		wantConflict(t, s.SwapLink(ctx, "a", []byte{}, []byte("2")), "a")
		must(t, s.SwapLink(ctx, "a", nil, []byte("1")))
		wantConflict(t, s.SwapLink(ctx, "a", nil, []byte("2")), "a")
		wantConflict(t, s.SwapLink(ctx, "a", []byte("2"), []byte("3")), "a")
		wantLink(t, s, "a", "1")
		must(t, s.SwapLink(ctx, "a", []byte("1"), []byte{}))
		wantLink(t, s, "a", "")
		wantConflict(t, s.SwapLink(ctx, "a", nil, []byte("2")), "a")
		must(t, s.SwapLink(ctx, "a", []byte{}, nil))
		_, err := s.Link(ctx, "a")
		wantError(t, err, store.ErrNotFound)
	})
	t.Run("SwapForOneOfMany", func(t *testing.T) { linksSwapForOneOfMany(t, h) })
	t.Run("AreThereAfterReopening", func(t *testing.T) {
		ctx, s := t.Context(), h.store(t)
		must(t, s.SetLinks(ctx, link("set", "1"), link("gone", "1"), link("swapped", "1")))
		must(t, s.SetLinks(ctx, store.Link{Name: "gone"}))
		must(t, s.Sync(ctx))
		must(t, s.SwapLink(ctx, "swapped", []byte("1"), []byte("2")))
		s = h.again(t, s)
		wantList(t, s, "", "", false, "set=1", "swapped=2")
	})
	t.Run("WaitForNobodyWhoseContextEnded", func(t *testing.T) {
		s := h.store(t)
		must(t, s.SetLinks(t.Context(), link("a", "1"), link("b", "1")))
		wantError(t, s.SetLinks(cancelled(), link("a", "2")), context.Canceled)
		wantError(t, s.SwapLink(cancelled(), "a", []byte("1"), []byte("2")), context.Canceled)
		_, err := s.Link(cancelled(), "a")
		wantError(t, err, context.Canceled)
		wantLink(t, s, "a", "1")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last error
		n := 0
		for _, err := range s.LinksIn(ctx, "", "", false) {
			n, last = n+1, err
			cancel()
		}
		wantError(t, last, context.Canceled)
		if n != 2 {
			t.Fatalf("there were %d steps, want one link and the error", n)
		}
	})
}

// linksSwapForOneOfMany adds up in a link, each step taken by one of many.
func linksSwapForOneOfMany(t *testing.T, h harness) {
	ctx, s := t.Context(), h.store(t)
	must(t, s.SetLinks(ctx, link("sum", "")))
	var wg sync.WaitGroup
	var won atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range 20 {
				have, err := s.Link(ctx, "sum")
				if err != nil {
					t.Error(err)
					return
				}
				err = s.SwapLink(ctx, "sum", have, append(slices.Clone(have), '+'))
				var conflict *store.ConflictError
				switch {
				case err == nil:
					won.Add(1)
				case !errors.As(err, &conflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	wantLink(t, s, "sum", strings.Repeat("+", int(won.Load())))
	if won.Load() == 0 {
		t.Fatal("nobody won")
	}
}

func wantLink(t *testing.T, s store.Store, name, want string) {
	t.Helper()
	got, err := s.Link(t.Context(), name)
	must(t, err)
	if got == nil || string(got) != want {
		t.Fatalf("link %.40s points to %.40q, want %.40q", name, got, want)
	}
}

func wantList(t *testing.T, s store.Store, prefix, from string, reverse bool, want ...string) {
	t.Helper()
	var got []string
	for l, err := range s.LinksIn(t.Context(), prefix, from, reverse) {
		must(t, err)
		got = append(got, l.Name+"="+string(l.Target))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("links with %q from %q, reverse %v (-want +got):\n%s", prefix, from, reverse, diff)
	}
}

package pebble

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"aorta/store"
)

// heldSyncs is a file system whose syncs of the database's log wait, while
// held is set, until they are let go.
type heldSyncs struct {
	vfs.FS
	held    atomic.Bool
	reached chan struct{} // one for each sync that waits
	letGo   chan struct{}
	count   atomic.Int64
}

func newHeldSyncs() *heldSyncs {
	h := &heldSyncs{reached: make(chan struct{}, 100), letGo: make(chan struct{})}
	h.FS = errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData
		if !sync || !strings.HasSuffix(op.Path, ".log") || !h.held.Load() {
			return nil
		}
		h.count.Add(1)
		h.reached <- struct{}{}
		<-h.letGo
		return nil
	}))
	return h
}

func TestRecordShowsOnlyOnceItIsDurable(t *testing.T) {
	ctx, fs := t.Context(), newHeldSyncs()
	s := open(t, "data", Options{FS: fs.FS})
	if err := s.Append(ctx, "old", 0, []byte("x")); err != nil {
		t.Fatal(err)
	}
	seen := func() string {
		var out strings.Builder
		for _, log := range []string{"new", "old"} {
			last, err := s.LastSlot(ctx, log)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Fatal(err)
			}
			n := 0
			for _, err := range s.Records(ctx, log, 0) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			fmt.Fprintf(&out, "%s: last %d, %d records; ", log, last, n)
		}
		for log, err := range s.Logs(ctx, "") {
			if err != nil {
				t.Fatal(err)
			}
			out.WriteString(log + " ")
		}
		return out.String()
	}
	before := seen()
	fs.held.Store(true)
	var wg sync.WaitGroup
	for log, slot := range map[string]uint64{"new": 0, "old": 1} {
		wg.Go(func() {
			if err := s.Append(ctx, log, slot, []byte("y")); err != nil {
				t.Error(err)
			}
		})
	}
	<-fs.reached
	if during := seen(); during != before {
		t.Errorf("before: %s; before the sync was done: %s", before, during)
	}
	fs.held.Store(false)
	close(fs.letGo)
	wg.Wait()
	if after := seen(); after != "new: last 0, 1 records; old: last 1, 2 records; new old " {
		t.Errorf("after: %s", after)
	}
}

func TestConcurrentAppendsShareASync(t *testing.T) {
	ctx, fs := t.Context(), newHeldSyncs()
	s := open(t, "data", Options{FS: fs.FS})
	fs.held.Store(true)
	var wg sync.WaitGroup
	appendTo := func(log string) {
		wg.Go(func() {
			if err := s.Append(ctx, log, 0, []byte(log)); err != nil {
				t.Error(err)
			}
		})
	}
	appendTo("first")
	<-fs.reached
	const others = 50
	for i := range others {
		appendTo(fmt.Sprint("log", i))
	}
	waitForPending(s, others)
	fs.letGo <- struct{}{}
	<-fs.reached
	fs.letGo <- struct{}{}
	fs.held.Store(false)
	wg.Wait()
	if n := fs.count.Load(); n != 2 {
		t.Errorf("%d appends took %d syncs, want 2", others+1, n)
	}
}

// waitForPending waits until n appends wait for the one that is under way.
func waitForPending(s *Store, n int) {
	for {
		s.commits.mu.Lock()
		have := len(s.commits.pending)
		s.commits.mu.Unlock()
		if have == n {
			return
		}
		runtime.Gosched()
	}
}

func TestAppendThatIsCancelledWhileItWaitsWritesNothing(t *testing.T) {
	fs := newHeldSyncs()
	s := open(t, "data", Options{FS: fs.FS})
	fs.held.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Append(t.Context(), "first", 0, nil); err != nil {
			t.Error(err)
		}
	})
	<-fs.reached
	ctx, cancel := context.WithCancel(t.Context())
	data := []byte("second")
	failed := make(chan error)
	go func() { failed <- s.Append(ctx, "second", 0, data) }()
	waitForPending(s, 1)
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	clear(data) // it is the caller's again
	fs.held.Store(false)
	close(fs.letGo)
	wg.Wait()
	if err := s.Append(t.Context(), "second", 0, []byte("third")); err != nil {
		t.Fatal(err)
	}
	for r, err := range s.Records(t.Context(), "second", 0) {
		if err != nil || string(r.Data) != "third" {
			t.Errorf("got %q, %v", r.Data, err)
		}
	}
}

func TestLastSlotsAreForgottenInBounds(t *testing.T) {
	s := newSlots()
	for i := range 3 * maxRecent {
		s.begin(map[string]growth{fmt.Sprint(i): {0, 1}})
		s.commit(map[string]growth{fmt.Sprint(i): {0, 1}})
		if next, known := s.durable("0"); !known || next != 1 {
			t.Fatalf("what is used all the time was forgotten after %d others", i)
		}
	}
	if n := len(s.recent) + len(s.older); n > 2*maxRecent || len(s.writing) != 0 {
		t.Errorf("%d are remembered, %d are being written", n, len(s.writing))
	}
	if _, known := s.durable("1"); known {
		t.Error("what nobody uses is remembered for ever")
	}
}

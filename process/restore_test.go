package process_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"aorta/process"
	"aorta/store"
)

// journal collects what Events tell.
type journal struct {
	mu       sync.Mutex
	restored []uint64
	refused  []uint64
	failed   int
}

func (j *journal) events() process.Events {
	return process.Events{
		Restored: func(_ string, next uint64, _ bool, _ time.Duration) {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.restored = append(j.restored, next)
		},
		CheckpointRefused: func(_ string, next uint64, _ error) {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.refused = append(j.refused, next)
		},
		Written: func(_, _ int, _ time.Duration, err error) {
			j.mu.Lock()
			defer j.mu.Unlock()
			if err != nil {
				j.failed++
			}
		},
	}
}

// twelve runs twelve slots with checkpoints after 4, 8 and 12, and closes.
func twelve(t *testing.T) (*bench, string, *model) {
	b := newBench(t, process.Options{Checkpoint: process.CheckpointPolicy{Slots: 4}})
	p := b.spawn(1)
	o := newModel()
	for i := range 12 {
		a := b.assign(p, fmt.Sprintf("set k%d %d", i, i))
		o.apply(a)
		b.result(p, a.Slot)
	}
	b.stop()
	return b, p, o
}

func checkpointLink(p string, next uint64) string { return fmt.Sprintf("checkpoint/%s/%020d", p, next) }

func TestDamagedCheckpointFallsBackToAnOlderOne(t *testing.T) {
	cut := func(names ...uint64) func(*memStore, string) {
		return func(s *memStore, p string) {
			for _, n := range names {
				target := s.now.links[checkpointLink(p, n)]
				s.now.links[checkpointLink(p, n)] = target[:len(target)-1]
			}
		}
	}
	for _, test := range []struct {
		name     string
		damage   func(*memStore, string)
		restored uint64
		refused  []uint64
	}{
		{"none", func(*memStore, string) {}, 12, nil},
		{"the newest", cut(12), 8, []uint64{12}},
		{"the newest two", cut(12, 8), 4, []uint64{12, 8}},
		{"all", cut(12, 8, 4), 0, []uint64{12, 8, 4}},
		{"the newest is gone", func(s *memStore, p string) { delete(s.now.links, checkpointLink(p, 12)) }, 8, nil},
		{"the newest is empty", func(s *memStore, p string) { s.now.links[checkpointLink(p, 12)] = []byte{} }, 8, []uint64{12}},
		{"the newest is of a newer version", func(s *memStore, p string) { s.now.links[checkpointLink(p, 12)][0] = 200 }, 8, []uint64{12}},
		{"all chunks are gone", func(s *memStore, _ string) { clear(s.now.chunks) }, 0, []uint64{12, 8, 4}},
		{"all chunks are damaged", func(s *memStore, _ string) {
			for h := range s.now.chunks {
				s.now.chunks[h][0] ^= 1
			}
		}, 0, []uint64{12, 8, 4}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, p, o := twelve(t)
			test.damage(b.store, p)
			var j journal
			b = reopen(t, b.store, process.Options{Events: j.events()})
			a := b.assign(p, "set z 1")
			o.apply(a)
			b.result(p, a.Slot)
			c, err := b.Checkpoint(ctx, p)
			if err != nil || c.Root != o.root() || c.Next != 13 {
				t.Errorf("checkpoint %+v, %v", c, err)
			}
			j.mu.Lock()
			defer j.mu.Unlock()
			if !slices.Equal(j.restored, []uint64{test.restored}) || !slices.Equal(j.refused, test.refused) {
				t.Errorf("restored at %v, refused %v; want %v, %v", j.restored, j.refused, test.restored, test.refused)
			}
		})
	}
}

func TestCheckpointOfAnotherProfileIsNotRestored(t *testing.T) {
	b, p, o := twelve(t)
	var j journal
	opts := process.Options{Events: j.events()}
	d := newFakeDevice(b.store)
	d.profile = "fake-2"
	opts.Devices = map[string]process.Device{fakeName: d}
	r, err := process.Open(ctx, b.store, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	c, err := r.Checkpoint(ctx, p)
	if err != nil || c.Root != o.root() || c.Profile != "fake-2" {
		t.Errorf("checkpoint %+v, %v", c, err)
	}
	if !slices.Equal(j.restored, []uint64{0}) || j.refused != nil {
		t.Errorf("restored %v, refused %v", j.restored, j.refused)
	}
	report, err := r.Replay(ctx, p, process.ReplayOptions{Verify: true})
	if err != nil || report.Mismatch != nil || report.Skipped != 2 || report.Roots != 1 {
		t.Errorf("replay %+v, %v", report, err)
	}
}

func TestRecordedResultsAreNotWrittenAgain(t *testing.T) {
	b, p, _ := twelve(t)
	for name := range b.store.now.links {
		if strings.HasPrefix(name, "checkpoint/") {
			delete(b.store.now.links, name)
		}
	}
	before := b.store.now.clone()
	b = reopen(t, b.store, process.Options{})
	if _, err := b.Read(ctx, p, process.Message{Data: []byte("get k1")}); err != nil {
		t.Fatal(err)
	}
	if got := b.device.computed.Load(); got != 13 {
		t.Errorf("%d slots computed, want 12 and the read", got)
	}
	for name, target := range before.links {
		if string(b.store.now.links[name]) != string(target) {
			t.Errorf("link %s was changed", name)
		}
	}
}

func TestResultLostInACrashIsComputedAgain(t *testing.T) {
	b, p, o := twelve(t)
	// A crash can lose one write and keep a later one. Checkpoints imply the
	// results before them, so only a store without them can look like this.
	for name := range b.store.now.links {
		if strings.HasPrefix(name, "checkpoint/") {
			delete(b.store.now.links, name)
		}
	}
	hole := fmt.Sprintf("result/%s/%020d", p, 5)
	delete(b.store.now.links, hole)
	b = reopen(t, b.store, process.Options{})
	if r := b.result(p, 5); string(r.Data) != o.results[5] {
		t.Errorf("result %q", r.Data)
	}
	b.stop()
	if b.store.now.links[hole] == nil {
		t.Error("the result wasn't written again")
	}
}

func TestOldCheckpointsAreUnlinked(t *testing.T) {
	b := newBench(t, process.Options{Checkpoint: process.CheckpointPolicy{Slots: 1, Keep: 3}})
	p := b.spawn(1)
	for range 20 {
		b.say(p, "add 1")
	}
	b = b.restart()
	for range 5 {
		b.say(p, "add 1")
	}
	b.stop()
	var kept []string
	for name := range b.store.now.links {
		if strings.HasPrefix(name, "checkpoint/") {
			kept = append(kept, name)
		}
	}
	slices.Sort(kept)
	if want := []string{checkpointLink(p, 23), checkpointLink(p, 24), checkpointLink(p, 25)}; !slices.Equal(kept, want) {
		t.Errorf("checkpoints %v", kept)
	}
}

func TestCheckpointsFollowThePolicy(t *testing.T) {
	for name, test := range map[string]struct {
		policy process.CheckpointPolicy
		line   string
		want   []uint64
	}{
		"slots":                          {process.CheckpointPolicy{Slots: 5}, "add 1", []uint64{5, 10}},
		"fuel":                           {process.CheckpointPolicy{Fuel: 1000}, "burn 400", []uint64{3, 6, 9, 12}},
		"bytes, which are seen at marks": {process.CheckpointPolicy{DirtyBytes: 100}, "set a " + strings.Repeat("x", 100), []uint64{1, 3, 7}},
	} {
		t.Run(name, func(t *testing.T) {
			var (
				mu   sync.Mutex
				took []uint64
			)
			b := newBench(t, process.Options{Checkpoint: test.policy, Mark: process.MarkPolicy{Wall: time.Hour}, Events: process.Events{CheckpointTaken: func(c process.Checkpoint, _ time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				took = append(took, c.Next)
			}}})
			p := b.spawn(1)
			for range 12 {
				b.say(p, test.line)
			}
			if _, err := b.Read(ctx, p, process.Message{Data: []byte("get a")}); err != nil { // behind the last checkpoint
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(took, test.want) {
				t.Errorf("checkpoints at %v, want %v", took, test.want)
			}
		})
	}
}

func TestProcessGoesOnWithoutCheckpoints(t *testing.T) {
	b := newBench(t, process.Options{Checkpoint: process.CheckpointPolicy{Slots: 2}})
	p := b.spawn(1)
	full := errors.New("no space left on device")
	b.store.setFail(func(op string) error {
		if op == "PutChunks" {
			return full
		}
		return nil
	})
	for range 10 {
		b.say(p, "add 1")
		b.say(p, "fail")
	}
	_, err := b.Checkpoint(ctx, p)
	wantCode(t, err, 503, process.CodeNodeTrouble)
	b = b.restart() // which fails to checkpoint, too
	b.store.setFail(nil)
	if got := b.say(p, "add 1"); got != "11" {
		t.Errorf("the sum is %s", got)
	}
}

func TestResultsAreAnsweredWhileTheStoreCannotWrite(t *testing.T) {
	var j journal
	b := newBench(t, process.Options{Events: j.events()})
	p := b.spawn(1)
	full := errors.New("no space left on device")
	b.store.setFail(func(op string) error {
		if op == "SetLinks" {
			return full
		}
		return nil
	})
	for i := range 10 {
		if got := b.say(p, "add 1"); got != fmt.Sprint(i+1) {
			t.Errorf("the sum is %s", got)
		}
	}
	if r := b.result(p, 3); !strings.HasSuffix(string(r.Data), ": 4") {
		t.Errorf("result %q", r.Data)
	}
	_, err := b.Checkpoint(ctx, p)
	wantCode(t, err, 503, process.CodeStore)
	if !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
	b.store.setFail(nil)
	if _, err := b.Checkpoint(ctx, p); err != nil {
		t.Error(err)
	}
	b = b.restart()
	if n := len(b.store.now.links); n != 1+10+1 {
		t.Errorf("%d links, want a definition, ten results and a checkpoint", n)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed == 0 {
		t.Error("no failed write was told")
	}
}

func TestCloseSaysThatResultsAreUnwritten(t *testing.T) {
	b := newBench(t, process.Options{WriteDelay: time.Hour})
	p := b.spawn(1)
	b.say(p, "add 1")
	b.store.setFail(func(op string) error {
		if op == "SetLinks" {
			return errors.New("no space left on device")
		}
		return nil
	})
	wantCode(t, b.Close(ctx), 503, process.CodeStore)
	b.store.setFail(nil)
	b = reopen(t, b.store, process.Options{})
	if r := b.result(p, 0); !strings.HasSuffix(string(r.Data), ": 1") {
		t.Errorf("result %q", r.Data)
	}
}

func TestStoppedStoreStopsTheProcess(t *testing.T) {
	b := newBench(t, process.Options{RetryDelay: 1})
	p := b.spawn(1)
	b.say(p, "add 1")
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := b.Assign(ctx, p, process.Message{Data: []byte("add 1")})
	if !errors.Is(err, store.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestLargeResultsAreKeptAsValues(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	sizes := []int{0, 10, 32<<10 - 30, 32 << 10, 100_000, 1 << 20}
	for _, n := range sizes {
		b.say(p, fmt.Sprintf("big %d", n))
	}
	b = b.restart()
	for i, n := range sizes {
		r := b.result(p, uint64(i))
		if !strings.HasSuffix(string(r.Data), ": "+strings.Repeat("x", n)) {
			t.Errorf("result of %d bytes came back with %d", n, len(r.Data))
		}
	}
	for name, target := range b.store.now.links {
		if len(target) > store.MaxLink {
			t.Errorf("link %s has %d bytes", name, len(target))
		}
	}
	report, err := b.Replay(ctx, p, process.ReplayOptions{Verify: true})
	if err != nil || report.Mismatch != nil {
		t.Errorf("replay %+v, %v", report, err)
	}
}

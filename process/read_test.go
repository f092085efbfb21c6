package process_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"aorta/process"
	"aorta/store"

	"github.com/google/go-cmp/cmp"
)

func (b *bench) read(p, text string) string {
	b.t.Helper()
	o, err := b.Read(ctx, p, process.Message{Data: []byte(text)})
	if err != nil {
		b.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(o.Result), ": ")
	return rest
}

func TestReadSeesTheNewestStateAndChangesNothing(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	if got := b.read(p, "add 5"); got != "5" {
		t.Errorf("before slot 0: %s", got)
	}
	for i := range 10 {
		b.say(p, "add 1")
		if got := b.read(p, "add 100"); got != fmt.Sprint(i+101) {
			t.Errorf("after slot %d: %s", i, got)
		}
		if got := b.read(p, "fail"); got != "failed: " {
			t.Errorf("a failing read: %s", got)
		}
	}
	info, err := b.Inspect(ctx, p)
	if err != nil || info.Assigned != 10 || info.Computed != 10 {
		t.Errorf("inspect %+v, %v", info, err)
	}
	// Also out of a checkpoint.
	b = b.restart()
	if got := b.read(p, "add 0"); got != "10" {
		t.Errorf("after a restart: %s", got)
	}
	o, err := b.Read(ctx, p, process.Message{Data: []byte("add 0"), Timestamp: 1})
	wantCode(t, err, 400, process.CodeTimestampOrder)
	if o != nil {
		t.Errorf("outcome %v", o)
	}
}

func TestReadDoesNotWaitForTheQueue(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	b.say(p, "add 1")
	var (
		mu   sync.Mutex
		gate = make(chan struct{})
	)
	reached := make(chan struct{}, 100)
	b.device.setHook(func(call string, m *fakeMachine, a *process.Assignment) error {
		if call == "compute" && !m.fork {
			mu.Lock()
			g := gate
			mu.Unlock()
			reached <- struct{}{}
			<-g
		}
		return nil
	})
	for range 20 {
		b.assign(p, "add 1")
	}
	<-reached
	// The read is asked for while slot 1 is computed, and answered after it.
	got := make(chan string)
	go func() { got <- b.read(p, "add 0") }()
	b.waitForOrder(p)
	mu.Lock()
	first := gate
	gate = make(chan struct{})
	mu.Unlock()
	close(first)
	if g := <-got; g != "2" {
		t.Errorf("the read saw %s, want 2", g)
	}
	close(gate)
	b.result(p, 20)
}

// waitForOrder waits until somebody waits for p's worker.
func (b *bench) waitForOrder(p string) {
	for b.Waiting(p) == 0 {
		runtime.Gosched()
	}
}

func TestAbandonedReadLeavesNoFork(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	reached, release := blocked(b.device)
	b.assign(p, "add 7")
	<-reached
	c, cancel := context.WithCancel(ctx)
	errs := make(chan error)
	go func() {
		_, err := b.Read(c, p, process.Message{Data: []byte("add 0")})
		errs <- err
	}()
	b.waitForOrder(p)
	cancel()
	err := <-errs
	wantCode(t, err, 503, process.CodeCanceled)
	if n := b.Waiting(p); n != 0 {
		t.Errorf("%d orders are left", n)
	}
	close(release)
	b.result(p, 0)

	// And one that is abandoned while its fork is made.
	c, cancel = context.WithCancel(ctx)
	b.device.setHook(func(call string, _ *fakeMachine, _ *process.Assignment) error {
		if call == "fork" {
			cancel()
		}
		return nil
	})
	_, err = b.Read(c, p, process.Message{Data: []byte("add 0")})
	wantCode(t, err, 503, process.CodeCanceled)
	b.device.setHook(nil)
	if got := b.say(p, "add 0"); got != "7" {
		t.Errorf("the sum is %s", got)
	}
}

func TestSlotOfAnotherNodeIsFound(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	b.say(p, "add 1")
	other := reopen(t, b.store, process.Options{})
	a := other.assign(p, "add 2")
	if r := b.result(p, a.Slot); !strings.HasSuffix(string(r.Data), ": 3") {
		t.Errorf("result %q", r.Data)
	}
}

func TestProcessWithoutASeatIsWaiting(t *testing.T) {
	b := newBench(t, process.Options{MaxResident: 1})
	p, q := b.spawn(1), b.spawn(2)
	reached, release := blocked(b.device)
	b.assign(p, "add 7")
	<-reached
	b.assign(q, "add 1")
	if info, err := b.Inspect(ctx, q); err != nil || info.State != process.StateWaiting {
		t.Errorf("inspect %+v, %v", info, err)
	}
	// Who gives up waiting for a seat leaves the queue.
	c, cancel := context.WithCancel(ctx)
	cancel()
	_, err := b.Replay(c, q, process.ReplayOptions{})
	wantCode(t, err, 503, process.CodeCanceled)
	close(release)
	b.result(q, 0)
}

func TestAssignmentsAreTheLog(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	var want, got []process.Assignment
	for i := range 4 {
		want = append(want, *b.assign(p, fmt.Sprintf("add %d", i)))
	}
	for a, err := range b.Assignments(ctx, p, 1) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, *a)
	}
	if diff := cmp.Diff(want[1:], got); diff != "" {
		t.Error(diff)
	}
}

func TestReadsRunBesideMessages(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if got := b.read(p, "get wreck"); got != "" {
					t.Errorf("a read saw %s", got)
				}
			}
		})
	}
	for i := range 100 {
		if i%3 == 0 {
			b.say(p, "fail")
		} else {
			b.say(p, "add 1")
		}
	}
	wg.Wait()
	if got := b.say(p, "add 0"); got != "66" {
		t.Errorf("the sum is %s", got)
	}
}

func TestTroubleInAReadIsTheReadsAlone(t *testing.T) {
	b := newBench(t, process.Options{RetryDelay: 1})
	p := b.spawn(1)
	b.say(p, "add 1")
	for _, call := range []string{"fork", "compute"} {
		for _, failure := range []error{errNode, nil} {
			b.device.setHook(failNth(call, 1, failure))
			_, err := b.Read(ctx, p, process.Message{Data: []byte("get a")})
			if failure == nil {
				wantCode(t, err, 500, process.CodePanic)
			} else {
				wantCode(t, err, 503, process.CodeNodeTrouble)
				if !errors.Is(err, failure) {
					t.Errorf("error %v", err)
				}
			}
			b.device.setHook(nil)
			if got := b.read(p, "add 0"); got != "1" {
				t.Errorf("afterwards a read saw %s", got)
			}
		}
	}
	if got := b.say(p, "add 0"); got != "1" {
		t.Errorf("the sum is %s", got)
	}
}

func TestSlotsTellTheHistory(t *testing.T) {
	taken := make(chan uint64, 16)
	b := newBench(t, process.Options{
		Checkpoint: process.CheckpointPolicy{Slots: 2},
		Events:     process.Events{CheckpointTaken: func(c process.Checkpoint, _ time.Duration) { taken <- c.Next }},
	})
	p := b.spawn(1)
	check := func(b *bench) {
		t.Helper()
		var got []string
		for s, err := range b.Slots(ctx, p, 1) {
			if err != nil {
				t.Fatal(err)
			}
			root := "-"
			if s.Checkpoint != nil {
				root = s.Checkpoint.Root.String()[:4]
			}
			got = append(got, fmt.Sprintf("%d %s %s fuel=%d bytes=%d", s.Slot, s.Status, root, s.Ledger.Fuel, s.MessageBytes))
			if s.Status != process.SlotPending {
				if r := b.result(p, s.Slot); r.Hash() != s.Result || len(r.Data) != s.ResultBytes || s.Profile != "fake-1" || r.Ledger.HostCalls["env.print"] != 1 {
					t.Errorf("slot %+v, result %+v", s, r)
				}
			}
		}
		sum := func(n uint64) string {
			return store.Sum(fakeState{sum: n}.encode()).String()[:4]
		}
		want := []string{
			"1 failed " + sum(1) + " fuel=6 bytes=6",
			"2 ok - fuel=5 bytes=5",
			"3 ok " + sum(3) + " fuel=9 bytes=9",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("slots:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	for _, line := range []string{"add 1", "fail x", "add 2", "big 40000"} {
		b.say(p, line)
	}
	// The last checkpoint is taken after the last answer.
	for next := range taken {
		if next == 4 {
			break
		}
	}
	check(b)
	b = b.restart()
	check(b)

	reached, release := blocked(b.device)
	b.assign(p, "add 7")
	<-reached
	b.assign(p, "add 1")
	pending := 0
	for s, err := range b.Slots(ctx, p, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if s.Status == process.SlotPending {
			pending++
		}
	}
	if info, err := b.Inspect(ctx, p); err != nil || pending != 2 || info.State != process.StateRunning || info.Next != 4 {
		t.Errorf("%d pending; inspect %+v, %v", pending, info, err)
	}
	close(release)
}

func TestCheckpointIsTakenOnceForAState(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	c0, err := b.Checkpoint(ctx, p)
	if err != nil || c0.Next != 0 || c0.Root != newModel().root() {
		t.Errorf("before slot 0: %+v, %v", c0, err)
	}
	b.assign(p, "add 1")
	b.assign(p, "add 1")
	c1, err := b.Checkpoint(ctx, p)
	if err != nil || c1.Next != 2 || c1.Process != p || c1.Written == 0 {
		t.Errorf("checkpoint %+v, %v", c1, err)
	}
	syncs := b.store.syncs
	c2, err := b.Checkpoint(ctx, p)
	if err != nil || c2.Root != c1.Root || c2.Time != c1.Time {
		t.Errorf("again: %+v, %v", c2, err)
	}
	if b.store.syncs == syncs {
		t.Error("nothing says that it is durable")
	}
}

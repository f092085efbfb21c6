package process_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aorta/process"
	"aorta/vm"
)

func TestOnlyMessagesSinceTheMarkAreExecutedAgain(t *testing.T) {
	var (
		mu    sync.Mutex
		again []int
	)
	b := newBench(t, process.Options{
		Mark: process.MarkPolicy{Messages: 8, Wall: time.Hour},
		Events: process.Events{RolledBack: func(_ string, _ uint64, n int) {
			mu.Lock()
			defer mu.Unlock()
			again = append(again, n)
		}},
	})
	p := b.spawn(1)
	// Marks fall after 1, 2, 4, 8, 8 … messages: at slots 1, 3, 7, 15, 23.
	for range 20 {
		b.say(p, "add 1")
	}
	b.say(p, "fail a") // five messages since slot 15
	b.say(p, "fail b") // none
	b.say(p, "add 1")  // marked at once: the distance is 1 again
	b.say(p, "fail c")
	b.say(p, "add 1")
	b.say(p, "add 1")
	b.say(p, "fail d") // the second of two at a distance of 2, so one since the mark
	mu.Lock()
	defer mu.Unlock()
	if want := []int{5, 0, 0, 1}; !slices.Equal(again, want) {
		t.Errorf("executed again: %v, want %v", again, want)
	}
	if got := b.say(p, "add 0"); got != "23" {
		t.Errorf("the sum is %s, want 23", got)
	}
}

func TestLongMessagesAreMarkedAtOnce(t *testing.T) {
	var again atomic.Int64
	b := newBench(t, process.Options{
		Mark:   process.MarkPolicy{Wall: 1},
		Events: process.Events{RolledBack: func(_ string, _ uint64, n int) { again.Add(int64(n)) }},
	})
	p := b.spawn(1)
	for range 10 {
		b.say(p, "add 1")
	}
	b.say(p, "fail")
	if n := again.Load(); n != 0 {
		t.Errorf("%d messages were executed again", n)
	}
}

// failOnce returns a hook that fails the n-th call of a kind, and only that.
func failNth(call string, n int64, err error) (hook func(string, *fakeMachine, *process.Assignment) error) {
	var calls atomic.Int64
	return func(c string, _ *fakeMachine, _ *process.Assignment) error {
		if c == call && calls.Add(1) == n {
			if err == nil {
				panic("this machine is broken")
			}
			return err
		}
		return nil
	}
}

var errNode = errors.New("this node ran out of something")

func TestTroubleIsTriedAgainAndNotRecorded(t *testing.T) {
	for _, test := range []struct {
		name string
		call string
		err  error
	}{
		{"compute fails", "compute", errNode},
		{"compute takes too long", "compute", &vm.LimitError{Kind: vm.LimitWall, Max: 10, Used: 11}},
		{"compute panics", "compute", nil},
		{"mark fails", "mark", errNode},
		{"mark panics", "mark", nil},
		{"snapshot fails", "snapshot", errNode},
		{"snapshot panics", "snapshot", nil},
	} {
		for _, n := range []int64{1, 2, 5} {
			t.Run(fmt.Sprintf("%s, call %d", test.name, n), func(t *testing.T) {
				b := newBench(t, process.Options{RetryDelay: 1, Checkpoint: process.CheckpointPolicy{Slots: 4}})
				p := b.spawn(1)
				b.device.setHook(failNth(test.call, n, test.err))
				o := newModel()
				for i := range 30 {
					line := fmt.Sprintf("add %d", i)
					if i%7 == 6 {
						line = "fail here"
					}
					a := b.assign(p, line)
					o.apply(a)
					r := b.result(p, a.Slot)
					if string(r.Data) != o.results[i] || r.Failed != o.failed[i] {
						t.Errorf("slot %d came to %q, want %q", i, r.Data, o.results[i])
					}
				}
				c, err := b.Checkpoint(ctx, p)
				if err != nil {
					t.Fatal(err)
				}
				if c.Root != o.root() {
					t.Error("the state isn't the one of the sequence")
				}
			})
		}
	}
}

func TestTroubleWhileExecutingAgainRebuildsTheMachine(t *testing.T) {
	b := newBench(t, process.Options{RetryDelay: 1, Mark: process.MarkPolicy{Wall: time.Hour}})
	p := b.spawn(1)
	for range 5 {
		b.say(p, "add 1")
	}
	// Slot 5 fails as it should; slot 4 is then executed again and panics.
	b.device.setHook(failNth("compute", 2, nil))
	if r := b.result(p, b.assign(p, "fail").Slot); !r.Failed {
		t.Error("the message didn't fail")
	}
	if got := b.say(p, "add 1"); got != "6" {
		t.Errorf("the sum is %s, want 6", got)
	}
}

func TestStalledProcessTriesAgainWhenAsked(t *testing.T) {
	var stalls atomic.Int64
	b := newBench(t, process.Options{
		Attempts: 3, RetryDelay: 1, StallRetry: time.Hour,
		Events: process.Events{Stalled: func(string, uint64, error) { stalls.Add(1) }},
	})
	p := b.spawn(1)
	b.say(p, "add 1")
	next := uint64(1)
	for _, test := range []struct {
		err    error
		status int
		code   string
	}{
		{errNode, 503, process.CodeNodeTrouble},
		{&vm.LimitError{Kind: vm.LimitWall, Max: 10, Used: 11}, 504, process.CodeWallTime},
		{nil, 500, process.CodePanic},
	} {
		var tries atomic.Int64
		b.device.setHook(func(call string, _ *fakeMachine, a *process.Assignment) error {
			if call == "compute" && a.Slot == next && string(a.Message) == "add 2" {
				tries.Add(1)
				if test.err == nil {
					panic("broken")
				}
				return test.err
			}
			return nil
		})
		before := stalls.Load()
		a := b.assign(p, "add 2")
		later := b.assign(p, "add 3")
		if a.Slot != next {
			t.Fatalf("slot %d, want %d", a.Slot, next)
		}
		c, cancel := context.WithTimeout(ctx, time.Minute)
		_, err := b.Result(c, p, later.Slot)
		wantCode(t, err, test.status, test.code)
		if e := wire(t, err); !e.Details.Retryable || *e.Details.Slot != a.Slot || e.Details.Phase != process.PhaseCompute || e.Details.Device != fakeName {
			t.Errorf("details %+v", e.Details)
		}
		if n := stalls.Load() - before; n < 1 {
			t.Errorf("%d stalls", n)
		}
		if n := tries.Load(); n%3 != 0 {
			t.Errorf("the slot was tried %d times, want 3 for each asking", n)
		}
		info, err := b.Inspect(ctx, p)
		if err != nil || info.State != process.StateStalled || info.Trouble == nil {
			t.Errorf("state %v, trouble %v, error %v", info.State, info.Trouble, err)
		}
		// A read sees the state before the slot.
		if o, err := b.Read(c, p, process.Message{Data: []byte("add 0")}); err != nil || len(o.Result) == 0 {
			t.Errorf("read of a stalled process: %v", err)
		}
		b.device.setHook(nil)
		b.result(p, later.Slot)
		next = later.Slot + 1
		cancel()
	}
	if got := b.say(p, "add 0"); got != "16" {
		t.Errorf("the sum is %s, want 16", got)
	}
}

func TestMachineThatCannotBeMadeStallsTheProcess(t *testing.T) {
	b := newBench(t, process.Options{RetryDelay: 1})
	p := b.spawn(1)
	b = b.restart()
	b.device.setHook(func(call string, _ *fakeMachine, _ *process.Assignment) error {
		if call == "init" {
			return errNode
		}
		return nil
	})
	a := b.assign(p, "add 1")
	_, err := b.Result(ctx, p, a.Slot)
	wantCode(t, err, 503, process.CodeNodeTrouble)
	if phase := wire(t, err).Details.Phase; phase != process.PhaseRestore {
		t.Errorf("phase %q", phase)
	}
	_, err = b.Read(ctx, p, process.Message{Data: []byte("get a")})
	wantCode(t, err, 503, process.CodeNodeTrouble)
	b.device.setHook(nil)
	if got := b.result(p, a.Slot); got.Failed {
		t.Error("the slot failed")
	}
}

func TestDivergenceAfterARollbackQuarantines(t *testing.T) {
	var found []process.Divergence
	b := newBench(t, process.Options{
		Mark:   process.MarkPolicy{Wall: time.Hour},
		Events: process.Events{Diverged: func(d process.Divergence) { found = append(found, d) }},
	})
	p := b.spawn(1)
	for range 6 {
		b.say(p, "add 1") // marks at slots 1, 3; the batch has slots 3 to 5
	}
	// A machine whose rollback loses something.
	b.device.setHook(func(call string, m *fakeMachine, _ *process.Assignment) error {
		if call == "rollback" {
			m.marked.sum = 1000
		}
		return nil
	})
	a := b.assign(p, "fail")
	_, err := b.Result(ctx, p, a.Slot)
	wantCode(t, err, 500, process.CodeDiverged)
	if wire(t, err).Details.Retryable {
		t.Error("a divergence is said to be retryable")
	}
	slot := *wire(t, err).Details.Slot
	if slot != 3 {
		t.Errorf("it diverged at slot %d, want 3", slot)
	}
	check := func(b *bench) {
		t.Helper()
		if _, err := b.Result(ctx, p, slot-1); err != nil {
			t.Errorf("a slot before: %v", err)
		}
		for _, s := range []uint64{slot, slot + 1, a.Slot} {
			_, err := b.Result(ctx, p, s)
			wantCode(t, err, 500, process.CodeDiverged)
		}
		_, err := b.Read(ctx, p, process.Message{Data: []byte("get a")})
		wantCode(t, err, 500, process.CodeDiverged)
		_, err = b.Checkpoint(ctx, p)
		wantCode(t, err, 500, process.CodeDiverged)
		info, err := b.Inspect(ctx, p)
		if err != nil || info.State != process.StateQuarantined {
			t.Fatalf("inspect: %v, %v", info, err)
		}
		for s, err := range b.Slots(ctx, p, slot-1) {
			if err != nil || (s.Status == process.SlotQuarantined) != (s.Slot >= slot) {
				t.Errorf("slot %+v, %v", s, err)
			}
		}
		d := info.Divergence
		if d.Slot != slot || d.Kind != process.DivergedAgain || d.Recorded.Hash == d.Computed.Hash || d.Recorded.Profile != "fake-1" {
			t.Errorf("divergence %+v", d)
		}
	}
	check(b)
	b = b.restart()
	check(b)
	if len(found) != 1 {
		t.Errorf("%d divergences were told", len(found))
	}

	if err := b.Readmit(ctx, p); err != nil {
		t.Fatal(err)
	}
	if got := b.say(p, "add 1"); got != "7" {
		t.Errorf("the sum after readmission is %s, want 7", got)
	}
	report, err := b.Replay(ctx, p, process.ReplayOptions{Verify: true})
	if err != nil || report.Mismatch != nil || report.Results != 8 {
		t.Errorf("replay after readmission: %+v, %v", report, err)
	}
}

func TestDivergenceFromARecordedResultQuarantines(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	for i := range 6 {
		b.say(p, fmt.Sprintf("set k%d %d", i, i))
	}
	b.stop()
	// An engine of another build computes slot 4 differently. Its profile says
	// so, so the checkpoint of the first isn't used.
	other := reopen(t, b.store, b.opts)
	other.device.profile = "fake-2"
	other.device.setHook(func(call string, m *fakeMachine, a *process.Assignment) error {
		if call == "compute" && a.Slot == 3 {
			m.now.data["k4"] = "surprise"
		}
		return nil
	})
	a := other.assign(p, "get k4")
	_, err := other.Result(ctx, p, a.Slot)
	wantCode(t, err, 500, process.CodeDiverged)
	info, err := other.Inspect(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	if d := info.Divergence; d == nil || d.Slot != 4 || d.Kind != process.DivergedRestore || d.Recorded.Profile != "fake-1" || d.Computed.Profile != "fake-2" {
		t.Errorf("divergence %+v", d)
	}
}

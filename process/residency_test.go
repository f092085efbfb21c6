package process_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"aorta/process"
)

func TestThousandProcessesShareFiftySeats(t *testing.T) {
	const (
		processes = 1000
		seats     = 50
		messages  = 6
	)
	var evicted atomic.Int64
	b := newBench(t, process.Options{
		MaxResident: seats, Quantum: time.Millisecond,
		Events: process.Events{Evicted: func(string, uint64, process.EvictReason) { evicted.Add(1) }},
	})
	for i := range processes {
		b.spawn(i)
	}
	var wg sync.WaitGroup
	for i := range processes {
		wg.Go(func() {
			o := newModel()
			for j := range messages {
				line := fmt.Sprintf("add %d", i*j)
				if (i+j)%4 == 0 {
					line = "fail now"
				}
				a, err := b.Assign(ctx, id(i), process.Message{Data: []byte(line)})
				if err != nil {
					t.Error(err)
					return
				}
				o.apply(a)
				r, err := b.Result(ctx, id(i), a.Slot)
				if err != nil {
					t.Error(err)
					return
				}
				if string(r.Data) != o.results[j] {
					t.Errorf("process %d slot %d came to %q, want %q", i, j, r.Data, o.results[j])
				}
			}
			if i%100 == 0 {
				c, err := b.Checkpoint(ctx, id(i))
				if err != nil || c.Root != o.root() {
					t.Errorf("process %d: root %v, %v", i, c, err)
				}
			}
		})
	}
	wg.Wait()
	if peak := b.device.peak.Load(); peak > seats {
		t.Errorf("%d machines were in memory, %d may be", peak, seats)
	}
	if evicted.Load() < processes-seats {
		t.Errorf("%d machines were evicted", evicted.Load())
	}
}

func TestBusyProcessesTakeTurnsInTheSeats(t *testing.T) {
	// Two processes with endless work, one seat: both get on.
	b := newBench(t, process.Options{MaxResident: 1, Quantum: 2 * time.Millisecond, QueueDepth: 100})
	for i := range 2 {
		b.spawn(i)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			var busy *process.BusyError
			if _, err := b.Assign(ctx, id(0), process.Message{Data: []byte("add 1")}); err != nil && !errors.As(err, &busy) {
				t.Error(err)
				return
			}
		}
	})
	for range 20 {
		b.say(id(1), "add 1")
	}
	close(stop)
	wg.Wait()
	if peak := b.device.peak.Load(); peak != 1 {
		t.Errorf("%d machines at once", peak)
	}
}

func TestMachinesAreEvictedToKeepTheBytes(t *testing.T) {
	// Each fake machine takes 1 MiB.
	b := newBench(t, process.Options{MaxResidentBytes: 10 << 20})
	for i := range 40 {
		b.spawn(i)
		b.say(id(i), "add 1")
	}
	if live := b.device.live.Load(); live > 11 {
		t.Errorf("%d machines of 1 MiB are in memory, 10 MiB may be", live)
	}
	for i := range 40 {
		if got := b.say(id(i), "add 1"); got != "2" {
			t.Errorf("process %d: the sum is %s", i, got)
		}
	}
}

func TestMachineLargerThanTheBoundStillRuns(t *testing.T) {
	b := newBench(t, process.Options{MaxResidentBytes: 1})
	for i := range 3 {
		b.spawn(i)
	}
	for j := range 3 {
		for i := range 3 {
			if got := b.say(id(i), "add 1"); got != fmt.Sprint(j+1) {
				t.Errorf("the sum is %s", got)
			}
		}
	}
	if peak := b.device.peak.Load(); peak > 2 {
		t.Errorf("%d machines at once", peak)
	}
}

func TestIdleMachineIsCheckpointedAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			mu          sync.Mutex
			checkpoints []uint64
			evicted     []process.EvictReason
		)
		b := newBench(t, process.Options{
			Checkpoint: process.CheckpointPolicy{Interval: time.Minute}, IdleTimeout: 10 * time.Minute,
			Events: process.Events{
				CheckpointTaken: func(c process.Checkpoint, _ time.Duration) {
					mu.Lock()
					defer mu.Unlock()
					checkpoints = append(checkpoints, c.Next)
				},
				Evicted: func(_ string, _ uint64, why process.EvictReason) {
					mu.Lock()
					defer mu.Unlock()
					evicted = append(evicted, why)
				},
			},
		})
		after := func(d time.Duration, machines int64, wantCheckpoints []uint64, wantEvicted []process.EvictReason) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if live := b.device.live.Load(); live != machines || !slices.Equal(checkpoints, wantCheckpoints) || !slices.Equal(evicted, wantEvicted) {
				t.Errorf("%d machines, checkpoints %v, evicted %v; want %d, %v, %v", live, checkpoints, evicted, machines, wantCheckpoints, wantEvicted)
			}
		}
		p := b.spawn(1)
		b.say(p, "add 1")
		after(59*time.Second, 1, nil, nil)
		after(2*time.Second, 1, []uint64{1}, nil)
		after(8*time.Minute, 1, []uint64{1}, nil)
		after(2*time.Minute, 0, []uint64{1}, []process.EvictReason{process.EvictedIdle})
		if info, err := b.Inspect(ctx, p); err != nil || info.State != process.StateDormant || info.Checkpoint.Next != 1 {
			t.Errorf("inspect %+v, %v", info, err)
		}
		if got := b.say(p, "add 1"); got != "2" {
			t.Errorf("the sum is %s", got)
		}
		b.stop()
	})
}

func TestStalledProcessRestsBeforeAnAssignmentTriesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, process.Options{})
		p := b.spawn(1)
		b.device.setHook(func(call string, _ *fakeMachine, _ *process.Assignment) error {
			if call == "compute" {
				return errNode
			}
			return nil
		})
		b.assign(p, "add 1")
		time.Sleep(time.Second)
		synctest.Wait()
		if n := b.device.computed.Load(); n != 3 {
			t.Errorf("%d attempts, want 3", n)
		}
		b.assign(p, "add 1")
		synctest.Wait()
		if n := b.device.computed.Load(); n != 3 {
			t.Errorf("%d attempts while it rests", n)
		}
		b.device.setHook(nil)
		time.Sleep(10 * time.Second)
		b.assign(p, "add 1")
		time.Sleep(time.Second)
		synctest.Wait()
		if info, err := b.Inspect(ctx, p); err != nil || info.Computed != 3 || info.Trouble != nil {
			t.Errorf("inspect %+v, %v", info, err)
		}
		b.stop()
	})
}

func TestCloseEndsWhatIsComputed(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	b.say(p, "add 1")
	started, patience := make(chan struct{}), make(chan struct{})
	b.device.setHook(func(call string, _ *fakeMachine, a *process.Assignment) error {
		if call == "compute" && string(a.Message) == "add 7" {
			close(started)
			<-patience
			return context.Canceled
		}
		return nil
	})
	a := b.assign(p, "add 7")
	errs := make(chan error, 1)
	go func() {
		_, err := b.Result(ctx, p, a.Slot)
		errs <- err
	}()
	<-started
	c, cancel := context.WithCancel(ctx)
	cancel()
	context.AfterFunc(c, func() { close(patience) })
	err := b.Close(c)
	// Its patience had ended already, so the message was cut short and the
	// last writes may not have been made.
	if err != nil {
		wantCode(t, err, 503, process.CodeCanceled)
	}
	wantCode(t, <-errs, 503, process.CodeClosed)
	for name, call := range map[string]func() error{
		"assign":     func() error { _, err := b.Assign(ctx, p, process.Message{}); return err },
		"result":     func() error { _, err := b.Result(ctx, p, 0); return err },
		"read":       func() error { _, err := b.Read(ctx, p, process.Message{}); return err },
		"inspect":    func() error { _, err := b.Inspect(ctx, p); return err },
		"checkpoint": func() error { _, err := b.Checkpoint(ctx, p); return err },
		"replay":     func() error { _, err := b.Replay(ctx, p, process.ReplayOptions{}); return err },
		"spawn":      func() error { return b.Spawn(ctx, definition(1), module) },
		"readmit":    func() error { return b.Readmit(ctx, p) },
	} {
		if err := call(); !errors.Is(err, process.ErrClosed) {
			t.Errorf("%s after close: %v", name, err)
		} else {
			wantCode(t, err, 503, process.CodeClosed)
		}
	}
	if err := b.Close(ctx); err != nil {
		t.Errorf("the second close: %v", err)
	}
	b = reopen(t, b.store, process.Options{})
	b.result(p, a.Slot)
	if got := b.say(p, "add 0"); got != "8" {
		t.Errorf("the sum is %s, want 8", got)
	}
}

func TestCloseCheckpointsWhatChanged(t *testing.T) {
	b := newBench(t, process.Options{})
	for i := range 5 {
		b.spawn(i)
		if i != 2 {
			b.say(id(i), "add 1")
		}
	}
	b = b.restart()
	for i := range 5 {
		info, err := b.Inspect(ctx, id(i))
		if err != nil || (info.Checkpoint != nil) != (i != 2) {
			t.Errorf("process %d: checkpoint %v, %v", i, info.Checkpoint, err)
		}
	}
}

func TestWaitersOnManySlotsEachGetTheirs(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	reached, release := blocked(b.device)
	b.assign(p, "add 7")
	<-reached
	const n = 100
	for range n {
		b.assign(p, "add 1")
	}
	var wg sync.WaitGroup
	for i := range n {
		for range 3 {
			wg.Go(func() {
				r, err := b.Result(ctx, p, uint64(i))
				if err != nil {
					t.Error(err)
					return
				}
				if r.Slot != uint64(i) {
					t.Errorf("asked for slot %d, got %d: %s", i, r.Slot, r.Data)
				}
			})
		}
	}
	// One who loses patience gets its context's error, and disturbs nobody.
	c, cancel := context.WithCancel(ctx)
	cancel()
	_, err := b.Result(c, p, 50)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	wantCode(t, err, 503, process.CodeCanceled)
	close(release)
	wg.Wait()
}

package process_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"aorta/process"
	"aorta/store"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a runtime on a store in memory with the fake device.
type bench struct {
	*process.Runtime
	t      testing.TB
	store  *memStore
	device *fakeDevice
	opts   process.Options
}

const fakeName = "fake@1.0"

// newBench opens a runtime that is closed, and whose device was treated well,
// when the test ends.
func newBench(t testing.TB, opts process.Options) *bench {
	t.Helper()
	return reopen(t, newMemStore(), opts)
}

func reopen(t testing.TB, st *memStore, opts process.Options) *bench {
	t.Helper()
	d := newFakeDevice(st)
	b := &bench{t: t, store: st, device: d, opts: opts}
	opts.Devices = map[string]process.Device{fakeName: d}
	r, err := process.Open(context.Background(), st, opts)
	if err != nil {
		t.Fatal(err)
	}
	b.Runtime = r
	t.Cleanup(b.stop)
	return b
}

func (b *bench) stop() {
	b.t.Helper()
	if err := b.Close(context.Background()); err != nil {
		b.store.mu.Lock()
		closed := b.store.closed
		b.store.mu.Unlock()
		if !closed {
			b.t.Errorf("close: %v", err)
		}
	}
	if made, ended := b.device.made.Load(), b.device.ended.Load(); made != ended {
		b.t.Errorf("%d machines were made, %d ended", made, ended)
	}
	b.device.mu.Lock()
	defer b.device.mu.Unlock()
	for _, breach := range b.device.breaches {
		b.t.Errorf("the contract of a machine was broken: %s", breach)
	}
}

// restart closes the runtime and opens another one on its store.
func (b *bench) restart() *bench {
	b.t.Helper()
	b.stop()
	return reopen(b.t, b.store, b.opts)
}

func id(n int) string { return fmt.Sprintf("%043d", n) }

func definition(n int) *process.Definition {
	return &process.Definition{
		ID: id(n), Device: fakeName, Module: store.Sum(module).String(), Owner: "owner",
		Tags: []process.Tag{{Name: "Name", Value: "test"}},
	}
}

var module = []byte("a module")

func (b *bench) spawn(n int) string {
	b.t.Helper()
	if err := b.Spawn(ctx, definition(n), module); err != nil {
		b.t.Fatal(err)
	}
	return id(n)
}

var ctx = context.Background()

func (b *bench) assign(process_, text string) *process.Assignment {
	b.t.Helper()
	a, err := b.Assign(ctx, process_, process.Message{Data: []byte(text)})
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func (b *bench) result(process_ string, slot uint64) *process.Result {
	b.t.Helper()
	c, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r, err := b.Result(c, process_, slot)
	if err != nil {
		b.t.Fatalf("result of slot %d: %v", slot, err)
	}
	return r
}

// say assigns and returns the result's text without its slot and time.
func (b *bench) say(process_, text string) string {
	b.t.Helper()
	r := b.result(process_, b.assign(process_, text).Slot)
	var slot, at int64
	n, err := fmt.Sscanf(string(r.Data), "%d@%d:", &slot, &at)
	if n != 2 || err != nil {
		b.t.Fatalf("result %q: %v", r.Data, err)
	}
	return string(r.Data)[len(fmt.Sprintf("%d@%d: ", slot, at)):]
}

func wire(t testing.TB, err error) *process.Error {
	t.Helper()
	var e *process.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T) has no status", err, err)
	}
	return e
}

func wantCode(t testing.TB, err error, status int, code string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %d %s", status, code)
	}
	if e := wire(t, err); e.Status != status || e.Details.Code != code {
		t.Fatalf("error %d %s (%v), want %d %s", e.Status, e.Details.Code, err, status, code)
	}
}

func TestMessagesAreAppliedInOrder(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	for i, want := range []string{"1", "3", "6", "10"} {
		if got := b.say(p, fmt.Sprintf("add %d", i+1)); got != want {
			t.Errorf("sum %d is %s, want %s", i, got, want)
		}
	}
}

func TestStateSurvivesARestart(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	b.say(p, "set a 1")
	b.say(p, "add 5")
	b = b.restart()
	if got := b.say(p, "get a"); got != "1" {
		t.Errorf("a is %q", got)
	}
	if got := b.say(p, "add 1"); got != "6" {
		t.Errorf("the sum is %s", got)
	}
	if got := b.device.computed.Load(); got != 2 {
		t.Errorf("%d slots were computed after the restart: the checkpoint wasn't used", got)
	}
}

func TestFailedMessageLeavesStateUntouched(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	for i := range 20 {
		b.say(p, fmt.Sprintf("set k%d v", i))
		if i%3 == 0 {
			r := b.result(p, b.assign(p, "fail x").Slot)
			if !r.Failed {
				t.Fatal("the message didn't fail")
			}
		}
	}
	if got := b.say(p, "get wreck"); got != "" {
		t.Errorf("a failed message left %q", got)
	}
	if got := b.say(p, "add 1"); got != "1" {
		t.Errorf("the sum is %s", got)
	}
}

package process_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"aorta/process"
	"aorta/store"
)

func TestHashChainFollowsItsRule(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	chain := sha256.Sum256([]byte(p))
	for i := range 6 {
		text := fmt.Sprintf("add %d", i)
		if i == 3 {
			b = b.restart()
		}
		a := b.assign(p, text)
		m := sha256.Sum256([]byte(text))
		chain = sha256.Sum256(append(chain[:], m[:]...))
		if want := base64.RawURLEncoding.EncodeToString(chain[:]); a.HashChain != want {
			t.Errorf("slot %d has chain %s, want %s", i, a.HashChain, want)
		}
		if a.Slot != uint64(i) || a.Process != p || string(a.Message) != text {
			t.Errorf("assignment %+v", a)
		}
	}
}

func TestTimestampsNeverGoBack(t *testing.T) {
	now := time.UnixMilli(5000)
	b := newBench(t, process.Options{Clock: func() time.Time { return now }})
	p := b.spawn(1)
	at := func(given int64) int64 {
		t.Helper()
		a, err := b.Assign(ctx, p, process.Message{Data: []byte("add 1"), Timestamp: given})
		if err != nil {
			t.Fatal(err)
		}
		return a.Timestamp
	}
	if got := at(0); got != 5000 {
		t.Errorf("timestamp %d", got)
	}
	now = time.UnixMilli(4000)
	if got := at(0); got != 5000 {
		t.Errorf("with the clock set back: %d", got)
	}
	if got := at(7000); got != 7000 {
		t.Errorf("given 7000: %d", got)
	}
	if got := at(0); got != 7000 {
		t.Errorf("after 7000: %d", got)
	}
	_, err := b.Assign(ctx, p, process.Message{Data: []byte("add 1"), Timestamp: 6999})
	wantCode(t, err, 400, process.CodeTimestampOrder)
	b = b.restart()
	if got := at(0); got != 7000 {
		t.Errorf("after a restart: %d", got)
	}
}

func TestBlockHeightAndEpochCarryOver(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	for i, msg := range []process.Message{{}, {BlockHeight: 10, Epoch: 1}, {}, {BlockHeight: 12}, {}} {
		a, err := b.Assign(ctx, p, msg)
		if err != nil {
			t.Fatal(err)
		}
		if want := []uint64{0, 10, 10, 12, 12}[i]; a.BlockHeight != want {
			t.Errorf("slot %d: height %d, want %d", i, a.BlockHeight, want)
		}
		if want := []uint64{0, 1, 1, 1, 1}[i]; a.Epoch != want {
			t.Errorf("slot %d: epoch %d, want %d", i, a.Epoch, want)
		}
	}
}

func TestCallerMayReuseTheMessage(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	data := []byte("add 1")
	a, err := b.Assign(ctx, p, process.Message{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	copy(data, "xxx y")
	if string(a.Message) != "add 1" {
		t.Errorf("message %q", a.Message)
	}
	b.result(p, a.Slot)
	if got := b.say(p, "add 0"); got != "1" {
		t.Errorf("the sum is %s", got)
	}
}

func TestTooLargeMessageIsRefused(t *testing.T) {
	b := newBench(t, process.Options{MaxMessage: 10})
	p := b.spawn(1)
	long := process.Message{Data: []byte(strings.Repeat("x", 11))}
	_, err := b.Assign(ctx, p, long)
	wantCode(t, err, 413, process.CodeTooLarge)
	_, err = b.Read(ctx, p, long)
	wantCode(t, err, 413, process.CodeTooLarge)
}

func TestUnknownProcessesAndSlots(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	_, err := b.Assign(ctx, id(2), process.Message{})
	wantCode(t, err, 404, process.CodeNoProcess)
	_, err = b.Result(ctx, "short", 0)
	wantCode(t, err, 400, process.CodeBadProcessID)
	_, err = b.Result(ctx, p, 0)
	wantCode(t, err, 404, process.CodeNoSlot)
	_, err = b.Inspect(ctx, id(2))
	wantCode(t, err, 404, process.CodeNoProcess)
	for _, err := range b.Slots(ctx, id(2), 0) {
		wantCode(t, err, 404, process.CodeNoProcess)
	}
}

// blocked makes messages "add 7" wait until release is closed, and tells
// reached when the first of them is there.
func blocked(d *fakeDevice) (reached, release chan struct{}) {
	reached, release = make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.setHook(func(call string, _ *fakeMachine, a *process.Assignment) error {
		if call == "compute" && string(a.Message) == "add 7" {
			once.Do(func() { close(reached) })
			<-release
		}
		return nil
	})
	return reached, release
}

func TestLaggingProcessIsBusy(t *testing.T) {
	b := newBench(t, process.Options{QueueDepth: 3})
	p, q := b.spawn(1), b.spawn(2)
	reached, release := blocked(b.device)
	b.assign(p, "add 7")
	<-reached
	b.assign(p, "add 1")
	last := b.assign(p, "add 1")
	_, err := b.Assign(ctx, p, process.Message{Data: []byte("add 1")})
	var busy *process.BusyError
	if !errors.As(err, &busy) || busy.Lag != 3 || busy.Depth != 3 || busy.Process != p {
		t.Errorf("error %v", err)
	}
	wantCode(t, err, 503, process.CodeBusy)
	if !wire(t, err).Details.Retryable {
		t.Error("busy isn't retryable")
	}
	// Another process isn't affected.
	if got := b.say(q, "add 1"); got != "1" {
		t.Errorf("the other's sum is %s", got)
	}
	close(release)
	b.result(p, last.Slot)
	if got := b.say(p, "add 1"); got != "10" {
		t.Errorf("the sum is %s", got)
	}
}

func TestFailedAppendIsSettledByTheLog(t *testing.T) {
	disk := errors.New("disk trouble")
	for _, landed := range []bool{false, true} {
		b := newBench(t, process.Options{})
		p := b.spawn(1)
		b.say(p, "add 1")
		record := func(text string) {
			// What an append does whose answer was lost: the next slot as the
			// runtime would write it, seen from another runtime.
			other := reopen(t, b.store, process.Options{Clock: func() time.Time { return time.UnixMilli(9_000_000_000_000) }})
			other.assign(p, text)
			other.stop()
		}
		n := 0
		b.store.setFail(func(op string) error {
			if op != "Append" {
				return nil
			}
			n++
			if n == 1 {
				return disk
			}
			return nil
		})
		if landed {
			b.store.setFail(nil)
			record("add 10")
			// The tail that the runtime knows is stale: it finds that out.
			if got := b.say(p, "add 1"); got != "12" {
				t.Errorf("the sum is %s, want 12", got)
			}
			continue
		}
		_, err := b.Assign(ctx, p, process.Message{Data: []byte("add 1")})
		wantCode(t, err, 503, process.CodeStore)
		if e := wire(t, err); !e.Details.Retryable || !errors.Is(err, disk) {
			t.Errorf("error %+v", e)
		}
		if got := b.say(p, "add 1"); got != "2" {
			t.Errorf("the sum is %s, want 2", got)
		}
	}
}

// lostAnswer is a store whose appends happen and then fail, on demand.
type lostAnswer struct {
	store.Store
	lose    bool
	blind   bool
	appends int
}

func (l *lostAnswer) Append(ctx context.Context, log string, slot uint64, data []byte) error {
	l.appends++
	err := l.Store.Append(ctx, log, slot, data)
	if err == nil && l.lose {
		return errors.New("connection lost")
	}
	return err
}

func (l *lostAnswer) LastSlot(ctx context.Context, log string) (uint64, error) {
	if l.blind {
		return 0, errors.New("connection lost")
	}
	return l.Store.LastSlot(ctx, log)
}

func TestAppendThatHappenedIsAcknowledged(t *testing.T) {
	mem := newMemStore()
	l := &lostAnswer{Store: mem}
	r, err := process.Open(ctx, l, process.Options{Devices: map[string]process.Device{fakeName: newFakeDevice(mem)}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	if err := r.Spawn(ctx, definition(1), module); err != nil {
		t.Fatal(err)
	}
	l.lose = true
	a, err := r.Assign(ctx, id(1), process.Message{Data: []byte("add 5")})
	if err != nil || a.Slot != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	// If even the log can't be read, nobody knows, and no slot is given out
	// until somebody does.
	l.blind = true
	_, err = r.Assign(ctx, id(1), process.Message{Data: []byte("add 5")})
	wantCode(t, err, 503, process.CodeFateUnknown)
	before := l.appends
	_, err = r.Assign(ctx, id(1), process.Message{Data: []byte("add 5")})
	wantCode(t, err, 503, process.CodeStore)
	if l.appends != before {
		t.Error("a slot was given out while the log's end wasn't known")
	}
	l.blind, l.lose = false, false
	a, err = r.Assign(ctx, id(1), process.Message{Data: []byte("add 5")})
	if err != nil || a.Slot != 2 {
		t.Fatalf("%+v, %v", a, err)
	}
	res, err := r.Result(ctx, id(1), 2)
	if err != nil || !strings.HasSuffix(string(res.Data), ": 15") {
		t.Errorf("%s, %v", res.Data, err)
	}
}

func TestConcurrentAssignmentsEachGetASlot(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	const n = 200
	slots := make([]uint64, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			a, err := b.Assign(ctx, p, process.Message{Data: []byte("add 1")})
			if err != nil {
				t.Error(err)
				return
			}
			slots[i] = a.Slot
			if _, err := b.Result(ctx, p, a.Slot); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := map[uint64]bool{}
	for _, s := range slots {
		seen[s] = true
	}
	if len(seen) != n {
		t.Errorf("%d slots for %d messages", len(seen), n)
	}
	if got := b.say(p, "add 0"); got != fmt.Sprint(n) {
		t.Errorf("the sum is %s", got)
	}
}

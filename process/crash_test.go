package process_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"aorta/process"
	"aorta/store"

	"pgregory.net/rapid"
)

// sequence is a random life of a few processes with restarts and crashes,
// beside what was acknowledged of it.
type sequence struct {
	t     *rapid.T
	tb    testing.TB
	b     *bench
	rng   *rand.Rand
	acked []map[uint64]string // by process: what each slot was acknowledged as
	said  int
}

const sequenceProcesses = 3

// TestNothingIsLostOrAppliedTwice runs random sequences of messages, failures,
// node trouble, reads, checkpoints, evictions, restarts and crashes, and compares
// results and roots with the plain meaning of the log.
func TestNothingIsLostOrAppliedTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		s := &sequence{t: rt, tb: t, rng: rand.New(rand.NewPCG(seed, 1))}
		for range sequenceProcesses {
			s.acked = append(s.acked, map[uint64]string{})
		}
		s.open(newMemStore())
		defer func() { s.b.stop() }()
		for i := range sequenceProcesses {
			if err := s.b.Spawn(ctx, definition(i), module); err != nil {
				rt.Fatal(err)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"say":        func(*rapid.T) { s.say() },
			"say more":   func(*rapid.T) { s.say(); s.say(); s.say() },
			"result":     func(*rapid.T) { s.result() },
			"read":       func(*rapid.T) { s.read() },
			"checkpoint": func(*rapid.T) { s.checkpoint() },
			"trouble":    func(*rapid.T) { s.trouble() },
			"restart":    func(*rapid.T) { s.restart() },
			"crash":      func(*rapid.T) { s.crash() },
			"fuse":       func(*rapid.T) { s.b.store.light(1+s.rng.IntN(30), s.fork()) },
		})
		s.b.store.light(0, s.fork())
		s.restart()
		s.verify()
	})
}

func (s *sequence) open(st *memStore) {
	policy := process.CheckpointPolicy{Slots: uint64(1 + s.rng.IntN(8)), Keep: 2 + s.rng.IntN(3)}
	s.b = reopenQuietly(s.tb, st, process.Options{
		MaxResident: 1 + s.rng.IntN(2), Quantum: time.Millisecond, RetryDelay: 1, Attempts: 4,
		Checkpoint: policy, WriteDelay: time.Duration(1+s.rng.IntN(300)) * time.Microsecond,
		Mark: process.MarkPolicy{Messages: 1 + s.rng.IntN(8), Wall: time.Hour},
	})
}

// ok reports whether a call succeeded. A call may fail because the store
// crashed under it; then the node is started again.
func (s *sequence) ok(err error) bool {
	if err == nil {
		return true
	}
	s.b.store.mu.Lock()
	crashed := s.b.store.closed
	s.b.store.mu.Unlock()
	if !crashed {
		s.t.Fatalf("unexpected error: %v", err)
	}
	s.crash()
	return false
}

// fork returns randomness for another goroutine.
func (s *sequence) fork() *rand.Rand { return rand.New(rand.NewPCG(s.rng.Uint64(), 2)) }

func (s *sequence) pick() (int, string) {
	n := s.rng.IntN(sequenceProcesses)
	return n, id(n)
}

func (s *sequence) say() {
	n, p := s.pick()
	s.said++
	line := fmt.Sprintf("set m%d %d", s.said, s.said)
	switch s.rng.IntN(5) {
	case 0:
		line = fmt.Sprintf("fail m%d", s.said)
	case 1:
		line = fmt.Sprintf("add %d", s.said)
	case 2:
		line = fmt.Sprintf("get m%d", s.rng.IntN(s.said))
	}
	a, err := s.b.Assign(ctx, p, process.Message{Data: []byte(line)})
	if s.ok(err) {
		s.acked[n][a.Slot] = string(a.Message)
	}
}

func (s *sequence) result() {
	n, p := s.pick()
	if len(s.acked[n]) == 0 {
		return
	}
	// Unacknowledged ones make the log longer than what is known here.
	slot := uint64(s.rng.IntN(len(s.acked[n])))
	_, err := s.b.Result(ctx, p, slot)
	s.ok(err)
}

func (s *sequence) read() {
	_, p := s.pick()
	_, err := s.b.Read(ctx, p, process.Message{Data: []byte("get m1")})
	var panicked *process.PanicError
	if errors.Is(err, errNode) || errors.As(err, &panicked) {
		return // the trouble of the fork, which isn't tried again
	}
	s.ok(err)
}

func (s *sequence) checkpoint() {
	_, p := s.pick()
	_, err := s.b.Checkpoint(ctx, p)
	s.ok(err)
}

// trouble makes one of the next calls to a machine fail on this node.
func (s *sequence) trouble() {
	calls := []string{"compute", "mark", "rollback", "snapshot", "terminate"}
	call := calls[s.rng.IntN(len(calls))]
	failure := error(nil)
	if s.rng.IntN(2) == 0 && call != "terminate" {
		failure = errNode
	}
	n := int64(1 + s.rng.IntN(4))
	if call == "snapshot" {
		return // a Checkpoint that fails says so; see the other tests
	}
	s.b.device.setHook(failNth(call, n, failure))
}

func (s *sequence) restart() {
	st := s.b.store
	if err := s.b.Close(ctx); !s.ok(err) {
		return
	}
	s.b.stop()
	s.open(st)
}

func (s *sequence) crash() {
	left := s.b.store.crash(s.fork())
	s.b.stop()
	s.open(left)
}

// verify compares the whole store with the meaning of its logs.
func (s *sequence) verify() {
	for n := range sequenceProcesses {
		p := id(n)
		o := newModel()
		seen := map[string]bool{}
		log := s.b.store.now.logs["process/"+p]
		for slot := range log {
			r, err := s.b.Result(ctx, p, uint64(slot))
			if err != nil {
				s.t.Fatalf("process %d: result of slot %d: %v", n, slot, err)
			}
			a := s.assignment(p, uint64(slot))
			if acked, ok := s.acked[n][uint64(slot)]; ok && acked != string(a.Message) {
				s.t.Errorf("process %d: slot %d is %q, acknowledged was %q", n, slot, a.Message, acked)
			}
			if verb, _, _ := strings.Cut(string(a.Message), " "); verb != "get" && seen[string(a.Message)] {
				s.t.Errorf("process %d: %q was assigned twice", n, a.Message)
			}
			seen[string(a.Message)] = true
			o.apply(a)
			if string(r.Data) != o.results[slot] || r.Failed != o.failed[slot] {
				s.t.Errorf("process %d: slot %d (%s) came to %q, want %q", n, slot, a.Message, r.Data, o.results[slot])
			}
		}
		for slot := range s.acked[n] {
			if slot >= uint64(len(log)) {
				s.t.Errorf("process %d: acknowledged slot %d is lost", n, slot)
			}
		}
		c, err := s.b.Checkpoint(ctx, p)
		if err != nil {
			s.t.Fatal(err)
		}
		if c.Root != o.root() {
			s.t.Errorf("process %d: the root isn't the one of the log", n)
		}
		report, err := s.b.Replay(ctx, p, process.ReplayOptions{Verify: true})
		if err != nil || report.Mismatch != nil || report.Root != o.root() || report.Results != uint64(len(log)) {
			s.t.Errorf("process %d: replay %+v %+v, %v", n, report, report.Mismatch, err)
		}
	}
}

// assignment reads a slot of the log the way that the documentation of the
// record says.
func (s *sequence) assignment(p string, slot uint64) *process.Assignment {
	for info, err := range s.b.Slots(ctx, p, slot) {
		if err != nil {
			s.t.Fatal(err)
		}
		raw := s.b.store.now.logs["process/"+p][slot]
		return &process.Assignment{Process: p, Slot: slot, Timestamp: info.Timestamp, Message: raw[len(raw)-info.MessageBytes:]}
	}
	s.t.Fatalf("slot %d isn't listed", slot)
	return nil
}

// reopenQuietly is reopen for a runtime that the caller stops.
func reopenQuietly(t testing.TB, st *memStore, opts process.Options) *bench {
	d := newFakeDevice(st)
	opts.Devices = map[string]process.Device{fakeName: d}
	r, err := process.Open(ctx, st, opts)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{Runtime: r, t: t, store: st, device: d, opts: opts}
}

func TestCrashAfterAnAnswerGivesTheSameAnswerAgain(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	st := newMemStore()
	b := reopenQuietly(t, st, process.Options{})
	p := b.spawn(1)
	st.setFail(func(op string) error {
		if op == "SetLinks" {
			return errors.New("not just now")
		}
		return nil
	})
	var answers []string
	for i := range 10 {
		r := b.result(p, b.assign(p, fmt.Sprintf("add %d", i)).Slot)
		answers = append(answers, string(r.Data))
	}
	left := st.crash(rng)
	if err := b.Close(ctx); err == nil {
		t.Error("closing over a store that is gone isn't an error")
	} else if !errors.Is(err, store.ErrClosed) {
		t.Errorf("error %v", err)
	}
	for name := range left.now.links {
		if strings.HasPrefix(name, "result/") {
			t.Fatalf("%s was written: the test doesn't test", name)
		}
	}
	b = reopen(t, left, process.Options{})
	for i, want := range answers {
		if r := b.result(p, uint64(i)); string(r.Data) != want {
			t.Errorf("slot %d came to %q, answered was %q", i, r.Data, want)
		}
	}
}

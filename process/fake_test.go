package process_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"aorta/process"
	"aorta/store"
	"aorta/vm"
)

// fakeDevice executes a small language: one message is one line.
//
//	set KEY VALUE     → the old value
//	add N             → the new sum
//	get KEY           → the value
//	big N             → N bytes
//	burn N            → uses N fuel
//	fail TEXT         → changes the state, then fails
//
// It holds its caller to the contract: a machine is used by one goroutine at
// a time, not after its end, and not before a rollback if a call ended badly.
type fakeDevice struct {
	chunks  store.Chunks
	profile string

	// hook is called before each call, and can make it fail or panic.
	hook atomic.Pointer[func(call string, m *fakeMachine, a *process.Assignment) error]

	made, ended, live, peak atomic.Int64
	computed                atomic.Int64

	mu       sync.Mutex
	breaches []string
}

func newFakeDevice(chunks store.Chunks) *fakeDevice {
	return &fakeDevice{chunks: chunks, profile: "fake-1"}
}

func (d *fakeDevice) setHook(f func(call string, m *fakeMachine, a *process.Assignment) error) {
	if f == nil {
		d.hook.Store(nil)
		return
	}
	d.hook.Store(&f)
}

func (d *fakeDevice) breach(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.breaches = append(d.breaches, fmt.Sprintf(format, args...))
}

func (d *fakeDevice) Profile() string { return d.profile }

func (d *fakeDevice) CheckModule(_ context.Context, module []byte) error {
	if bytes.HasPrefix(module, []byte("bad")) {
		return errors.New("it starts with 'bad'")
	}
	return nil
}

func (d *fakeDevice) Init(_ context.Context, def *process.Definition) (process.Machine, error) {
	if err := d.call("init", nil, nil); err != nil {
		return nil, err
	}
	if slices.Contains(def.Tags, process.Tag{Name: "Init", Value: "fails"}) {
		return nil, errors.New("this module has no entry point")
	}
	return d.machine(fakeState{data: map[string]string{}}), nil
}

func (d *fakeDevice) machine(s fakeState) *fakeMachine {
	d.made.Add(1)
	live := d.live.Add(1)
	for {
		peak := d.peak.Load()
		if live <= peak || d.peak.CompareAndSwap(peak, live) {
			break
		}
	}
	return &fakeMachine{d: d, now: s.clone(), marked: s}
}

func (d *fakeDevice) Normalize(ctx context.Context, _ *process.Definition, snap *process.Snapshot) (process.Machine, error) {
	if err := d.call("normalize", nil, nil); err != nil {
		return nil, err
	}
	if snap.Profile != d.profile {
		return nil, fmt.Errorf("the snapshot is of profile %q", snap.Profile)
	}
	if len(snap.Manifest) != len(store.Hash{}) {
		return nil, errors.New("the manifest is damaged")
	}
	var index []store.Hash
	err := d.chunks.Chunks(ctx, []store.Hash{store.Hash(snap.Manifest)}, func(_ int, data []byte) error {
		for h := range slices.Chunk(data, len(store.Hash{})) {
			index = append(index, store.Hash(h))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	pages := make([][]byte, len(index))
	err = d.chunks.Chunks(ctx, index, func(i int, data []byte) error {
		pages[i] = slices.Clone(data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	encoded := bytes.Join(pages, nil)
	if store.Sum(encoded) != snap.Root {
		return nil, errors.New("the root is another")
	}
	return d.machine(decodeFakeState(encoded)), nil
}

func (d *fakeDevice) call(name string, m *fakeMachine, a *process.Assignment) error {
	if f := d.hook.Load(); f != nil {
		return (*f)(name, m, a)
	}
	return nil
}

type fakeState struct {
	sum  uint64
	data map[string]string
}

func (s fakeState) clone() fakeState { return fakeState{s.sum, maps.Clone(s.data)} }

func (s fakeState) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, s.sum)
	for _, k := range slices.Sorted(maps.Keys(s.data)) {
		b = binary.AppendUvarint(b, uint64(len(k)))
		b = append(b, k...)
		b = binary.AppendUvarint(b, uint64(len(s.data[k])))
		b = append(b, s.data[k]...)
	}
	return b
}

func decodeFakeState(b []byte) fakeState {
	s := fakeState{sum: binary.BigEndian.Uint64(b), data: map[string]string{}}
	text := func() string {
		n, w := binary.Uvarint(b)
		t := string(b[w : w+int(n)])
		b = b[w+int(n):]
		return t
	}
	for b = b[8:]; len(b) > 0; {
		k := text()
		s.data[k] = text()
	}
	return s
}

type fakeMachine struct {
	d           *fakeDevice
	now, marked fakeState
	undefined   bool
	fork        bool
	ended       bool
	busy        atomic.Bool
	dirty       uint64
}

// enter begins a call; the caller calls what it returns.
func (m *fakeMachine) enter(call string) func() {
	if !m.busy.CompareAndSwap(false, true) {
		m.d.breach("%s while another call runs", call)
	}
	if m.ended {
		m.d.breach("%s after terminate", call)
	}
	return func() { m.busy.Store(false) }
}

func (m *fakeMachine) Compute(ctx context.Context, a *process.Assignment) (*process.Outcome, error) {
	defer m.enter("compute")()
	if m.undefined {
		m.d.breach("compute of slot %d without a rollback", a.Slot)
	}
	m.d.computed.Add(1)
	if err := m.d.call("compute", m, a); err != nil {
		m.wreck()
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		m.wreck()
		return nil, err
	}
	result, failed, fuel := m.execute(string(a.Message))
	if failed {
		m.wreck()
	}
	text := fmt.Sprintf("%d@%d: %s", a.Slot, a.Timestamp, result)
	return &process.Outcome{
		Result: []byte(text), Failed: failed,
		Ledger: vm.Ledger{Fuel: fuel, DirtyPages: 1, MemoryBytes: 65536, HostCalls: map[string]uint64{"env.print": 1}},
	}, nil
}

// wreck leaves the state as a call that ended badly would.
func (m *fakeMachine) wreck() {
	m.now.sum += 1_000_003
	m.now.data["wreck"] = "yes"
	m.undefined = true
}

func (m *fakeMachine) execute(line string) (result string, failed bool, fuel uint64) {
	verb, rest, _ := strings.Cut(line, " ")
	fuel = uint64(len(line))
	switch verb {
	case "set":
		k, v, _ := strings.Cut(rest, " ")
		old := m.now.data[k]
		m.now.data[k] = v
		m.dirty += uint64(len(v))
		return old, false, fuel
	case "add":
		var n uint64
		_, _ = fmt.Sscan(rest, &n)
		m.now.sum += n
		return fmt.Sprint(m.now.sum), false, fuel
	case "get":
		return m.now.data[rest], false, fuel
	case "big":
		var n int
		_, _ = fmt.Sscan(rest, &n)
		return strings.Repeat("x", n), false, fuel
	case "burn":
		_, _ = fmt.Sscan(rest, &fuel)
		return "burnt", false, fuel
	case "fail":
		return "failed: " + rest, true, fuel
	}
	return fmt.Sprintf("unknown verb %q after sum %d", verb, m.now.sum), true, fuel
}

func (m *fakeMachine) Mark() error {
	defer m.enter("mark")()
	if m.undefined {
		m.d.breach("mark of an undefined state")
	}
	if err := m.d.call("mark", m, nil); err != nil {
		return err
	}
	m.marked = m.now.clone()
	return nil
}

func (m *fakeMachine) Rollback() error {
	defer m.enter("rollback")()
	if err := m.d.call("rollback", m, nil); err != nil {
		return err
	}
	m.now, m.undefined = m.marked.clone(), false
	return nil
}

func (m *fakeMachine) Snapshot(ctx context.Context, chunks store.Chunks) (*process.Snapshot, error) {
	defer m.enter("snapshot")()
	if m.fork {
		return nil, errors.New("a fork can't be snapshotted")
	}
	if m.undefined {
		m.d.breach("snapshot of an undefined state")
	}
	if err := m.d.call("snapshot", m, nil); err != nil {
		return nil, err
	}
	encoded := m.now.encode()
	var (
		list  []store.Chunk
		index []byte
	)
	for page := range slices.Chunk(encoded, 64) {
		h := store.Sum(page)
		list = append(list, store.Chunk{Hash: h, Data: page})
		index = append(index, h[:]...)
	}
	manifest := store.Sum(index)
	list = append(list, store.Chunk{Hash: manifest, Data: index})
	if err := chunks.PutChunks(ctx, list); err != nil {
		return nil, err
	}
	m.marked, m.dirty = m.now.clone(), 0
	return &process.Snapshot{Root: store.Sum(encoded), Manifest: manifest[:], Profile: m.d.profile, Written: uint64(len(encoded))}, nil
}

func (m *fakeMachine) Fork(context.Context) (process.Machine, error) {
	defer m.enter("fork")()
	if err := m.d.call("fork", m, nil); err != nil {
		return nil, err
	}
	f := m.d.machine(m.marked.clone())
	f.fork = true
	return f, nil
}

func (m *fakeMachine) Dirty() uint64 { return m.dirty }

func (m *fakeMachine) Footprint() uint64 {
	n := uint64(1 << 20)
	for _, v := range m.now.data {
		n += uint64(len(v))
	}
	return n
}

func (m *fakeMachine) Terminate() {
	if m.ended {
		return
	}
	m.ended = true
	m.d.ended.Add(1)
	m.d.live.Add(-1)
	_ = m.d.call("terminate", m, nil)
}

// model is what the fake language means, without a runtime: the truth that
// tests compare with.
type model struct {
	m       *fakeMachine
	results []string
	failed  []bool
}

func newModel() *model {
	return &model{m: &fakeMachine{d: newFakeDevice(nil), now: fakeState{data: map[string]string{}}}}
}

func (o *model) apply(a *process.Assignment) {
	before := o.m.now.clone()
	result, failed, _ := o.m.execute(string(a.Message))
	if failed {
		o.m.now = before
	}
	o.results = append(o.results, fmt.Sprintf("%d@%d: %s", a.Slot, a.Timestamp, result))
	o.failed = append(o.failed, failed)
}

func (o *model) root() store.Hash { return store.Sum(o.m.now.encode()) }

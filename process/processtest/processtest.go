// Package processtest holds every execution device to the contract of process.Device and process.Machine, with one suite of tests.
//
// A device's own tests call Run with a script of messages. The suite executes
// it live, after a restore from every slot, after rollbacks, on forks and
// through a Runtime, and compares results, fuel and roots; and it counts what
// the process holds of the operating system before and after.
package processtest

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"

	"aorta/process"
	"aorta/store"
)

// Config is a device and a script for it.
type Config struct {
	// Store returns an empty store, which the test closes.
	Store func(testing.TB) store.Store
	// Device returns the device under test over a store. It may be called
	// more than once.
	Device func(testing.TB, store.Store) process.Device
	// Definition is the process's; the suite fills in its Module and Limits.
	// Module is the module's bytes; nil if the device needs none.
	Definition process.Definition
	Module     []byte
	// Messages is the script: a dozen or so, some of which fail, and each of
	// whose results should show the state.
	Messages []Message
}

// Message is one line of a script.
type Message struct {
	Data []byte
	// Fails says that the message fails.
	Fails bool
}

// Run tests a device.
func Run(t *testing.T, c Config) {
	if len(c.Messages) == 0 {
		t.Fatal("the script is empty")
	}
	c.Definition.Limits = c.Definition.Limits.WithDefaults()
	if c.Module != nil {
		c.Definition.Module = store.Sum(c.Module).String()
	}
	for _, test := range []struct {
		name string
		f    func(*suite)
	}{
		{"ScriptFailsWhereItShould", (*suite).scriptFailsWhereItShould},
		{"EveryRunIsTheSame", (*suite).everyRunIsTheSame},
		{"RestoringFromAnySlotContinuesTheSame", (*suite).restoringFromAnySlot},
		{"RootsDoNotDependOnThePath", (*suite).rootsDoNotDependOnThePath},
		{"FailedMessageLeavesNoTrace", (*suite).failedMessageLeavesNoTrace},
		{"RollbackReturnsToTheMark", (*suite).rollbackReturnsToTheMark},
		{"ForkChangesNothing", (*suite).forkChangesNothing},
		{"ForkAndMachineComputeAtOnce", (*suite).forkAndMachineAtOnce},
		{"CancelledCallCanBeRolledBack", (*suite).cancelledCall},
		{"FailedSnapshotLosesNothing", (*suite).failedSnapshot},
		{"DamagedSnapshotIsRefused", (*suite).damagedSnapshot},
		{"SnapshotOfAnotherProfileIsRefused", (*suite).otherProfile},
		{"TerminateReleasesEverything", (*suite).terminateReleasesEverything},
		{"RuntimeGivesTheSameResults", (*suite).runtimeGivesTheSame},
	} {
		t.Run(test.name, func(t *testing.T) { test.f(newSuite(t, c)) })
	}
}

// suite is one test's store, device and script.
type suite struct {
	*testing.T
	ctx    context.Context
	store  *faultyStore
	device process.Device
	def    *process.Definition
	module []byte
	script []Message
}

func newSuite(t *testing.T, c Config) *suite {
	t.Helper()
	st := &faultyStore{Store: c.Store(t)}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	def := c.Definition
	s := &suite{T: t, ctx: context.Background(), store: st, def: &def, module: c.Module, script: c.Messages}
	if c.Module != nil {
		if _, err := st.PutValues(s.ctx, c.Module); err != nil {
			t.Fatalf("store the module: %v", err)
		}
	}
	s.device = c.Device(t, st)
	return s
}

// faultyStore is a store whose chunks fail on demand.
type faultyStore struct {
	store.Store
	failPut, failGet atomic.Pointer[error]
}

func (f *faultyStore) PutChunks(ctx context.Context, chunks []store.Chunk) error {
	if err := f.failPut.Load(); err != nil {
		return *err
	}
	return f.Store.PutChunks(ctx, chunks)
}

func (f *faultyStore) Chunks(ctx context.Context, hashes []store.Hash, g func(int, []byte) error) error {
	if err := f.failGet.Load(); err != nil {
		return *err
	}
	return f.Store.Chunks(ctx, hashes, g)
}

// assignment is the script's line slot, the same in every run.
func (s *suite) assignment(slot int) *process.Assignment {
	return &process.Assignment{
		Process: s.def.ID, Slot: uint64(slot), Timestamp: 1_700_000_000_000 + int64(slot)*1000, BlockHeight: 1_000_000 + uint64(slot),
		HashChain: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ", Message: bytes.Clone(s.script[slot].Data),
	}
}

// init returns a new machine, which the test ends.
func (s *suite) init() process.Machine {
	s.Helper()
	m, err := s.device.Init(s.ctx, s.def)
	if err != nil {
		s.Fatalf("init: %v", err)
	}
	s.Cleanup(m.Terminate)
	return m
}

func (s *suite) normalize(snap *process.Snapshot) process.Machine {
	s.Helper()
	m, err := s.device.Normalize(s.ctx, s.def, snap)
	if err != nil {
		s.Fatalf("normalize: %v", err)
	}
	s.Cleanup(m.Terminate)
	return m
}

func (s *suite) fork(m process.Machine) process.Machine {
	s.Helper()
	f, err := m.Fork(s.ctx)
	if err != nil {
		s.Fatalf("fork: %v", err)
	}
	s.Cleanup(f.Terminate)
	return f
}

func (s *suite) compute(m process.Machine, slot int) *process.Outcome {
	s.Helper()
	o, err := m.Compute(s.ctx, s.assignment(slot))
	if err != nil {
		s.Fatalf("compute slot %d: %v", slot, err)
	}
	return o
}

func (s *suite) mark(m process.Machine) {
	s.Helper()
	if err := m.Mark(); err != nil {
		s.Fatalf("mark: %v", err)
	}
}

func (s *suite) rollback(m process.Machine) {
	s.Helper()
	if err := m.Rollback(); err != nil {
		s.Fatalf("roll back: %v", err)
	}
}

func (s *suite) snapshot(m process.Machine) *process.Snapshot {
	s.Helper()
	snap, err := m.Snapshot(s.ctx, s.store)
	if err != nil {
		s.Fatalf("snapshot: %v", err)
	}
	if snap.Profile != s.device.Profile() {
		s.Fatalf("the snapshot is of profile %q, the device's is %q", snap.Profile, s.device.Profile())
	}
	return snap
}

// step applies one slot as a transaction of its own: mark, compute, and roll
// back if it failed.
func (s *suite) step(m process.Machine, slot int) *process.Outcome {
	s.Helper()
	s.mark(m)
	o := s.compute(m, slot)
	if o.Failed {
		s.rollback(m)
	}
	return o
}

// run is what a script came to: outcomes[i] and the snapshot after it.
type run struct {
	outcomes  []*process.Outcome
	snapshots []*process.Snapshot
}

// live runs the whole script, with a snapshot after each slot.
func (s *suite) live() *run {
	s.Helper()
	m := s.init()
	defer m.Terminate()
	var r run
	for slot := range s.script {
		r.outcomes = append(r.outcomes, s.step(m, slot))
		r.snapshots = append(r.snapshots, s.snapshot(m))
	}
	return &r
}

// same compares what a slot came to with what it came to in another run.
func (s *suite) same(slot int, got, want *process.Outcome) {
	s.Helper()
	if got.Failed != want.Failed || !bytes.Equal(got.Result, want.Result) {
		s.Errorf("slot %d came to (failed: %v) %.300q,\nbefore to (failed: %v) %.300q", slot, got.Failed, got.Result, want.Failed, want.Result)
	}
	if got.Ledger.Fuel != want.Ledger.Fuel {
		s.Errorf("slot %d took %d instructions, before %d", slot, got.Ledger.Fuel, want.Ledger.Fuel)
	}
	if got.Ledger.MemoryBytes != want.Ledger.MemoryBytes {
		s.Errorf("after slot %d memory has %d bytes, before %d", slot, got.Ledger.MemoryBytes, want.Ledger.MemoryBytes)
	}
}

func (s *suite) sameRoot(slot int, got, want *process.Snapshot) {
	s.Helper()
	if got.Root != want.Root {
		s.Errorf("after slot %d the root is %s, before %s", slot, got.Root, want.Root)
	}
}

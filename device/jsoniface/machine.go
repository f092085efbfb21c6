package jsoniface

import (
	"context"
	"errors"

	"aorta/process"
	"aorta/store"
	"aorta/vm"
	"aorta/vm/image"
	"aorta/vm/wasm"
)

// machine is one process in memory.
type machine struct {
	device *Device
	def    *process.Definition
	in     *wasm.Instance
	env    []byte // the second argument of handle
	text   []byte // the first, reused
	dirty  uint64 // pages changed by marks since the last snapshot
	fork   bool
}

var _ process.Machine = (*machine)(nil)

func newMachine(d *Device, def *process.Definition, in *wasm.Instance) *machine {
	return &machine{device: d, def: def, in: in, env: environment(def)}
}

// Compute implements process.Machine.
func (m *machine) Compute(ctx context.Context, a *process.Assignment) (*process.Outcome, error) {
	text, err := message(m.text[:0], m.def, a)
	if err != nil {
		return failed(m.result(a, err), vm.Ledger{MemoryBytes: uint64(m.in.Size())}), nil
	}
	m.text = text
	limits := m.def.Limits.WithDefaults()
	if m.device.Wall > 0 {
		limits.Wall = m.device.Wall
	}
	var reply []byte
	ledger, err := m.in.Run(ctx, vm.Env{Time: a.Timestamp, Seed: seed(a.Process, a.Slot)}, limits, func(g wasm.Guest) (err error) {
		reply, err = wasm.CallText(g, "handle", [][]byte{text, m.env}, limits.Output)
		return err
	})
	if err == nil {
		res, rollback := readReply(reply)
		if rollback {
			return failed(res, ledger), nil
		}
		return &process.Outcome{Result: res, Ledger: ledger}, nil
	}
	if !deterministic(err) {
		return &process.Outcome{Ledger: ledger}, err
	}
	return failed(m.result(a, err), ledger), nil
}

func failed(result []byte, ledger vm.Ledger) *process.Outcome {
	return &process.Outcome{Result: result, Failed: true, Ledger: ledger}
}

// deterministic reports whether every node that computes the slot ends it
// with this error.
func deterministic(err error) bool {
	var (
		limit *vm.LimitError
		trap  *vm.TrapError
		exit  *vm.ExitError
		guest *vm.GuestError
		sig   *wasm.SignatureError
	)
	switch {
	case errors.As(err, &limit):
		return limit.Deterministic()
	case errors.As(err, &trap), errors.As(err, &exit), errors.As(err, &guest), errors.As(err, &sig):
		return true
	}
	return false
}

// Mark implements process.Machine.
func (m *machine) Mark() error {
	n, err := m.in.Mark()
	m.dirty += uint64(n)
	return err
}

// Rollback implements process.Machine.
func (m *machine) Rollback() error { return m.in.Rollback() }

// Snapshot implements process.Machine.
func (m *machine) Snapshot(ctx context.Context, chunks store.Chunks) (*process.Snapshot, error) {
	if m.fork {
		return nil, errors.New("a fork can't be snapshotted")
	}
	cp, err := m.in.Save(ctx, sink{chunks})
	if err != nil {
		return nil, err
	}
	manifest, err := cp.MarshalBinary()
	if err != nil {
		return nil, err
	}
	m.dirty = 0
	return &process.Snapshot{
		Root:     store.Hash(cp.Root),
		Manifest: manifest,
		Profile:  m.device.Profile(),
		Written:  uint64(cp.Image.Written),
	}, nil
}

// Fork implements process.Machine.
func (m *machine) Fork(ctx context.Context) (process.Machine, error) {
	in, err := m.in.Fork(ctx, hosts())
	if err != nil {
		return nil, err
	}
	f := newMachine(m.device, m.def, in)
	f.fork = true
	return f, nil
}

// Dirty implements process.Machine.
func (m *machine) Dirty() uint64 { return m.dirty * image.PageSize }

// Footprint implements process.Machine.
func (m *machine) Footprint() uint64 { return uint64(m.in.Footprint()) }

// Terminate implements process.Machine.
func (m *machine) Terminate() { m.in.Close() }

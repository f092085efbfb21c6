// Package jsoniface executes processes whose modules speak the JSON interface of AOS: handle(message, env), texts in and a text out.
//
// It is the execution device behind json-iface@1.0 with wasm-64@1.0 and
// wasi@1.0: message.go builds the texts, result.go reads them back, and
// machine.go is the state between two messages.
package jsoniface

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"aorta/process"
	"aorta/store"
	"aorta/vm/emscripten"
	"aorta/vm/image"
	"aorta/vm/wasm"
)

// Name is the device's name on the network.
const Name = "json-iface@1.0"

// initExports are the functions that compilers export to prepare a module:
// emscripten's, in its order, and a WASI reactor's.
var initExports = []string{"emscripten_stack_init", "__wasm_call_ctors", "_initialize"}

// Device makes machines of AOS modules.
type Device struct {
	engine  *wasm.Engine
	modules store.Values
	chunks  store.Chunks
	// Wall, if not 0, is how long a message may take on this node, in place of
	// what its process's definition says. It is no part of any result.
	Wall time.Duration

	mu       sync.Mutex
	compiled map[string]*wasm.Module // by Definition.Module
}

var (
	_ process.Device        = (*Device)(nil)
	_ process.ModuleChecker = (*Device)(nil)
)

// New returns a device that compiles with engine, and reads modules and the
// chunks of snapshots from st.
func New(engine *wasm.Engine, st interface {
	store.Values
	store.Chunks
}) *Device {
	return &Device{engine: engine, modules: st, chunks: st, compiled: make(map[string]*wasm.Module)}
}

// Profile is the engine's, and the version of the calling convention here.
func (d *Device) Profile() string { return d.engine.Profile() + "+json-iface-1" }

// module returns a process's module, compiled.
func (d *Device) module(ctx context.Context, def *process.Definition) (*wasm.Module, error) {
	d.mu.Lock()
	m := d.compiled[def.Module]
	d.mu.Unlock()
	if m != nil {
		return m, nil
	}
	raw, err := hex.DecodeString(def.Module)
	if err != nil || len(raw) != len(store.Hash{}) {
		return nil, fmt.Errorf("module %q is not a SHA-256 in hexadecimal", def.Module)
	}
	binary, err := d.modules.Value(ctx, store.Hash(raw))
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", def.Module, err)
	}
	if m, err = d.Compile(ctx, binary); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.compiled[def.Module] = m // the engine keeps it as long
	return m, nil
}

// Compile compiles a module and checks that it speaks the JSON interface.
func (d *Device) Compile(ctx context.Context, binary []byte) (*wasm.Module, error) {
	m, err := d.engine.Compile(ctx, binary)
	if err != nil {
		return nil, err
	}
	if m.Info().Memory == nil {
		return nil, errors.New("the module has no memory of its own, so it can't take messages")
	}
	pointer := wasm.I32
	if m.Info().Memory.Memory64 {
		pointer = wasm.I64
	}
	t, ok := m.Export("handle")
	if !ok {
		return nil, errors.New("the module exports no function 'handle'; an AOS module does")
	}
	if len(t.Params) != 2 || len(t.Results) != 1 || t.Params[0] != pointer || t.Params[1] != pointer || t.Results[0] != pointer {
		return nil, errors.New("the module's 'handle' doesn't take two texts and return one")
	}
	return m, nil
}

// CheckModule implements process.ModuleChecker.
func (d *Device) CheckModule(ctx context.Context, module []byte) error {
	_, err := d.Compile(ctx, module)
	return err
}

// hosts are what a module of this device can import.
func hosts() []wasm.Host { return []wasm.Host{emscripten.New(emscripten.Options{})} }

// Init implements process.Device.
func (d *Device) Init(ctx context.Context, def *process.Definition) (process.Machine, error) {
	mod, err := d.module(ctx, def)
	if err != nil {
		return nil, err
	}
	in, err := mod.New(ctx, hosts(), def.Limits, initExports...)
	if err != nil {
		return nil, err
	}
	return newMachine(d, def, in), nil
}

// Normalize implements process.Device.
func (d *Device) Normalize(ctx context.Context, def *process.Definition, snap *process.Snapshot) (process.Machine, error) {
	if snap.Profile != d.Profile() {
		return nil, fmt.Errorf("the snapshot was made by another engine (%s; this one is %s)", snap.Profile, d.Profile())
	}
	var cp wasm.Checkpoint
	if err := cp.UnmarshalBinary(snap.Manifest); err != nil {
		return nil, err
	}
	if store.Hash(cp.Root) != snap.Root {
		return nil, errors.New("the snapshot's manifest has another root")
	}
	mod, err := d.module(ctx, def)
	if err != nil {
		return nil, err
	}
	in, err := mod.Restore(ctx, hosts(), source{d.chunks}, cp, def.Limits)
	if err != nil {
		return nil, err
	}
	return newMachine(d, def, in), nil
}

// seed is what feeds a slot's random sources: a hash of process and slot, so
// that every node has the same.
func seed(processID string, slot uint64) [32]byte {
	return store.Sum(fmt.Appendf(nil, "aorta.seed.1\x00%s\x00%d", processID, slot))
}

// messageID stands in for the id of a message that came without one.
func messageID(a *process.Assignment) string {
	h := store.Sum(fmt.Appendf(nil, "aorta.message.1\x00%s\x00%d\x00%s", a.Process, a.Slot, a.Message))
	return base64.RawURLEncoding.EncodeToString(h[:])
}

// sink and source are a store's chunks as an image sees them.
type sink struct{ chunks store.Chunks }

func (s sink) PutChunks(ctx context.Context, hashes []image.Hash, data [][]byte) error {
	list := make([]store.Chunk, len(hashes))
	for i := range hashes {
		list[i] = store.Chunk{Hash: store.Hash(hashes[i]), Data: data[i]}
	}
	return s.chunks.PutChunks(ctx, list)
}

type source struct{ chunks store.Chunks }

func (s source) Chunks(ctx context.Context, hashes []image.Hash, f func(int, []byte) error) error {
	list := make([]store.Hash, len(hashes))
	for i := range hashes {
		list[i] = store.Hash(hashes[i])
	}
	return s.chunks.Chunks(ctx, list, f)
}

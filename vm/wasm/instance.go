package wasm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/bytecodealliance/wasmtime-go/v39"

	"aorta/vm"
	"aorta/vm/image"
)

// Instance is a module in memory, with its own memory, globals, tables and
// hosts. It belongs to one goroutine at a time.
type Instance struct {
	mod   *Module
	hosts []Host
	calls []HostFunc

	store  *wasmtime.Store
	native *wasmtime.Instance
	memory *wasmtime.Memory // nil if the module has none
	image  *image.Image     // nil if the module has none, or it wasn't taken over yet
	state  *handles
	funcs  map[string]*wasmtime.Func
	watch  watchdog
	// refused is where the module notes that memory.grow failed; nil if it
	// doesn't grow.
	refused *wasmtime.Global

	marked *residue // what isn't memory, at the last mark
	dirty  int      // pages written since the mark, as the last call left it

	// What the call under way needs.
	ctx           context.Context
	limits        vm.Limits
	failure       error  // why a host function ended the call
	refusedMemory uint64 // the size in bytes that growing was refused
	counts        []uint64
	closed        bool
}

// noFuelLimit is what calls get that have no limits of their own.
const noFuelLimit = math.MaxInt64

// start makes the native instance. The module's own start function, if any,
// runs within limits.
func (in *Instance) start(ctx context.Context, limits vm.Limits) error {
	e := in.mod.engine
	in.store = wasmtime.NewStoreWithData(e.native, in)
	in.store.Limiter(int64(min(limits.Memory, MaxMemory)), int64(limits.Table), 1, 64, 2)
	if !e.config.NoFuel {
		if err := in.store.SetFuel(limits.Fuel); err != nil {
			return err
		}
	}
	in.refused = nil
	in.begin(ctx, limits)
	native, err := in.mod.linker.Instantiate(in.store, in.mod.native)
	if err != nil {
		return in.ended(ctx, err)
	}
	in.native = native
	in.funcs = make(map[string]*wasmtime.Func)
	in.state, err = newHandles(in)
	if err != nil {
		return err
	}
	info := in.mod.info
	if info.Memory != nil {
		in.memory = in.exported(info.Memory.Export).Memory()
	}
	if info.Refused != "" {
		in.refused = in.exported(info.Refused).Global()
	}
	in.watch = watchdog{}
	if info.Poll != "" {
		in.watch.attach(in.exported(info.Poll).Memory().Data(in.store))
	}
	return nil
}

func (in *Instance) begin(ctx context.Context, limits vm.Limits) {
	in.ctx, in.limits = ctx, limits
	in.failure, in.refusedMemory = nil, 0
	clear(in.counts)
	if in.refused != nil {
		_ = in.refused.Set(in.store, wasmtime.ValI64(0)) // its type is the rewriter's
	}
}

// exported returns an export that the rewriting promised to be there.
func (in *Instance) exported(name string) *wasmtime.Extern {
	x := in.native.GetExport(in.store, name)
	if x == nil {
		panic("wasm: the rewritten module has no export " + name)
	}
	return x
}

// Function returns the signature of an exported function.
func (in *Instance) Function(name string) (FuncType, bool) { return in.mod.Export(name) }

// Module returns the instance's module.
func (in *Instance) Module() *Module { return in.mod }

// Size is the size of linear memory in bytes.
func (in *Instance) Size() int {
	if in.memory == nil {
		return 0
	}
	return int(in.memory.DataSize(in.store))
}

// Call calls an exported function within limits. Values are raw, as a
// HostFunc's are. The ledger is right whether there is an error or not. After
// an error the instance must be rolled back before it is called again.
func (in *Instance) Call(ctx context.Context, name string, args []uint64, env vm.Env, limits vm.Limits) ([]uint64, vm.Ledger, error) {
	var out []uint64
	ledger, err := in.Run(ctx, env, limits, func(g Guest) (err error) {
		out, err = g.Call(name, args...)
		return err
	})
	return out, ledger, err
}

// Run lets f call the guest, any number of times, as one call: under one set
// of limits and with one ledger. The Guest is valid until f returns.
func (in *Instance) Run(ctx context.Context, env vm.Env, limits vm.Limits, f func(Guest) error) (ledger vm.Ledger, err error) {
	if in.closed {
		return ledger, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return ledger, err
	}
	limits = limits.WithDefaults()
	fuel := min(limits.Fuel, noFuelLimit)
	metered := !in.mod.engine.config.NoFuel
	if metered {
		if err := in.store.SetFuel(fuel); err != nil {
			return ledger, fmt.Errorf("set fuel: %w", err)
		}
	}
	in.store.Limiter(int64(min(limits.Memory, MaxMemory)), int64(limits.Table), 1, 64, 2)
	for _, h := range in.hosts {
		h.Begin(env, limits)
	}
	in.begin(ctx, limits)
	end := in.watch.begin(ctx, limits.Wall)
	before := in.dirty
	err = in.guarded(f)
	end()
	if err != nil {
		err = in.ended(ctx, err)
	}
	ledger = vm.Ledger{MemoryBytes: uint64(in.Size()), Wall: in.watch.elapsed(), HostCalls: in.hostCalls()}
	if metered {
		left, ferr := in.store.GetFuel()
		if ferr != nil {
			return ledger, errors.Join(err, fmt.Errorf("read fuel: %w", ferr))
		}
		ledger.Fuel = fuel - left
	}
	if in.image != nil {
		n, derr := in.image.Dirty(in.Size())
		if derr != nil {
			return ledger, errors.Join(err, derr)
		}
		in.dirty = n
		ledger.DirtyPages = max(0, n-before)
	}
	return ledger, err
}

// guarded runs f and turns a panic, of a host function or of the engine's
// binding, into an error.
func (in *Instance) guarded(f func(Guest) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			in.failure = &vm.HostError{Function: "host", Err: fmt.Errorf("panic: %v", p)}
			err = in.failure
		}
	}()
	return f(&guest{in: in, store: in.store})
}

func (in *Instance) hostCalls() map[string]uint64 {
	var out map[string]uint64
	for i, n := range in.counts {
		if n == 0 {
			continue
		}
		if out == nil {
			out = make(map[string]uint64)
		}
		imp := in.mod.info.Imports[i]
		out[imp.Module+"."+imp.Name] += n
	}
	return out
}

// function returns an export, found once.
func (in *Instance) function(name string) *wasmtime.Func {
	f, ok := in.funcs[name]
	if !ok {
		f = in.native.GetFunc(in.store, name)
		in.funcs[name] = f
	}
	return f
}

// Close releases the instance. Twice is harmless.
func (in *Instance) Close() {
	if in.closed {
		return
	}
	in.closed = true
	in.drop()
}

// drop releases the native instance, keeping hosts and marks.
func (in *Instance) drop() {
	if in.image != nil {
		in.image.Detach()
		in.image = nil
	}
	if in.store != nil {
		in.store.Close()
		in.store = nil
	}
	in.native, in.memory, in.state, in.funcs, in.refused = nil, nil, nil, nil, nil
}

// callTime bounds what a module does when it is instantiated, when nobody
// waits for it but the spawn: within it, fuel is what ends an endless start.
const callTime = 30 * time.Second

package wasm

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/bytecodealliance/wasmtime-go/v39"

	"aorta/vm"
)

// guest is the Guest that functions of the host see. store is the instance's
// own outside of calls, and the caller's within one.
type guest struct {
	in    *Instance
	store wasmtime.Storelike
}

func (g *guest) Context() context.Context { return g.in.ctx }

func (g *guest) Memory() []byte {
	if g.in.memory == nil {
		return nil
	}
	return g.in.memory.UnsafeData(g.store)
}

func (g *guest) Memory64() bool {
	m := g.in.mod.info.Memory
	return m != nil && m.Memory64
}

func (g *guest) Grow(pages uint64) (uint64, bool) {
	if g.in.memory == nil {
		return 0, false
	}
	size := g.in.memory.Size(g.store)
	want := size + pages
	if want > g.in.limits.Memory/wasmPage {
		g.in.refusedMemory = want * wasmPage
		return 0, false
	}
	previous, err := g.in.memory.Grow(g.store, pages)
	return previous, err == nil
}

const wasmPage = 64 << 10

func (g *guest) HasExport(name string) bool {
	_, ok := g.in.mod.funcs[name]
	return ok
}

// SignatureError says that a call doesn't fit the function's type.
type SignatureError struct{ Function, Problem string }

func (e *SignatureError) Error() string {
	return fmt.Sprintf("call %s: %s", e.Function, e.Problem)
}

func (g *guest) Call(name string, args ...uint64) ([]uint64, error) {
	t, ok := g.in.mod.funcs[name]
	if !ok {
		return nil, &SignatureError{name, "the module exports no function of that name"}
	}
	if len(args) != len(t.Params) {
		return nil, &SignatureError{name, fmt.Sprintf("it takes %d arguments, not %d", len(t.Params), len(args))}
	}
	in := make([]any, len(args))
	for i, a := range args {
		switch t.Params[i] {
		case I32:
			if a > math.MaxUint32 && a < 1<<64-1<<31 {
				return nil, &SignatureError{name, fmt.Sprintf("argument %d doesn't fit 32 bits", i+1)}
			}
			in[i] = int32(uint32(a))
		case I64:
			in[i] = int64(a)
		case F32:
			in[i] = math.Float32frombits(uint32(a))
		case F64:
			in[i] = math.Float64frombits(a)
		default:
			return nil, &SignatureError{name, fmt.Sprintf("argument %d is a %v, which can't be passed", i+1, t.Params[i])}
		}
	}
	for _, r := range t.Results {
		switch r {
		case I32, I64, F32, F64:
		default:
			return nil, &SignatureError{name, fmt.Sprintf("it returns a %v, which can't be passed", r)}
		}
	}
	out, err := g.in.function(name).Call(g.store, in...)
	if err != nil {
		return nil, err
	}
	switch v := out.(type) {
	case nil:
		return nil, nil
	case []wasmtime.Val:
		raws := make([]uint64, len(v))
		for i := range v {
			raws[i] = raw(v[i].Get())
		}
		return raws, nil
	default:
		return []uint64{raw(v)}, nil
	}
}

func raw(v any) uint64 {
	switch v := v.(type) {
	case int32:
		return uint64(uint32(v))
	case int64:
		return uint64(v)
	case float32:
		return uint64(math.Float32bits(v))
	case float64:
		return math.Float64bits(v)
	}
	return 0
}

// trampoline is what the engine calls for import i.
func trampoline(i int, t FuncType) func(*wasmtime.Caller, []wasmtime.Val) ([]wasmtime.Val, *wasmtime.Trap) {
	return func(c *wasmtime.Caller, vals []wasmtime.Val) ([]wasmtime.Val, *wasmtime.Trap) {
		in := c.Data().(*Instance)
		in.counts[i]++
		var buf [16]uint64
		raws := buf[:0]
		for _, v := range vals {
			raws = append(raws, raw(v.Get()))
		}
		raws = append(raws, make([]uint64, len(t.Results))...)
		args, results := raws[:len(vals):len(vals)], raws[len(vals):]
		if err := in.host(i, &guest{in: in, store: c}, args, results); err != nil {
			in.failure = err
			return nil, wasmtime.NewTrap("ended by the host")
		}
		if len(results) == 0 {
			return nil, nil
		}
		out := make([]wasmtime.Val, len(results))
		for k, r := range results {
			switch t.Results[k] {
			case I32:
				out[k] = wasmtime.ValI32(int32(uint32(r)))
			case I64:
				out[k] = wasmtime.ValI64(int64(r))
			case F32:
				out[k] = wasmtime.ValF32(math.Float32frombits(uint32(r)))
			case F64:
				out[k] = wasmtime.ValF64(math.Float64frombits(r))
			case FuncRef:
				out[k] = wasmtime.ValFuncref(nil)
			default:
				out[k] = wasmtime.ValExternref(nil)
			}
		}
		return out, nil
	}
}

// host calls the host function of import i and types its error.
func (in *Instance) host(i int, g Guest, args, results []uint64) (err error) {
	imp := in.mod.info.Imports[i]
	name := imp.Module + "." + imp.Name
	defer func() {
		if p := recover(); p != nil {
			err = &vm.HostError{Function: name, Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	err = in.calls[i](g, args, results)
	if err == nil {
		return nil
	}
	var (
		exit  *vm.ExitError
		limit *vm.LimitError
		bad   *vm.GuestError
		trap  *vm.TrapError
		host  *vm.HostError
		inner *wasmtime.Trap
	)
	switch {
	case in.failure != nil:
		return in.failure // an inner host function ended the call already
	case errors.As(err, &inner):
		return in.ended(in.ctx, err)
	case errors.As(err, &exit), errors.As(err, &limit), errors.As(err, &bad), errors.As(err, &trap), errors.As(err, &host):
		return err
	}
	return &vm.HostError{Function: name, Err: err}
}

package wasm

import (
	"context"

	"aorta/vm"
)

// ValueType is a WebAssembly value type that can cross into the host.
type ValueType byte

// The value types, with their encodings in the binary format.
const (
	I32       ValueType = 0x7f
	I64       ValueType = 0x7e
	F32       ValueType = 0x7d
	F64       ValueType = 0x7c
	V128      ValueType = 0x7b
	FuncRef   ValueType = 0x70
	ExternRef ValueType = 0x6f
)

func (t ValueType) String() string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	}
	return "unknown"
}

// FuncType is a function's signature.
type FuncType struct{ Params, Results []ValueType }

// HostFunc is a function that the guest imports. Arguments and results are raw
// values: an i32 is in the low 32 bits (zero-extended on the way in, the high
// bits ignored on the way out), floats are their IEEE bits. len(results) is
// fixed by the signature; results start as zero.
//
// A nil error continues the guest. A *vm.ExitError, *vm.LimitError,
// *vm.GuestError or *vm.TrapError ends the call with that error; any other
// error ends it with a *vm.HostError around it.
type HostFunc func(g Guest, args, results []uint64) error

// A Host answers a module's imports. One Host value serves one instance; its
// methods and functions are called by one goroutine at a time.
type Host interface {
	// Lookup returns the function behind an import, or nil if this host has
	// none of that name and type. It may be called before Begin and more than
	// once; the answer depends on its arguments only.
	Lookup(module, name string, t FuncType) HostFunc
	// Begin is called before every call into the guest, with what the guest
	// may see of the world and how much it may print.
	Begin(env vm.Env, limits vm.Limits)
	// Snapshot encodes the host state that a guest can observe in a later
	// call (files, descriptors), independent of how it came about. Nil if
	// there is none.
	Snapshot() []byte
	// Restore replaces the state by what Snapshot returned; nil restores the
	// initial state. Anything malformed is an error and leaves the state as
	// it was.
	Restore(snapshot []byte) error
}

// Guest is what a host function may do with the guest that called it. It is
// valid until the host function returns.
type Guest interface {
	// Context is the call's.
	Context() context.Context
	// Memory is the linear memory as it is now. The slice is invalid after
	// anything that may grow memory, and after the host function returns.
	Memory() []byte
	// Memory64 reports whether pointers are 64 bits wide.
	Memory64() bool
	// Grow grows memory by n pages of 64 KiB and returns the size before, or
	// false if the limits or the module's own maximum forbid it.
	Grow(pages uint64) (previous uint64, ok bool)
	// HasExport reports whether the guest exports a function of that name.
	HasExport(name string) bool
	// Call calls an exported function of the guest, within the same limits.
	Call(name string, args ...uint64) ([]uint64, error)
}

// Package wasitest has a guest without code, to test host functions with.
package wasitest

import (
	"context"
	"errors"
	"testing"

	"aorta/vm/wasi/abi"
	"aorta/vm/wasm"
)

const page = 64 << 10

// Guest is a wasm.Guest whose memory is a slice and whose exports are Go
// functions.
type Guest struct {
	TB   testing.TB
	Host wasm.Host
	// Mem is the memory; its width is that of the guest.
	Mem abi.Mem
	// MaxPages bounds Grow.
	MaxPages uint64
	// Exports are what Call finds.
	Exports map[string]func(args ...uint64) uint64
}

// New returns a guest of that host with a memory of so many pages.
func New(tb testing.TB, h wasm.Host, wide bool, pages int) *Guest {
	return &Guest{TB: tb, Host: h, Mem: abi.Mem{Bytes: make([]byte, pages*page), Wide: wide}, MaxPages: uint64(pages)}
}

var _ wasm.Guest = (*Guest)(nil)

// Context is the background.
func (g *Guest) Context() context.Context { return context.Background() }

// Memory is Mem.
func (g *Guest) Memory() []byte { return g.Mem.Bytes }

// Memory64 is Mem's width.
func (g *Guest) Memory64() bool { return g.Mem.Wide }

// Grow makes a new memory, as engines may.
func (g *Guest) Grow(pages uint64) (uint64, bool) {
	before := uint64(len(g.Mem.Bytes)) / page
	if pages > g.MaxPages-before {
		return 0, false
	}
	grown := make([]byte, (before+pages)*page)
	copy(grown, g.Mem.Bytes)
	g.Mem.Bytes = grown
	return before, true
}

// HasExport looks into Exports.
func (g *Guest) HasExport(name string) bool { return g.Exports[name] != nil }

// Call calls one of Exports.
func (g *Guest) Call(name string, args ...uint64) ([]uint64, error) {
	fn := g.Exports[name]
	if fn == nil {
		return nil, errors.New("no such export")
	}
	return []uint64{fn(args...)}, nil
}

// Type writes a pattern of package abi as a signature in the guest's width.
func (g *Guest) Type(pattern string) wasm.FuncType {
	var t wasm.FuncType
	list := &t.Params
	for _, c := range pattern {
		v := wasm.I32
		switch {
		case c == ':':
			list = &t.Results
			continue
		case c == 'l', c == 'p' && g.Mem.Wide:
			v = wasm.I64
		case c == 'd':
			v = wasm.F64
		}
		*list = append(*list, v)
	}
	return t
}

// Try calls a host function and returns its result, 0 if it has none.
func (g *Guest) Try(module, name, pattern string, args ...uint64) (uint64, error) {
	g.TB.Helper()
	t := g.Type(pattern)
	fn := g.Host.Lookup(module, name, t)
	if fn == nil {
		g.TB.Fatalf("the host has no %s.%s of type %v", module, name, t)
	}
	in := make([]uint64, len(args))
	for i, a := range args {
		in[i] = a
		if i < len(t.Params) && t.Params[i] == wasm.I32 {
			in[i] = uint64(uint32(a)) // as engines hand them over
		}
	}
	out := make([]uint64, max(1, len(t.Results)))
	err := fn(g, in, out[:len(t.Results)])
	if len(t.Results) == 1 && t.Results[0] == wasm.I32 {
		out[0] = uint64(uint32(out[0]))
	}
	return out[0], err
}

// Must is Try for functions that don't end the call.
func (g *Guest) Must(module, name, pattern string, args ...uint64) uint64 {
	g.TB.Helper()
	out, err := g.Try(module, name, pattern, args...)
	if err != nil {
		g.TB.Fatalf("%s.%s%v: %v", module, name, args, err)
	}
	return out
}

// PutString writes a string and a NUL, and returns its address.
func (g *Guest) PutString(at uint64, s string) uint64 {
	copy(g.Mem.Slice(at, uint64(len(s))), s)
	g.Mem.PutU8(at+uint64(len(s)), 0)
	return at
}

// String is the n bytes at an address.
func (g *Guest) String(at, n uint64) string { return string(g.Mem.Slice(at, n)) }

package wasm

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/bytecodealliance/wasmtime-go/v39"

	"aorta/vm/image"
	"aorta/vm/wasm/rewrite"
)

// Module is compiled code and what is known of it.
type Module struct {
	engine *Engine
	id     [32]byte
	info   *rewrite.Module
	native *wasmtime.Module
	linker *wasmtime.Linker
	funcs  map[string]FuncType // exported functions

	initial sync.Mutex
	base    *base
}

// base is the state in which instances of a module start, made once.
type base struct {
	back *image.Backing
	rest *residue
}

func newModule(e *Engine, id [32]byte, info *rewrite.Module, native *wasmtime.Module) (*Module, error) {
	m := &Module{engine: e, id: id, info: info, native: native, funcs: make(map[string]FuncType)}
	for _, g := range info.Globals {
		if ValueType(g.Type) == V128 {
			return nil, &rewrite.Error{Kind: rewrite.Unsupported, What: "a mutable global holds a vector, which a checkpoint can't"}
		}
	}
	for _, x := range info.Exports {
		if x.Kind == rewrite.ExternFunc {
			m.funcs[x.Name] = FuncType{Params: valueTypes(x.Params), Results: valueTypes(x.Results)}
		}
	}
	m.linker = wasmtime.NewLinker(e.native)
	for i, imp := range info.Imports {
		t := FuncType{Params: valueTypes(imp.Params), Results: valueTypes(imp.Results)}
		if err := m.linker.FuncNew(imp.Module, imp.Name, nativeType(t), trampoline(i, t)); err != nil {
			return nil, fmt.Errorf("link %s.%s: %w", imp.Module, imp.Name, err)
		}
	}
	return m, nil
}

func valueTypes(in []rewrite.ValueType) []ValueType {
	out := make([]ValueType, len(in))
	for i, t := range in {
		out[i] = ValueType(t)
	}
	return out
}

func nativeType(t FuncType) *wasmtime.FuncType {
	list := func(types []ValueType) []*wasmtime.ValType {
		out := make([]*wasmtime.ValType, len(types))
		for i, v := range types {
			out[i] = wasmtime.NewValType(nativeKind(v))
		}
		return out
	}
	return wasmtime.NewFuncType(list(t.Params), list(t.Results))
}

func nativeKind(t ValueType) wasmtime.ValKind {
	switch t {
	case I32:
		return wasmtime.KindI32
	case I64:
		return wasmtime.KindI64
	case F32:
		return wasmtime.KindF32
	case F64:
		return wasmtime.KindF64
	case FuncRef:
		return wasmtime.KindFuncref
	}
	return wasmtime.KindExternref
}

// ID is the SHA-256 of the binary that was compiled.
func (m *Module) ID() [32]byte { return m.id }

// Info is what the rewriting found in the module. It must not be changed.
func (m *Module) Info() *rewrite.Module { return m.info }

// Engine is the engine that the module belongs to.
func (m *Module) Engine() *Engine { return m.engine }

// Export returns the signature of an exported function.
func (m *Module) Export(name string) (FuncType, bool) {
	t, ok := m.funcs[name]
	return t, ok
}

// Imports returns the functions that the module needs from its hosts, as
// "module.name", sorted.
func (m *Module) Imports() []string {
	out := make([]string, 0, len(m.info.Imports))
	for _, i := range m.info.Imports {
		out = append(out, i.Module+"."+i.Name)
	}
	slices.Sort(out)
	return out
}

func (m *Module) close() {
	if m.base != nil {
		m.base.back.Release()
	}
	m.linker.Close()
	m.native.Close()
}

// ImportError lists the imports of a module that no host answers.
type ImportError struct{ Missing []string }

func (e *ImportError) Error() string {
	return "the module needs functions that this node doesn't have: " + strings.Join(e.Missing, ", ")
}

// bind finds the host function behind each import.
func (m *Module) bind(hosts []Host) ([]HostFunc, error) {
	out := make([]HostFunc, len(m.info.Imports))
	var missing []string
	for i, imp := range m.info.Imports {
		t := FuncType{Params: valueTypes(imp.Params), Results: valueTypes(imp.Results)}
		for _, h := range hosts {
			if out[i] = h.Lookup(imp.Module, imp.Name, t); out[i] != nil {
				break
			}
		}
		if out[i] == nil {
			missing = append(missing, imp.Module+"."+imp.Name)
		}
	}
	if missing != nil {
		slices.Sort(missing)
		return nil, &ImportError{Missing: missing}
	}
	return out, nil
}

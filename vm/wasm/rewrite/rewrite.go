// Package rewrite prepares WebAssembly modules for the engine: it brings old instructions into their final form, makes all state reachable, and moves hot host functions into the module.
//
// Rewriting is deterministic, and its result is named by Version. What it
// does to a module:
//
//   - Legacy exception handling (try, catch, catch_all, rethrow, delegate)
//     becomes try_table and throw_ref, with exceptions that are made once.
//   - The memory, every mutable global and every table is exported, and so is
//     every function that a changing table or global can refer to. Dropping a
//     passive segment is recorded in a global.
//   - Emscripten's invoke_* functions, its longjmp and its memory copies
//     become functions of the module (see lower.go).
//   - Every loop, and every function that may be part of a recursion, reads a
//     byte of an added memory of one page, so that the host can interrupt the
//     module by taking that page away.
//   - memory.grow reports a refusal to the host.
//
// Names that it adds start with Prefix. Custom sections are dropped but for
// function names.
package rewrite

// Version names what Rewrite does. It changes whenever the output for any
// input does: it is a part of engine profiles and cache keys.
const Version = "3"

// Prefix starts the names of all exports that are added. A module that has
// such exports itself is refused.
const Prefix = "aorta."

// ValueType is a WebAssembly value type, in its binary encoding.
type ValueType byte

// The value types that modules may use.
const (
	I32       ValueType = 0x7f
	I64       ValueType = 0x7e
	F32       ValueType = 0x7d
	F64       ValueType = 0x7c
	V128      ValueType = 0x7b
	FuncRef   ValueType = 0x70
	ExternRef ValueType = 0x6f
	ExnRef    ValueType = 0x69
)

// ExternKind is what an export is, in its binary encoding.
type ExternKind byte

// The kinds of exports.
const (
	ExternFunc   ExternKind = 0
	ExternTable  ExternKind = 1
	ExternMemory ExternKind = 2
	ExternGlobal ExternKind = 3
	ExternTag    ExternKind = 4
)

// Import is a function that the rewritten module imports.
type Import struct {
	Module, Name    string
	Params, Results []ValueType
}

// Export is an export of the module's own.
type Export struct {
	Name string
	Kind ExternKind
	// Params and Results are a function's.
	Params, Results []ValueType
}

// Memory is the module's memory.
type Memory struct {
	// Export is the name that it is exported by.
	Export   string
	Memory64 bool
	// Min and Max are in pages of 64 KiB. Max is the address space if the
	// module gives none.
	Min, Max uint64
}

// Global is a mutable global.
type Global struct {
	Export string
	Type   ValueType
}

// Table is a table.
type Table struct {
	Export   string
	ElemType ValueType
	Min, Max uint64
	// Mutable reports whether any instruction of the module can change it.
	Mutable bool
}

// Function is a function that tables and globals can refer to.
type Function struct {
	// Index is its index in the module as it was given.
	Index  uint32
	Export string
}

// Segment is a data or element segment that the module can drop.
type Segment struct {
	// Flag is the exported global that is 1 once it is dropped, Drop the
	// exported function that drops it.
	Flag, Drop string
}

// Module is a rewritten module and what is in it.
type Module struct {
	// Wasm is the rewritten binary.
	Wasm []byte `json:",omitempty"`
	// Imports are the functions that it still needs.
	Imports []Import
	Exports []Export
	// Memory is nil for a module without one.
	Memory *Memory
	// Globals are all mutable globals, those of Segments included.
	Globals  []Global
	Tables   []Table
	Segments []Segment
	// Functions is empty unless some table or global can change what it
	// refers to.
	Functions []Function
	// Poll is the exported memory whose first page the module reads wherever
	// it may be interrupted.
	Poll string
	// Refused is the exported i64 global that holds the pages by which
	// memory.grow last failed to grow; empty if the module doesn't grow.
	Refused string
	// Leaks reports whether the module throws exceptions that the engine
	// keeps until the instance goes: those of the final form (see
	// exceptions.go), at 32 bytes each and more.
	Leaks bool
	// Lowered names the imports that became functions of the module.
	Lowered []string
	// LegacyTry counts the try blocks that were rewritten.
	LegacyTry int
}

// Options bound what is accepted. The zero value has the defaults.
type Options struct{ Limits Limits }

// Limits on modules. Zero fields take the default of the same name.
type Limits struct {
	ModuleBytes   int
	Functions     int
	FunctionBytes int
	Locals        int
	Nesting       int
	Items         int
	TableEntries  int
	NameBytes     int
	HandlerWork   int // see DefaultHandlerWork
}

// The default limits. They are those that browsers agreed on, or above what
// compilers emit by an order of magnitude.
const (
	// DefaultModuleBytes: the largest module on the network has a few MiB.
	DefaultModuleBytes = 64 << 20
	// DefaultFunctions bounds imports and definitions together.
	DefaultFunctions = 1_000_000
	// DefaultFunctionBytes bounds compile time, which grows faster than
	// linearly in it.
	DefaultFunctionBytes = 7_654_321
	DefaultLocals        = 50_000
	// DefaultNesting bounds blocks within blocks in a function.
	DefaultNesting = 10_000
	// DefaultItems bounds types, globals, tables, exports and segments, each.
	DefaultItems = 1_000_000
	// DefaultTableEntries bounds what all tables start with, together. An
	// entry costs 8 bytes in every instance.
	DefaultTableEntries = 10_000_000
	// DefaultNameBytes bounds the name of an import or export.
	DefaultNameBytes = 100_000
	// DefaultHandlerWork bounds the sum, over all functions, of the square
	// of the pairs of a call and a handler around it. The compiler's time is
	// proportional to that: this much takes it about 20 seconds, where a
	// module of 10 KiB could take it hours.
	DefaultHandlerWork = 10_000_000_000
)

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		v *int
		d int
	}{
		{&l.ModuleBytes, DefaultModuleBytes}, {&l.Functions, DefaultFunctions}, {&l.FunctionBytes, DefaultFunctionBytes},
		{&l.Locals, DefaultLocals}, {&l.Nesting, DefaultNesting}, {&l.Items, DefaultItems},
		{&l.TableEntries, DefaultTableEntries}, {&l.NameBytes, DefaultNameBytes}, {&l.HandlerWork, DefaultHandlerWork},
	} {
		if *f.v == 0 {
			*f.v = f.d
		}
	}
	return l
}

// Rewrite returns the rewritten module. What can't be accepted is an *Error.
// The result is valid if wasm is; Rewrite is no validator, and the engine
// must check what it returns.
func Rewrite(wasm []byte, opts Options) (out *Module, err error) {
	limits := opts.Limits.withDefaults()
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(*Error)
			if !ok {
				panic(p)
			}
			out, err = nil, e
		}
	}()
	m := decode(wasm, limits)
	return m.transform(), nil
}

package wasm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/bytecodealliance/wasmtime-go/v39"

	"aorta/vm/wasm/internal/wasmtimex"
)

// residue is all state of an instance that isn't linear memory: mutable
// globals, tables that can change, and the hosts' own.
type residue struct {
	globals []uint64   // raw values, in the order of rewrite.Module.Globals
	tables  [][]uint32 // per mutable table: function index + 1, or 0 for null
	hosts   [][]byte   // per host: its snapshot
}

// handles are the engine's names of what a residue holds.
type handles struct {
	globals []*wasmtime.Global
	tables  []*wasmtime.Table
	index   map[uintptr]uint32 // native function reference to function index
	refs    map[uint32]string  // function index to the export that reaches it
}

func newHandles(in *Instance) (*handles, error) {
	h := &handles{}
	info := in.mod.info
	for _, g := range info.Globals {
		h.globals = append(h.globals, in.exported(g.Export).Global())
	}
	for _, t := range info.Tables {
		if t.Mutable && ValueType(t.ElemType) == FuncRef {
			h.tables = append(h.tables, in.exported(t.Export).Table())
		}
	}
	if len(info.Functions) > 0 {
		h.index = make(map[uintptr]uint32, len(info.Functions))
		h.refs = make(map[uint32]string, len(info.Functions))
		for _, f := range info.Functions {
			h.index[wasmtimex.FuncToRaw(in.store, in.function(f.Export))] = f.Index
			h.refs[f.Index] = f.Export
		}
	}
	return h, nil
}

var errForeign = errors.New("a table or global holds a function that isn't the module's own")

func (h *handles) funcIndex(in *Instance, f *wasmtime.Func) (uint32, error) {
	if f == nil {
		return 0, nil
	}
	i, ok := h.index[wasmtimex.FuncToRaw(in.store, f)]
	if !ok {
		return 0, errForeign
	}
	return i + 1, nil
}

func (h *handles) function(in *Instance, ref uint32) (*wasmtime.Func, error) {
	if ref == 0 {
		return nil, nil
	}
	name, ok := h.refs[ref-1]
	if !ok {
		return nil, fmt.Errorf("no function %d can be referred to in this module", ref-1)
	}
	return in.function(name), nil
}

// capture reads the present residue.
func (in *Instance) capture() (*residue, error) {
	h := in.state
	r := &residue{globals: make([]uint64, len(h.globals))}
	for i, g := range h.globals {
		v := g.Get(in.store)
		switch v.Kind() {
		case wasmtime.KindFuncref:
			ref, err := h.funcIndex(in, v.Funcref())
			if err != nil {
				return nil, err
			}
			r.globals[i] = uint64(ref)
		case wasmtime.KindExternref:
			// Hosts hand out none, so it is null.
		default:
			r.globals[i] = raw(v.Get())
		}
	}
	for _, t := range h.tables {
		entries := make([]uint32, t.Size(in.store))
		for i := range entries {
			v, err := t.Get(in.store, uint64(i))
			if err != nil {
				return nil, fmt.Errorf("read table: %w", err)
			}
			if entries[i], err = h.funcIndex(in, v.Funcref()); err != nil {
				return nil, err
			}
		}
		r.tables = append(r.tables, entries)
	}
	for _, host := range in.hosts {
		r.hosts = append(r.hosts, host.Snapshot())
	}
	return r, nil
}

// errShrink says that a table is larger than it should become.
var errShrink = errors.New("table has grown since the mark")

// apply writes a residue back. Tables can't shrink: errShrink, and the
// instance must be made anew.
func (in *Instance) apply(r *residue) error {
	h := in.state
	if len(r.globals) != len(h.globals) || len(r.tables) != len(h.tables) || len(r.hosts) != len(in.hosts) {
		return errors.New("the state is of another module")
	}
	for i, t := range h.tables {
		if t.Size(in.store) > uint64(len(r.tables[i])) {
			return errShrink
		}
	}
	for i, g := range h.globals {
		v, err := in.value(ValueType(in.mod.info.Globals[i].Type), r.globals[i])
		if err != nil {
			return err
		}
		if err := g.Set(in.store, v); err != nil {
			return fmt.Errorf("set global: %w", err)
		}
	}
	for i, t := range h.tables {
		if more := uint64(len(r.tables[i])) - t.Size(in.store); more > 0 {
			if _, err := t.Grow(in.store, more, wasmtime.ValFuncref(nil)); err != nil {
				return fmt.Errorf("grow table: %w", err)
			}
		}
		for k, ref := range r.tables[i] {
			f, err := h.function(in, ref)
			if err != nil {
				return err
			}
			if err := t.Set(in.store, uint64(k), wasmtime.ValFuncref(f)); err != nil {
				return fmt.Errorf("set table entry: %w", err)
			}
		}
	}
	for i, host := range in.hosts {
		if err := host.Restore(r.hosts[i]); err != nil {
			return fmt.Errorf("restore host state: %w", err)
		}
	}
	return in.dropSegments()
}

func (in *Instance) value(t ValueType, v uint64) (wasmtime.Val, error) {
	switch t {
	case I32:
		return wasmtime.ValI32(int32(uint32(v))), nil
	case I64:
		return wasmtime.ValI64(int64(v)), nil
	case F32:
		return wasmtime.ValF32(math.Float32frombits(uint32(v))), nil
	case F64:
		return wasmtime.ValF64(math.Float64frombits(v)), nil
	case FuncRef:
		f, err := in.state.function(in, uint32(v))
		return wasmtime.ValFuncref(f), err
	}
	return wasmtime.ValExternref(nil), nil
}

// dropSegments drops the passive segments that the flags among the globals
// say the guest had dropped.
func (in *Instance) dropSegments() error {
	for _, s := range in.mod.info.Segments {
		g := in.exported(s.Flag).Global()
		if g.Get(in.store).I32() == 0 {
			continue
		}
		if _, err := in.function(s.Drop).Call(in.store); err != nil {
			return fmt.Errorf("drop segment: %s", firstLine(err.Error()))
		}
	}
	return nil
}

// A residue is encoded as: uvarint count of globals, each a uvarint; uvarint
// count of tables, each a uvarint length and as many uvarints; uvarint count
// of hosts, each a uvarint length and as many bytes.

func (r *residue) encode() []byte {
	out := binary.AppendUvarint(nil, uint64(len(r.globals)))
	for _, g := range r.globals {
		out = binary.AppendUvarint(out, g)
	}
	out = binary.AppendUvarint(out, uint64(len(r.tables)))
	for _, t := range r.tables {
		out = binary.AppendUvarint(out, uint64(len(t)))
		for _, f := range t {
			out = binary.AppendUvarint(out, uint64(f))
		}
	}
	out = binary.AppendUvarint(out, uint64(len(r.hosts)))
	for _, h := range r.hosts {
		out = binary.AppendUvarint(out, uint64(len(h)))
		out = append(out, h...)
	}
	return out
}

var errResidue = errors.New("the encoded state is malformed")

func parseResidue(data []byte) (*residue, error) {
	bad := false
	next := func() uint64 {
		v, n := binary.Uvarint(data)
		if n <= 0 {
			bad = true
			return 0
		}
		data = data[n:]
		return v
	}
	count := func() int {
		n := next()
		if n > uint64(len(data)) { // each item takes a byte at least
			bad = true
			return 0
		}
		return int(n)
	}
	r := &residue{}
	r.globals = make([]uint64, count())
	for i := range r.globals {
		r.globals[i] = next()
	}
	for range count() {
		t := make([]uint32, count())
		for i := range t {
			v := next()
			if v > 1<<32-1 {
				bad = true
			}
			t[i] = uint32(v)
		}
		r.tables = append(r.tables, t)
	}
	for range count() {
		n := count()
		if bad {
			break
		}
		var h []byte
		if n > 0 {
			h = append(h, data[:n]...)
		}
		r.hosts = append(r.hosts, h)
		data = data[n:]
	}
	if bad || len(data) > 0 {
		return nil, errResidue
	}
	return r, nil
}

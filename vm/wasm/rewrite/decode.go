package rewrite

import (
	"bytes"
	"slices"
	"strings"
)

// section ids, in the binary format.
const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElem
	secCode
	secData
	secDataCount
	secTag
)

var sectionNames = [...]string{"custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data", "data count", "tag"}

// sectionOrder is the order in which sections may come.
var sectionOrder = [...]int{secType: 1, secImport: 2, secFunction: 3, secTable: 4, secMemory: 5, secTag: 6, secGlobal: 7, secExport: 8, secStart: 9, secElem: 10, secDataCount: 11, secCode: 12, secData: 13}

// span is a part of the input that is read later.
type span struct {
	data   []byte
	offset int
}

func (s span) reader() *reader { return &reader{data: s.data, offset: s.offset} }

type funcType struct{ params, results []ValueType }

func (t funcType) equal(o funcType) bool {
	return slices.Equal(t.params, o.params) && slices.Equal(t.results, o.results)
}

// key is equal for equal types only.
func (t funcType) key() string {
	return string(slices.Concat(raw(t.params), []byte{0}, raw(t.results)))
}

func raw(ts []ValueType) []byte {
	b := make([]byte, len(ts))
	for i, t := range ts {
		b[i] = byte(t)
	}
	return b
}

type importFunc struct {
	module, name string
	typ          uint32
}

type limitsType struct {
	flags    byte
	min, max uint64
}

type tableDef struct {
	elem   ValueType
	limits limitsType
	init   *span // an expression, without the leading 0x40 0x00
}

type globalDef struct {
	typ     ValueType
	mutable bool
	init    span
}

type exportDef struct {
	name  string
	kind  ExternKind
	index uint32
}

// module is what decode finds. Indices are those of the input.
type module struct {
	limits    Limits
	types     []funcType
	imports   []importFunc
	funcs     []uint32 // types of defined functions
	tables    []tableDef
	memory    *limitsType
	tags      []uint32 // types
	globals   []globalDef
	exports   []exportDef
	start     *uint32
	elems     span
	elemCount int
	dataCount *uint32
	bodies    []span
	datas     span
	dataSegs  int
	names     map[uint32]string

	// What the scan of the code found.
	scan scan
}

const (
	flagMax      = 1
	flagShared   = 2
	flagIndex64  = 4
	flagPageSize = 8
)

func decode(wasm []byte, limits Limits) *module {
	m := &module{limits: limits}
	r := &reader{data: wasm}
	if len(wasm) > limits.ModuleBytes {
		r.fail(Oversize, "it has %d bytes; at most %d are accepted", len(wasm), limits.ModuleBytes)
	}
	m.header(r)
	last := 0
	for r.left() > 0 {
		start := r.at
		id := int(r.byte())
		size := r.u32()
		if left := r.left(); int64(size) > int64(left) {
			name := "unknown"
			if id < len(sectionNames) {
				name = sectionNames[id]
			}
			r.at = start
			r.fail(Malformed, "it is truncated: its %s section says %d bytes, %d are left", name, size, left)
		}
		s := &reader{offset: r.at, data: r.bytes(int(size))}
		if id == secCustom {
			m.custom(s)
			continue
		}
		if id >= len(sectionNames) {
			r.at = start
			r.fail(Malformed, "it has an unknown section %d", id)
		}
		if sectionOrder[id] <= last {
			r.at = start
			r.fail(Malformed, "its %s section is out of order", sectionNames[id])
		}
		last = sectionOrder[id]
		m.section(id, s)
		if s.left() > 0 {
			s.fail(Malformed, "its %s section has %d bytes too many", sectionNames[id], s.left())
		}
	}
	if len(m.bodies) != len(m.funcs) {
		r.fail(Malformed, "it declares %d functions and defines %d", len(m.funcs), len(m.bodies))
	}
	return m
}

func (m *module) header(r *reader) {
	switch {
	case r.left() == 0:
		r.fail(Malformed, "the file is empty")
	case r.left() < 8 || !bytes.HasPrefix(r.data, []byte("\x00asm")):
		if textual(r.data) {
			r.fail(Malformed, "this is a text file, not a WebAssembly module; a module starts with the bytes 00 61 73 6d")
		}
		r.fail(Malformed, "this is not a WebAssembly module, which starts with the bytes 00 61 73 6d")
	}
	if version := r.data[4:8]; !bytes.Equal(version, []byte{1, 0, 0, 0}) {
		r.at = 4
		if version[2] == 1 {
			r.fail(Unsupported, "this is a WebAssembly component; processes are core modules")
		}
		r.fail(Unsupported, "its format has version %x, not 1", version)
	}
	r.at = 8
}

func textual(b []byte) bool {
	for _, c := range b[:min(len(b), 512)] {
		if c < 9 || c > 13 && c < 32 {
			return false
		}
	}
	return true
}

func (m *module) section(id int, r *reader) {
	switch id {
	case secType:
		for range r.count("types", m.limits.Items) {
			if form := r.byte(); form != 0x60 {
				r.at--
				r.fail(Unsupported, "it uses types other than functions (%#x), which this node doesn't run", form)
			}
			m.types = append(m.types, funcType{m.valueTypes(r), m.valueTypes(r)})
		}
	case secImport:
		m.importSection(r)
	case secFunction:
		for range r.count("functions", m.limits.Functions) {
			m.funcs = append(m.funcs, m.typeIndex(r))
		}
	case secTable:
		for range r.count("tables", m.limits.Items) {
			m.tables = append(m.tables, m.table(r))
		}
		entries := uint64(0)
		for _, t := range m.tables {
			entries += min(t.limits.min, 1<<32)
		}
		if entries > uint64(m.limits.TableEntries) {
			r.fail(Oversize, "its tables start with %d entries; at most %d are accepted", entries, m.limits.TableEntries)
		}
	case secMemory:
		if n := r.count("memories", m.limits.Items); n > 1 {
			r.fail(Unsupported, "it has %d memories; one is supported", n)
		} else if n == 1 {
			l := limitsOf(r)
			m.checkMemory(r, l)
			m.memory = &l
		}
	case secTag:
		for range r.count("tags", m.limits.Items) {
			if r.byte() != 0 {
				r.at--
				r.fail(Malformed, "a tag has an unknown attribute")
			}
			m.tags = append(m.tags, m.typeIndex(r))
		}
	case secGlobal:
		for range r.count("globals", m.limits.Items) {
			g := globalDef{typ: r.valueType()}
			mut := r.byte()
			if mut > 1 {
				r.fail(Malformed, "a global is neither constant nor mutable")
			}
			if g.mutable = mut == 1; g.mutable && !passable([]ValueType{g.typ}) {
				r.fail(Unsupported, "a mutable global holds a vector or an exception, which a checkpoint can't")
			}
			g.init = m.expression(r)
			m.globals = append(m.globals, g)
		}
	case secExport:
		m.exportSection(r)
	case secStart:
		i := m.funcIndex(r)
		m.start = &i
	case secElem:
		m.elems = span{r.data, r.offset}
		m.elemCount = m.elements(r, nil)
	case secDataCount:
		n := r.u32()
		m.dataCount = &n
	case secCode:
		if n := r.count("functions", m.limits.Functions); n != len(m.funcs) {
			r.fail(Malformed, "it declares %d functions and defines %d", len(m.funcs), n)
		}
		for range m.funcs {
			size := r.u32()
			if int64(size) > int64(m.limits.FunctionBytes) {
				r.fail(Oversize, "a function has %d bytes; at most %d are accepted", size, m.limits.FunctionBytes)
			}
			off := r.offset + r.at
			m.bodies = append(m.bodies, span{r.bytes(int(size)), off})
		}
	case secData:
		m.datas = span{r.data, r.offset}
		m.dataSegs = m.data(r)
		if m.dataCount != nil && int(*m.dataCount) != m.dataSegs {
			r.fail(Malformed, "it counts %d data segments and has %d", *m.dataCount, m.dataSegs)
		}
	}
}

func (m *module) importSection(r *reader) {
	for range r.count("imports", m.limits.Functions) {
		mod, name := r.name(m.limits.NameBytes), r.name(m.limits.NameBytes)
		at := r.at
		kind := ExternKind(r.byte())
		if kind != ExternFunc {
			r.at = at
			what := [...]string{"function", "table", "memory", "global", "tag"}
			if int(kind) >= len(what) {
				r.fail(Malformed, "import %s is of an unknown kind", shown(mod+"."+name))
			}
			r.fail(Unsupported, "it imports a %s (%s); processes have their own", what[kind], shown(mod+"."+name))
		}
		i := m.typeIndex(r)
		if t := m.types[i]; !passable(t.params) || !passable(t.results) {
			r.at = at
			r.fail(Unsupported, "import %s takes or returns vectors or exceptions, which no host function can", shown(mod+"."+name))
		}
		m.imports = append(m.imports, importFunc{mod, name, i})
	}
}

// passable reports whether values of these types can be passed to the host.
func passable(ts []ValueType) bool {
	return !slices.Contains(ts, V128) && !slices.Contains(ts, ExnRef)
}

func (m *module) exportSection(r *reader) {
	seen := make(map[string]bool)
	for range r.count("exports", m.limits.Items) {
		x := exportDef{name: r.name(m.limits.NameBytes)}
		x.kind = ExternKind(r.byte())
		x.index = r.u32()
		space := 0
		switch x.kind {
		case ExternFunc:
			space = m.funcCount()
		case ExternTable:
			space = len(m.tables)
		case ExternMemory:
			if m.memory != nil {
				space = 1
			}
		case ExternGlobal:
			space = len(m.globals)
		case ExternTag:
			space = len(m.tags)
		}
		switch {
		case int64(x.index) >= int64(space):
			r.fail(Malformed, "export %s refers to nothing", shown(x.name))
		case seen[x.name]:
			r.fail(Malformed, "it exports %s twice", shown(x.name))
		case strings.HasPrefix(x.name, Prefix):
			r.fail(Unsupported, "it exports %s; names that start with %q are the node's", shown(x.name), Prefix)
		}
		seen[x.name] = true
		m.exports = append(m.exports, x)
	}
}

func (m *module) funcCount() int { return len(m.imports) + len(m.funcs) }

func (m *module) typeIndex(r *reader) uint32 {
	i := r.u32()
	if int64(i) >= int64(len(m.types)) {
		r.fail(Malformed, "it refers to type %d of %d", i, len(m.types))
	}
	return i
}

func (m *module) funcIndex(r *reader) uint32 {
	i := r.u32()
	if int64(i) >= int64(m.funcCount()) {
		r.fail(Malformed, "it refers to function %d of %d", i, m.funcCount())
	}
	return i
}

func (m *module) funcTypeOf(i uint32) funcType {
	if int(i) < len(m.imports) {
		return m.types[m.imports[i].typ]
	}
	return m.types[m.funcs[int(i)-len(m.imports)]]
}

func (m *module) valueTypes(r *reader) []ValueType {
	out := make([]ValueType, r.count("values in a type", 1000))
	for i := range out {
		out[i] = r.valueType()
	}
	return out
}

func limitsOf(r *reader) limitsType {
	l := limitsType{flags: r.byte()}
	if l.flags&^(flagMax|flagShared|flagIndex64) != 0 {
		if l.flags&flagPageSize != 0 {
			r.fail(Unsupported, "its memory has pages of a size of its own")
		}
		r.fail(Malformed, "a table or memory has unknown flags %#x", l.flags)
	}
	l.min = r.u64()
	if l.flags&flagMax != 0 {
		l.max = r.u64()
	}
	return l
}

func (m *module) checkMemory(r *reader, l limitsType) {
	if l.flags&flagShared != 0 {
		r.fail(Unsupported, "its memory is shared between threads; processes have none")
	}
	if l.min > 1<<16 {
		r.fail(Oversize, "its memory starts with %d pages of 64 KiB; at most 65536 are accepted", l.min)
	}
}

func (m *module) table(r *reader) tableDef {
	t := tableDef{}
	withInit := false
	if r.left() > 0 && r.data[r.at] == 0x40 {
		r.byte()
		if r.byte() != 0 {
			r.fail(Malformed, "a table has an unknown form")
		}
		withInit = true
	}
	t.elem = r.valueType()
	if t.elem != FuncRef && t.elem != ExternRef {
		r.fail(Unsupported, "it has a table of other things than functions (%#x)", byte(t.elem))
	}
	t.limits = limitsOf(r)
	if withInit {
		e := m.expression(r)
		t.init = &e
	}
	return t
}

func (m *module) custom(r *reader) {
	// A broken custom section is no fault of the module.
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(*Error); !ok {
				panic(p)
			}
		}
	}()
	if r.name(m.limits.ModuleBytes) != "name" {
		return
	}
	for r.left() > 0 {
		id := r.byte()
		sub := &reader{data: r.bytes(int(r.u32()))}
		if id != 1 {
			continue
		}
		names := make(map[uint32]string)
		for range sub.count("names", m.limits.Functions) {
			i := sub.u32()
			names[i] = sub.name(m.limits.ModuleBytes)
		}
		m.names = names
	}
}

package rewrite

import (
	"fmt"
	"slices"
)

// plan is what the output has besides the input.
type plan struct {
	*module
	newTypes   []funcType        // the input's and the added
	typesBy    map[string]uint32 // their indices, by key
	newIndex   []uint32          // new index of each function of the input
	kept       []int             // imports that stay, by old index
	added      []addedFunc
	newTags    []uint32
	newGlobals []globalDef // added at the end
	newExports []exportDef // with indices of the output
	lowered    []string

	exc       exceptions
	grow      uint32 // function that grows memory, valid if scan.grows
	flags     map[segmentKey]uint32
	drops     []Segment
	poll      uint32 // index of the poll memory
	nextIndex uint32 // of the next function added
	work      int    // see DefaultHandlerWork
}

type segmentKey struct {
	op    uint32 // miscDataDrop or miscElemDrop
	index uint32
}

type addedFunc struct {
	name string
	typ  uint32
	body []byte // locals, code and end, without its length
}

// transform writes the output.
func (m *module) transform() *Module {
	m.scanCode()
	p := &plan{
		module:   m,
		newTypes: slices.Clone(m.types),
		typesBy:  make(map[string]uint32, len(m.types)),
		newTags:  slices.Clone(m.tags),
		flags:    make(map[segmentKey]uint32),
	}
	for i, t := range slices.Backward(m.types) {
		p.typesBy[t.key()] = uint32(i) // the first of equal ones
	}
	p.poll = 0
	if m.memory != nil {
		p.poll = 1
	}
	p.planExceptions()
	p.planImports()
	p.planGrow()
	p.planDrops()
	info := p.reach()
	info.Wasm = p.encode()
	return info
}

// typeOf returns the index of a function type, added if need be.
func (p *plan) typeOf(t funcType) uint32 {
	key := t.key()
	i, ok := p.typesBy[key]
	if !ok {
		i = uint32(len(p.newTypes))
		p.newTypes = append(p.newTypes, t)
		p.typesBy[key] = i
	}
	return i
}

// add appends a function and returns its new index.
func (p *plan) add(name string, t funcType, locals []ValueType, code []byte) uint32 {
	body := appendU(nil, uint64(len(locals)))
	for _, l := range locals {
		body = append(body, 1, byte(l))
	}
	body = append(append(body, code...), opEnd)
	p.added = append(p.added, addedFunc{name: name, typ: p.typeOf(t), body: body})
	p.nextIndex++
	return p.nextIndex - 1
}

func (p *plan) addGlobal(t ValueType) uint32 {
	init := append(zero(t), opEnd)
	p.newGlobals = append(p.newGlobals, globalDef{typ: t, mutable: true, init: span{data: init}})
	return uint32(len(p.globals) + len(p.newGlobals) - 1)
}

func (p *plan) export(name string, kind ExternKind, index uint32) string {
	name = Prefix + name
	p.newExports = append(p.newExports, exportDef{name: name, kind: kind, index: index})
	return name
}

// planGrow adds the function that memory.grow becomes: it notes in a global
// by how much the memory couldn't grow.
func (p *plan) planGrow() {
	if !p.scan.grows {
		return
	}
	refused := p.addGlobal(I64)
	p.export("refused", ExternGlobal, refused)
	t := I32
	if p.memory.flags&flagIndex64 != 0 {
		t = I64
	}
	var c []byte
	c = append(c, opLocalGet, 0, opMemoryGrow, 0, opLocalTee, 1)
	if t == I32 {
		c = append(c, opI32Const, 0x7f, opI32Eq)
	} else {
		c = append(c, opI64Const, 0x7f, opI64Eq)
	}
	c = append(c, opIf, emptyBlock, opLocalGet, 0)
	if t == I32 {
		c = append(c, opI64ExtendI32U)
	}
	c = append(c, opGlobalSet)
	c = appendU(c, uint64(refused))
	c = append(c, opEnd, opLocalGet, 1)
	p.grow = p.add("aorta.grow", funcType{[]ValueType{t}, []ValueType{t}}, []ValueType{t}, c)
}

// planDrops adds, for each segment that code drops, a flag and a function
// that drops it.
func (p *plan) planDrops() {
	for _, k := range []struct {
		op   uint32
		set  map[uint32]bool
		kind string
	}{{miscDataDrop, p.scan.dataDrops, "data"}, {miscElemDrop, p.scan.elemDrops, "elem"}} {
		for _, i := range sortedKeys(k.set) {
			flag := p.addGlobal(I32)
			p.flags[segmentKey{k.op, i}] = flag
			code := appendU(appendU([]byte{opMisc}, uint64(k.op)), uint64(i))
			f := p.add(fmt.Sprintf("aorta.drop.%s%d", k.kind, i), funcType{}, nil, code)
			p.drops = append(p.drops, Segment{
				Flag: p.export(fmt.Sprintf("dropped.%s%d", k.kind, i), ExternGlobal, flag),
				Drop: p.export(fmt.Sprintf("drop.%s%d", k.kind, i), ExternFunc, f),
			})
		}
	}
}

func sortedKeys(set map[uint32]bool) []uint32 {
	out := make([]uint32, 0, len(set))
	for i := range set {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}

// reach exports what checkpoints need and describes the module.
func (p *plan) reach() *Module {
	info := &Module{Lowered: p.lowered, LegacyTry: p.scan.tries, Segments: p.drops, Leaks: p.scan.throws && !p.exc.shared}
	for _, i := range p.kept {
		imp, t := p.imports[i], p.funcTypeOf(uint32(i))
		info.Imports = append(info.Imports, Import{imp.module, imp.name, t.params, t.results})
	}
	exported := make(map[exportKey]string)
	for _, x := range p.exports {
		e := Export{Name: x.name, Kind: x.kind}
		if x.kind == ExternFunc {
			t := p.funcTypeOf(x.index)
			e.Params, e.Results = t.params, t.results
		}
		info.Exports = append(info.Exports, e)
		if _, ok := exported[exportKey{x.kind, x.index}]; !ok {
			exported[exportKey{x.kind, x.index}] = x.name
		}
	}
	reach := func(name string, kind ExternKind, index uint32) string {
		if have, ok := exported[exportKey{kind, index}]; ok {
			return have
		}
		return p.export(name, kind, index)
	}
	if l := p.memory; l != nil {
		mem := &Memory{Export: reach("memory", ExternMemory, 0), Memory64: l.flags&flagIndex64 != 0, Min: l.min, Max: l.max}
		if l.flags&flagMax == 0 {
			mem.Max = 1 << 16
			if mem.Memory64 {
				mem.Max = 1 << 48
			}
		}
		info.Memory = mem
	}
	refers := false
	for i, g := range p.globals {
		if !g.mutable {
			continue
		}
		info.Globals = append(info.Globals, Global{reach(fmt.Sprintf("global%d", i), ExternGlobal, uint32(i)), g.typ})
		refers = refers || g.typ == FuncRef
	}
	for _, s := range p.drops {
		info.Globals = append(info.Globals, Global{s.Flag, I32})
	}
	for i, t := range p.tables {
		mutable := p.scan.changed[uint32(i)]
		refers = refers || mutable && t.elem == FuncRef
		max := t.limits.max
		if t.limits.flags&flagMax == 0 {
			max = 1<<32 - 1
		}
		info.Tables = append(info.Tables, Table{reach(fmt.Sprintf("table%d", i), ExternTable, uint32(i)), t.elem, t.limits.min, max, mutable})
	}
	if refers {
		for _, f := range sortedKeys(p.scan.refs) {
			info.Functions = append(info.Functions, Function{f, p.export(fmt.Sprintf("func%d", f), ExternFunc, p.newIndex[f])})
		}
	}
	if p.scan.grows {
		info.Refused = Prefix + "refused"
	}
	info.Poll = p.export("poll", ExternMemory, p.poll)
	return info
}

type exportKey struct {
	kind  ExternKind
	index uint32
}

func zero(t ValueType) []byte {
	switch t {
	case I32:
		return []byte{opI32Const, 0}
	case I64:
		return []byte{opI64Const, 0}
	case F32:
		return append([]byte{opF32Const}, make([]byte, 4)...)
	case F64:
		return append([]byte{opF64Const}, make([]byte, 8)...)
	case V128:
		return append([]byte{opSIMD, 12}, make([]byte, 16)...)
	}
	return []byte{opRefNull, byte(t)}
}

package rewrite

import "slices"

var preamble = []byte{0, 'a', 's', 'm', 1, 0, 0, 0}

// maxGrowth is how many times the largest module's size the code may have
// once it is rewritten. Real modules grow by a hundredth.
const maxGrowth = 2

// section appends a section, unless it has no content.
func section(out []byte, id byte, content ...[]byte) []byte {
	size := 0
	for _, c := range content {
		size += len(c)
	}
	if size == 0 {
		return out
	}
	out = appendU(append(out, id), uint64(size))
	for _, c := range content {
		out = append(out, c...)
	}
	return out
}

// vector starts a section's content; nil, and so no section, for no items.
func vector(n int) []byte {
	if n == 0 {
		return nil
	}
	return appendU(nil, uint64(n))
}

func (p *plan) encode() []byte {
	// Code first: it adds types, and globals for exceptions.
	size := 0
	for _, b := range p.bodies {
		size += len(b.data)
	}
	bodies, scratch := make([]byte, 0, size+size/16), []byte(nil)
	for i := range p.funcs {
		b := p.function(i, scratch[:0])
		scratch = b
		if bodies = append(appendU(bodies, uint64(len(b))), b...); len(bodies) > maxGrowth*p.limits.ModuleBytes {
			p.bodies[i].reader().fail(Oversize, "it has over %d bytes once it is rewritten", maxGrowth*p.limits.ModuleBytes)
		}
	}
	startAt, starts := p.planStart()
	for _, f := range p.added {
		bodies = append(appendU(bodies, uint64(len(f.body))), f.body...)
	}

	types := vector(len(p.newTypes))
	for _, t := range p.newTypes {
		types = appendU(append(types, 0x60), uint64(len(t.params)))
		types = appendU(append(types, raw(t.params)...), uint64(len(t.results)))
		types = append(types, raw(t.results)...)
	}
	imports := vector(len(p.kept))
	for _, i := range p.kept {
		imp := p.imports[i]
		imports = append(appendName(appendName(imports, imp.module), imp.name), byte(ExternFunc))
		imports = appendU(imports, uint64(imp.typ))
	}
	funcs := vector(len(p.funcs) + len(p.added))
	for _, t := range p.funcs {
		funcs = appendU(funcs, uint64(t))
	}
	for _, f := range p.added {
		funcs = appendU(funcs, uint64(f.typ))
	}
	tables := vector(len(p.tables))
	for _, t := range p.tables {
		if t.init != nil {
			tables = append(tables, 0x40, 0)
		}
		tables = t.limits.append(append(tables, byte(t.elem)))
		if t.init != nil {
			tables = append(tables, p.constant(*t.init)...)
		}
	}
	memories := vector(int(p.poll) + 1)
	if p.memory != nil {
		memories = p.memory.append(memories)
	}
	memories = limitsType{flags: flagMax, min: 1, max: 1}.append(memories)
	tags := vector(len(p.newTags))
	for _, t := range p.newTags {
		tags = appendU(append(tags, 0), uint64(t))
	}
	globals := vector(len(p.globals) + len(p.newGlobals))
	for _, g := range slices.Concat(p.globals, p.newGlobals) {
		mut := byte(0)
		if g.mutable {
			mut = 1
		}
		globals = append(append(globals, byte(g.typ), mut), p.constant(g.init)...)
	}
	exports := vector(len(p.exports) + len(p.newExports))
	for _, x := range p.exports {
		i := x.index
		if x.kind == ExternFunc {
			i = p.newIndex[i]
		}
		exports = appendU(append(appendName(exports, x.name), byte(x.kind)), uint64(i))
	}
	for _, x := range p.newExports {
		exports = appendU(append(appendName(exports, x.name), byte(x.kind)), uint64(x.index))
	}
	var start, count []byte
	if starts {
		start = appendU(nil, uint64(startAt))
	}
	if p.dataCount != nil {
		count = appendU(nil, uint64(*p.dataCount))
	}

	size = len(bodies) + len(p.datas.data)
	out := append(make([]byte, 0, size+size/8), preamble...)
	out = section(out, secType, types)
	out = section(out, secImport, imports)
	out = section(out, secFunction, funcs)
	out = section(out, secTable, tables)
	out = section(out, secMemory, memories)
	out = section(out, secTag, tags)
	out = section(out, secGlobal, globals)
	out = section(out, secExport, exports)
	out = section(out, secStart, start)
	out = section(out, secElem, p.encodeElements())
	out = section(out, secDataCount, count)
	out = section(out, secCode, vector(len(p.funcs)+len(p.added)), bodies)
	out = section(out, secData, p.datas.data)
	return p.encodeNames(out)
}

func (l limitsType) append(dst []byte) []byte {
	dst = appendU(append(dst, l.flags), l.min)
	if l.flags&flagMax != 0 {
		dst = appendU(dst, l.max)
	}
	return dst
}

// encodeElements copies the element section with the new function indices.
func (p *plan) encodeElements() []byte {
	if p.elems.data == nil {
		return nil
	}
	src := p.elems.data
	out := make([]byte, 0, len(src)+len(src)/8)
	done := 0
	p.elements(p.elems.reader(), func(begin, end int, f uint32) {
		out = append(out, src[done:begin]...)
		out = appendU(out, uint64(p.newIndex[f]))
		done = end
	})
	return append(out, src[done:]...)
}

func (p *plan) encodeNames(out []byte) []byte {
	type named struct {
		index uint32
		name  string
	}
	var list []named
	name := func(old, index int) {
		if n, ok := p.names[uint32(old)]; ok {
			list = append(list, named{uint32(index), n})
		}
	}
	for index, old := range p.kept {
		name(old, index)
	}
	first := len(p.kept)
	for i := range p.funcs {
		name(len(p.imports)+i, first+i)
	}
	first += len(p.funcs)
	for i, f := range p.added {
		list = append(list, named{uint32(first + i), f.name})
	}
	if len(list) == 0 {
		return out
	}
	sub := vector(len(list))
	for _, n := range list {
		sub = appendName(appendU(sub, uint64(n.index)), n.name)
	}
	content := appendName(nil, "name")
	content = append(appendU(append(content, 1), uint64(len(sub))), sub...)
	return section(out, secCustom, content)
}

package rewrite

import (
	"slices"
	"strings"
)

// Emscripten's JavaScript keeps longjmp and C++ exceptions alive by calling
// through the host: invoke_X(index, args…) calls the table's function under a
// try, and if a JavaScript exception that stands for longjmp or a C++ throw
// comes out, restores the stack pointer and calls setThrew(1, 0). Here the
// exception is a tag of the module's own, and invoke_X a function of the
// module: the same without leaving it. Traps and exits pass through both
// forms alike.
//
// _emscripten_throw_longjmp becomes a throw of the tag. __cxa_throw,
// __cxa_rethrow and __resumeException stay imported, to record the exception,
// but must return: the module then throws the tag. So does, unless its
// argument is 0, __cxa_rethrow_primary_exception.
//
// One difference is left: JavaScript converts arguments, where a call with a
// wrong signature traps here, as it does without invoke_X.

// recorders are imports after which the module throws.
var recorders = []string{"__cxa_throw", "__cxa_rethrow", "__resumeException"}

// rethrowPrimary is one that throws only what isn't null.
const rethrowPrimary = "__cxa_rethrow_primary_exception"

// copiers are imports that copy memory(dst, src, n). They are JavaScript's
// copyWithin, which clamps to memory where memory.copy traps. AOS modules
// depend on it: reallocating their last block reads past the end.
var copiers = []string{"_emscripten_memcpy_js", "_emscripten_memcpy_big", "emscripten_memcpy_big"}

// planImports decides what becomes of each import.
func (p *plan) planImports() {
	lower := make([]func() uint32, len(p.imports))
	wrap := make([]func(uint32) uint32, len(p.imports))
	inv := p.invokes()
	for i, imp := range p.imports {
		if imp.module != "env" {
			continue
		}
		t := p.types[imp.typ]
		switch {
		case slices.Contains(copiers, imp.name) && p.copies(t):
			lower[i] = func() uint32 { return p.add("aorta."+imp.name, t, []ValueType{I64, I64}, p.clampedCopy()) }
		case inv == nil:
		case strings.HasPrefix(imp.name, "invoke_") && inv.fits(t):
			lower[i] = func() uint32 { return p.add("aorta."+imp.name, t, inv.locals(), inv.body(p, t)) }
		case imp.name == "_emscripten_throw_longjmp" && len(t.params)+len(t.results) == 0:
			lower[i] = func() uint32 { return p.add("aorta."+imp.name, t, nil, p.throwLongjmp(nil)) }
		case slices.Contains(recorders, imp.name) && len(t.results) == 0:
			wrap[i] = func(host uint32) uint32 {
				var c []byte
				for k := range t.params {
					c = append(c, opLocalGet, byte(k))
				}
				c = appendU(append(c, opCall), uint64(host))
				return p.add("aorta."+imp.name, t, nil, p.throwLongjmp(c))
			}
		case imp.name == rethrowPrimary && t.equal(funcType{params: []ValueType{inv.pointer}}):
			wrap[i] = func(host uint32) uint32 {
				c := appendU([]byte{opLocalGet, 0, opCall}, uint64(host))
				c = append(c, opLocalGet, 0)
				if inv.pointer == I64 {
					c = append(c, opI64Const, 0, opI64Ne)
				}
				c = append(p.throwLongjmp(append(c, opIf, emptyBlock)), opEnd)
				return p.add("aorta."+imp.name, t, nil, c)
			}
		}
	}
	for i := range p.imports {
		if lower[i] == nil {
			p.kept = append(p.kept, i)
		}
	}
	// Only now are the indices of functions known.
	p.newIndex = make([]uint32, p.funcCount())
	for new, old := range p.kept {
		p.newIndex[old] = uint32(new)
	}
	for i := range p.funcs {
		p.newIndex[len(p.imports)+i] = uint32(len(p.kept) + i)
	}
	p.nextIndex = uint32(len(p.kept) + len(p.funcs))
	for i, imp := range p.imports {
		switch {
		case lower[i] != nil:
			p.newIndex[i] = lower[i]()
		case wrap[i] != nil:
			p.newIndex[i] = wrap[i](p.newIndex[i])
		default:
			continue
		}
		p.lowered = append(p.lowered, imp.module+"."+imp.name)
	}
}

// pointer is the type of the memory's addresses.
func (m *module) pointer() ValueType {
	if m.memory.flags&flagIndex64 != 0 {
		return I64
	}
	return I32
}

func (m *module) copies(t funcType) bool {
	if m.memory == nil {
		return false
	}
	ptr := m.pointer()
	return t.equal(funcType{params: []ValueType{ptr, ptr, ptr}})
}

// clampedCopy is the code of copiers: parameters dst, src and n, and two
// locals of 64 bits.
func (p *plan) clampedCopy() []byte {
	const dst, src, n, size, count = 0, 1, 2, 3, 4
	wide := p.pointer() == I64
	var c []byte
	extend := func() {
		if !wide {
			c = append(c, opI64ExtendI32U)
		}
	}
	get := func(local byte) {
		c = append(c, opLocalGet, local)
		if local <= n {
			extend()
		}
	}
	lower := func(set func()) { // count = min(count, what set pushes)
		get(count)
		set()
		c = append(c, opI64GtS, opIf, emptyBlock)
		set()
		c = append(c, opLocalSet, count, opEnd)
	}
	// size = bytes of memory
	c = append(c, opMemorySize, 0)
	extend()
	c = append(c, opI64Const, 16, opI64Shl, opLocalSet, size)
	// count = end - src, where the end is an address: src + n can wrap.
	c = append(c, opLocalGet, src, opLocalGet, n)
	if wide {
		c = append(c, opI64Add)
	} else {
		c = append(c, opI32Add, opI64ExtendI32U)
	}
	get(src)
	c = append(c, opI64Sub, opLocalSet, count)
	for _, start := range []byte{dst, src} {
		get(start)
		get(size)
		c = append(c, opI64GeU, opIf, emptyBlock, opReturn, opEnd)
		lower(func() {
			get(size)
			get(start)
			c = append(c, opI64Sub)
		})
	}
	get(count)
	c = append(c, opI64Const, 0, opI64LeS, opIf, emptyBlock, opReturn, opEnd)
	c = append(c, opLocalGet, dst, opLocalGet, src, opLocalGet, count)
	if !wide {
		c = append(c, opI32WrapI64)
	}
	return append(c, opMisc, miscMemoryCopy, 0, 0)
}

// invoker is what invoke_* functions are made of; its indices are the input's.
type invoker struct {
	save, restore, threw uint32
	threwType            funcType
	table                uint32
	pointer              ValueType
}

// invokes returns nil unless the module exports what invoke_* needs.
func (p *plan) invokes() *invoker {
	if p.memory == nil {
		return nil
	}
	find := func(kind ExternKind, names ...string) (uint32, bool) {
		for _, n := range names {
			for _, x := range p.exports {
				if x.name == n && x.kind == kind {
					return x.index, true
				}
			}
		}
		return 0, false
	}
	v := &invoker{pointer: p.pointer()}
	var ok [4]bool
	v.save, ok[0] = find(ExternFunc, "emscripten_stack_get_current", "stackSave")
	v.restore, ok[1] = find(ExternFunc, "_emscripten_stack_restore", "stackRestore")
	v.threw, ok[2] = find(ExternFunc, "setThrew")
	v.table, ok[3] = find(ExternTable, "__indirect_function_table")
	if ok != [4]bool{true, true, true, true} {
		return nil
	}
	ptr := []ValueType{v.pointer}
	v.threwType = p.funcTypeOf(v.threw)
	fits := p.funcTypeOf(v.save).equal(funcType{results: ptr}) && p.funcTypeOf(v.restore).equal(funcType{params: ptr}) &&
		len(v.threwType.params) == 2 && len(v.threwType.results) == 0 && all(v.threwType.params, I32, I64) &&
		p.tables[v.table].elem == FuncRef
	if !fits {
		return nil
	}
	return v
}

func all(ts []ValueType, of ...ValueType) bool {
	return !slices.ContainsFunc(ts, func(t ValueType) bool { return !slices.Contains(of, t) })
}

func (v *invoker) fits(t funcType) bool {
	return len(t.params) > 0 && len(t.params) < 126 && len(t.results) <= 1 && all(t.params[:1], I32, I64) &&
		all(t.params, I32, I64, F32, F64) && all(t.results, I32, I64, F32, F64)
}

// locals of an invoke_* function: the stack pointer.
func (v *invoker) locals() []ValueType { return []ValueType{v.pointer} }

// body is
//
//	sp = save()
//	block
//	  block (→ exnref)            ;; only if the module has tags of its own
//	    try_table (catch $longjmp) (catch_all_ref)
//	      return call_indirect(args…, index)
//	  restore(sp)  throw_ref
//	restore(sp)  setThrew(1, 0)  0
func (v *invoker) body(p *plan, t funcType) []byte {
	sp := byte(len(t.params))
	call := func(c []byte, f uint32) []byte { return appendU(append(c, opCall), uint64(p.newIndex[f])) }
	p.needLongjmp()
	c := append(call(nil, v.save), opLocalSet, sp)
	c = append(c, opBlock, emptyBlock)
	if own := len(p.tags) > 0; own {
		c = append(c, opBlock, byte(ExnRef), opTryTable, emptyBlock, 2, 0)
		c = append(appendU(c, uint64(p.exc.longjmp)), 1, catchAllRef, 0)
		c = v.call(p, c, t)
		c = append(c, opReturn, opEnd, opUnreachable, opEnd, opLocalGet, sp)
		c = append(call(c, v.restore), opThrowRef)
	} else {
		c = append(c, opTryTable, emptyBlock, 1, 0)
		c = append(appendU(c, uint64(p.exc.longjmp)), 0)
		c = v.call(p, c, t)
		c = append(c, opReturn, opEnd, opUnreachable)
	}
	c = append(c, opEnd, opLocalGet, sp)
	c = call(c, v.restore)
	for i, pt := range v.threwType.params {
		op := byte(opI32Const)
		if pt == I64 {
			op = opI64Const
		}
		c = append(c, op, 1-byte(i))
	}
	c = call(c, v.threw)
	for _, r := range t.results {
		c = append(c, undefined(r)...)
	}
	return c
}

// call calls the function at the index. It polls, since the scan doesn't see
// recursions through this function.
func (v *invoker) call(p *plan, c []byte, t funcType) []byte {
	c = p.polling(c)
	for i := 1; i < len(t.params); i++ {
		c = append(c, opLocalGet, byte(i))
	}
	c = append(c, opLocalGet, 0)
	switch wide := p.tables[v.table].limits.flags&flagIndex64 != 0; {
	case wide && t.params[0] == I32:
		c = append(c, opI64ExtendI32U)
	case !wide && t.params[0] == I64:
		// An index that isn't one traps, as the access to the table would.
		c = append(c, opI64Const, 32, opI64ShrU, opI64Eqz, opI32Eqz, opIf, emptyBlock, opUnreachable, opEnd)
		c = append(c, opLocalGet, 0, opI32WrapI64)
	}
	c = appendU(append(c, opCallIndirect), uint64(p.typeOf(funcType{t.params[1:], t.results})))
	return appendU(c, uint64(v.table))
}

// undefined is what JavaScript's undefined becomes as a result: not a number
// for floats, 0 for integers.
func undefined(t ValueType) []byte {
	switch t {
	case I64:
		return []byte{opI64Const, 0}
	case F32:
		return []byte{opF32Const, 0, 0, 0xc0, 0x7f}
	case F64:
		return []byte{opF64Const, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f}
	}
	return []byte{opI32Const, 0}
}

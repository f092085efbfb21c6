package rewrite

// instr is one instruction. Immediates that the rewriting looks at are
// decoded; raw has all of its bytes.
type instr struct {
	op    byte
	sub   uint32 // of the prefixes 0xfc and 0xfd
	a, b  uint32 // indices: label, function, type, table, segment …
	block blockType
	list  []uint32 // labels of br_table, the default last
	catch []catchClause
	raw   []byte
}

type catchClause struct {
	kind       byte
	tag, label uint32
}

// The opcodes that the rewriting looks at.
const (
	opUnreachable    = 0x00
	opBlock          = 0x02
	opLoop           = 0x03
	opIf             = 0x04
	opElse           = 0x05
	opTry            = 0x06
	opCatch          = 0x07
	opThrow          = 0x08
	opRethrow        = 0x09
	opThrowRef       = 0x0a
	opEnd            = 0x0b
	opBr             = 0x0c
	opBrIf           = 0x0d
	opBrTable        = 0x0e
	opReturn         = 0x0f
	opCall           = 0x10
	opCallIndirect   = 0x11
	opReturnCall     = 0x12
	opReturnCallInd  = 0x13
	opDelegate       = 0x18
	opCatchAll       = 0x19
	opDrop           = 0x1a
	opSelect         = 0x1b
	opSelectT        = 0x1c
	opTryTable       = 0x1f
	opLocalGet       = 0x20
	opLocalSet       = 0x21
	opLocalTee       = 0x22
	opGlobalGet      = 0x23
	opGlobalSet      = 0x24
	opTableGet       = 0x25
	opTableSet       = 0x26
	opI32Load8U      = 0x2d
	opMemorySize     = 0x3f
	opMemoryGrow     = 0x40
	opI32Const       = 0x41
	opI64Const       = 0x42
	opF32Const       = 0x43
	opF64Const       = 0x44
	opI32Eqz         = 0x45
	opI32Eq          = 0x46
	opI64Eqz         = 0x50
	opI64Eq          = 0x51
	opI64Ne          = 0x52
	opI64GtS         = 0x55
	opI64LeS         = 0x57
	opI64GeU         = 0x5a
	opI32Add         = 0x6a
	opI64Add         = 0x7c
	opI64Sub         = 0x7d
	opI64Shl         = 0x86
	opI32WrapI64     = 0xa7
	opI64ExtendI32U  = 0xad
	opI64ShrU        = 0x88
	opRefNull        = 0xd0
	opRefFunc        = 0xd2
	opMisc           = 0xfc
	opSIMD           = 0xfd
	opThreads        = 0xfe
	miscMemoryInit   = 8
	miscDataDrop     = 9
	miscMemoryCopy   = 10
	miscMemoryFill   = 11
	miscTableInit    = 12
	miscElemDrop     = 13
	miscTableCopy    = 14
	miscTableGrow    = 15
	miscTableSize    = 16
	miscTableFill    = 17
	emptyBlock       = 0x40
	simdRelaxed      = 0x100
	catchOne         = 0
	catchRef         = 1
	catchAll         = 2
	catchAllRef      = 3
	opLastNoOperands = 0xc4
)

// blockType is the type of a block: empty, one result, or a function type.
type blockType struct {
	index int64 // the encoded number: negative for the short forms
}

func (b blockType) append(dst []byte) []byte { return appendS(dst, b.index) }

// shortBlock is the block type without parameters and with one result, or none.
func shortBlock(results []ValueType) blockType {
	if len(results) == 0 {
		return blockType{emptyBlock - 0x80}
	}
	return blockType{int64(results[0]) - 0x80}
}

// blockFunc is the type of a block as a function's.
func (m *module) blockFunc(b blockType) funcType {
	switch {
	case b.index == emptyBlock-0x80:
		return funcType{}
	case b.index < 0:
		return funcType{results: []ValueType{ValueType(b.index + 0x80)}}
	}
	return m.types[b.index]
}

func (m *module) blockType(r *reader) blockType {
	at := r.at
	i := r.signed(33)
	if i >= int64(len(m.types)) {
		r.fail(Malformed, "a block refers to type %d of %d", i, len(m.types))
	}
	if i < 0 && i != emptyBlock-0x80 {
		r.at = at
		r.valueType()
	}
	return blockType{i}
}

// next reads an instruction.
func (m *module) next(r *reader) (in instr) {
	start := r.at
	in.op = r.byte()
	switch op := in.op; {
	case op == opBlock, op == opLoop, op == opIf, op == opTry:
		in.block = m.blockType(r)
	case op == opTryTable:
		in.block = m.blockType(r)
		for range r.count("catch clauses", 10_000) {
			c := catchClause{kind: r.byte()}
			if c.kind > catchAllRef {
				r.fail(Malformed, "a catch clause is of an unknown kind")
			}
			if c.kind <= catchRef {
				c.tag = m.tag(r)
			}
			c.label = r.u32()
			in.catch = append(in.catch, c)
		}
	case op == opCatch, op == opThrow:
		in.a = m.tag(r)
	case op == opRethrow, op == opDelegate, op == opBr, op == opBrIf:
		in.a = r.u32()
	case op == opBrTable:
		n := r.count("branch targets", 7_654_321)
		in.list = make([]uint32, 0, n+1)
		for range n + 1 {
			in.list = append(in.list, r.u32())
		}
	case op == opCall, op == opReturnCall, op == opRefFunc:
		in.a = m.funcIndex(r)
	case op == opCallIndirect, op == opReturnCallInd:
		in.a = m.typeIndex(r)
		in.b = m.tableIndex(r)
	case op == opSelectT:
		m.valueTypes(r)
	case op == opLocalGet, op == opLocalSet, op == opLocalTee:
		in.a = r.u32()
	case op == opGlobalGet, op == opGlobalSet:
		in.a = r.u32()
		if int64(in.a) >= int64(len(m.globals)) {
			r.fail(Malformed, "it refers to global %d of %d", in.a, len(m.globals))
		}
	case op == opTableGet, op == opTableSet:
		in.a = m.tableIndex(r)
	case op >= 0x28 && op <= 0x3e:
		m.memoryArgument(r)
	case op == opMemorySize, op == opMemoryGrow:
		m.memoryIndex(r)
	case op == opI32Const:
		r.signed(32)
	case op == opI64Const:
		r.signed(64)
	case op == opF32Const:
		r.bytes(4)
	case op == opF64Const:
		r.bytes(8)
	case op == opRefNull:
		r.valueType()
	case op == opMisc:
		m.misc(r, &in)
	case op == opSIMD:
		m.simd(r, &in)
	case op == opThreads:
		r.at = start
		r.fail(Unsupported, "it uses atomic instructions; processes have no threads")
	case op <= 0x01, op == opElse, op == opEnd, op == opReturn, op == opThrowRef, op == opCatchAll,
		op == opDrop, op == opSelect, op >= 0x45 && op <= opLastNoOperands, op == 0xd1:
	default:
		r.at = start
		r.fail(Unsupported, "it uses an instruction (%#x) that this node doesn't run", op)
	}
	in.raw = r.data[start:r.at]
	return in
}

func (m *module) tag(r *reader) uint32 {
	i := r.u32()
	if int64(i) >= int64(len(m.tags)) {
		r.fail(Malformed, "it refers to tag %d of %d", i, len(m.tags))
	}
	return i
}

func (m *module) tableIndex(r *reader) uint32 {
	i := r.u32()
	if int64(i) >= int64(len(m.tables)) {
		r.fail(Malformed, "it refers to table %d of %d", i, len(m.tables))
	}
	return i
}

func (m *module) memoryIndex(r *reader) {
	if i := r.u32(); i != 0 || m.memory == nil {
		r.fail(Malformed, "it refers to memory %d, which it doesn't have", i)
	}
}

func (m *module) memoryArgument(r *reader) {
	if align := r.u32(); align >= 32 {
		r.fail(Unsupported, "it accesses a memory with an unknown form (%#x)", align)
	}
	r.u64()
	if m.memory == nil {
		r.fail(Malformed, "it accesses a memory that it doesn't have")
	}
}

func (m *module) misc(r *reader, in *instr) {
	in.sub = r.u32()
	switch in.sub {
	case 0, 1, 2, 3, 4, 5, 6, 7:
	case miscMemoryInit:
		in.a = r.u32()
		m.memoryIndex(r)
	case miscDataDrop, miscElemDrop:
		in.a = r.u32()
	case miscMemoryCopy:
		m.memoryIndex(r)
		m.memoryIndex(r)
	case miscMemoryFill:
		m.memoryIndex(r)
	case miscTableInit:
		in.b = r.u32()
		in.a = m.tableIndex(r)
	case miscTableCopy:
		in.a = m.tableIndex(r)
		in.b = m.tableIndex(r)
	case miscTableGrow, miscTableSize, miscTableFill:
		in.a = m.tableIndex(r)
	default:
		r.fail(Unsupported, "it uses an instruction (0xfc %d) that this node doesn't run", in.sub)
	}
}

func (m *module) simd(r *reader, in *instr) {
	in.sub = r.u32()
	switch s := in.sub; {
	case s <= 11, s == 92, s == 93:
		m.memoryArgument(r)
	case s == 12, s == 13:
		r.bytes(16)
	case s >= 21 && s <= 34:
		r.byte()
	case s >= 84 && s <= 91:
		m.memoryArgument(r)
		r.byte()
	case s >= simdRelaxed:
		r.fail(Unsupported, "it uses relaxed vector instructions, whose results differ between processors")
	}
}

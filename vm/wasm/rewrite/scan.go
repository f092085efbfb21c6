package rewrite

// scan is what a first pass over the code finds out.
type scan struct {
	tries     int             // legacy try blocks
	grows     bool            // memory.grow occurs
	throws    bool            // throw or throw_ref occurs
	final     bool            // so does final exception handling
	changed   map[uint32]bool // tables that instructions change
	refs      map[uint32]bool // functions that are referred to
	dataDrops map[uint32]bool
	elemDrops map[uint32]bool
	bodies    []bodyScan
}

type bodyScan struct {
	legacy bool // has legacy exception handling
	poll   bool // must poll at its entry
}

// scanCode looks at every instruction once.
func (m *module) scanCode() {
	s := &m.scan
	s.changed, s.refs = make(map[uint32]bool), make(map[uint32]bool)
	s.dataDrops, s.elemDrops = make(map[uint32]bool), make(map[uint32]bool)
	s.bodies = make([]bodyScan, len(m.bodies))
	for i, body := range m.bodies {
		r := body.reader()
		m.locals(r, m.types[m.funcs[i]])
		self := uint32(len(m.imports) + i)
		b := &s.bodies[i]
		for r.left() > 0 {
			in := m.next(r)
			switch in.op {
			case opTry:
				s.tries++
				b.legacy = true
			case opCatch, opCatchAll, opRethrow, opDelegate:
				b.legacy = true
			case opCall, opReturnCall:
				// A cycle of calls has a call to a function that doesn't come
				// later.
				if in.a <= self && int(in.a) >= len(m.imports) {
					b.poll = true
				}
			case opCallIndirect, opReturnCallInd:
				b.poll = true
			case opRefFunc:
				s.refs[in.a] = true
			case opTableSet:
				s.changed[in.a] = true
			case opMemoryGrow:
				s.grows = true
			case opThrow:
				s.throws = true
			case opThrowRef:
				s.throws, s.final = true, true
			case opTryTable:
				s.final = true
			case opMisc:
				switch in.sub {
				case miscTableInit, miscTableCopy, miscTableGrow, miscTableFill:
					s.changed[in.a] = true
				case miscDataDrop:
					s.dataDrops[m.segment(r, in.a, m.dataSegs)] = true
				case miscElemDrop:
					s.elemDrops[m.segment(r, in.a, m.elemCount)] = true
				}
			}
		}
	}
	for _, g := range m.globals {
		m.refsIn(g.init)
	}
	for _, t := range m.tables {
		if t.init != nil {
			m.refsIn(*t.init)
		}
	}
	if m.elems.data != nil {
		m.elements(m.elems.reader(), func(_, _ int, f uint32) { s.refs[f] = true })
	}
}

func (m *module) segment(r *reader, i uint32, n int) uint32 {
	if int64(i) >= int64(n) {
		r.fail(Malformed, "it drops segment %d of %d", i, n)
	}
	return i
}

func (m *module) refsIn(e span) {
	r := e.reader()
	for r.left() > 0 {
		if in := m.next(r); in.op == opRefFunc {
			m.scan.refs[in.a] = true
		}
	}
}

// locals skips a body's declarations and returns how many locals the function
// has, parameters included.
func (m *module) locals(r *reader, t funcType) int {
	total := int64(len(t.params))
	for range r.count("declarations of locals", m.limits.Locals) {
		total += int64(r.u32())
		r.valueType()
		if total > int64(m.limits.Locals) {
			r.fail(Oversize, "a function has over %d locals", m.limits.Locals)
		}
	}
	return int(total)
}

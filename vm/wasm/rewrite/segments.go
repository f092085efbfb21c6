package rewrite

// elements reads the element section and returns how many segments it has.
// found, if not nil, is told of each function index in it and where in the
// section that stands.
func (m *module) elements(r *reader, found func(begin, end int, f uint32)) int {
	n := r.count("element segments", m.limits.Items)
	for range n {
		flags := r.u32()
		if flags > 7 {
			r.fail(Malformed, "an element segment has unknown flags %d", flags)
		}
		if flags&1 == 0 { // active
			if flags&2 != 0 {
				m.tableIndex(r)
			} else if len(m.tables) == 0 {
				r.fail(Malformed, "an element segment is for a table that isn't there")
			}
			m.each(r, found)
		}
		expressions := flags&4 != 0
		if flags&3 != 0 {
			if expressions {
				r.valueType()
			} else if r.byte() != 0 {
				r.fail(Malformed, "an element segment has an unknown kind")
			}
		}
		for range r.count("elements", 10_000_000) {
			if expressions {
				m.each(r, found)
				continue
			}
			begin := r.at
			f := m.funcIndex(r)
			if found != nil {
				found(begin, r.at, f)
			}
		}
	}
	return n
}

// each reads an expression and tells found of its function references.
func (m *module) each(r *reader, found func(begin, end int, f uint32)) {
	from := r.at
	e := m.expression(r)
	if found == nil {
		return
	}
	er := e.reader()
	for er.left() > 0 {
		if in := m.next(er); in.op == opRefFunc {
			found(from+er.at-len(in.raw)+1, from+er.at, in.a)
		}
	}
}

// data reads the data section and returns how many segments it has.
func (m *module) data(r *reader) int {
	n := r.count("data segments", m.limits.Items)
	for range n {
		flags := r.u32()
		if flags > 2 {
			r.fail(Malformed, "a data segment has unknown flags %d", flags)
		}
		if flags == 2 {
			m.memoryIndex(r)
		}
		if flags != 1 {
			if m.memory == nil {
				r.fail(Malformed, "a data segment is for a memory that isn't there")
			}
			m.expression(r)
		}
		r.bytes(int(r.u32()))
	}
	return n
}

// expression skips a constant expression and returns it with its end.
func (m *module) expression(r *reader) span {
	start, offset := r.at, r.offset+r.at
	for depth := 0; depth >= 0; {
		switch in := m.next(r); in.op {
		case opEnd:
			depth--
		case opBlock, opLoop, opIf, opTry, opTryTable:
			r.fail(Malformed, "a constant expression has a block")
		}
	}
	return span{r.data[start:r.at:r.at], offset}
}

package rewrite

// body rewrites one function.
type body struct {
	*plan
	out    []byte
	scan   bodyScan
	legacy *legacy // nil unless the function has legacy exception handling

	handlers int // around the present instruction
	pairs    int // of a call and a handler around it
}

// scope is a try_table that is open.
type scope struct{ depth, handlers int }

// covered counts a call.
func (b *body) covered() { b.pairs += b.handlers }

// bounded holds a function that grows within what the engine takes.
func (b *body) bounded(r *reader) {
	if len(b.out) > b.limits.FunctionBytes {
		r.fail(Oversize, "a function has over %d bytes once it is rewritten", b.limits.FunctionBytes)
	}
}

// account adds up what handlers cost the compiler.
func (b *body) account(r *reader) {
	b.work += min(b.pairs, 1<<30) * min(b.pairs, 1<<30)
	if b.work > b.limits.HandlerWork {
		r.fail(Oversize, "too many calls are within too many exception handlers, %d pairs in this function", b.pairs)
	}
}

// function appends the rewritten body of defined function i, without its length.
func (p *plan) function(i int, out []byte) []byte {
	src := p.bodies[i]
	r := src.reader()
	t := p.types[p.funcs[i]]
	b := &body{plan: p, scan: p.scan.bodies[i], out: out}
	locals := p.locals(r, t)
	if b.scan.legacy {
		return b.legacyFunction(src, r, t, locals)
	}
	b.out = append(b.out, src.data[:r.at]...)
	if b.scan.poll {
		b.pollHere()
	}
	var scopes []scope
	for depth := 0; ; {
		in := p.next(r)
		switch in.op {
		case opBlock, opIf:
			depth++
			b.out = append(b.out, in.raw...)
		case opTryTable:
			depth++
			scopes = append(scopes, scope{depth, len(in.catch)})
			b.handlers += len(in.catch)
			b.out = append(b.out, in.raw...)
		case opLoop:
			depth++
			b.out = append(b.out, in.raw...)
			b.pollHere()
		case opEnd:
			b.out = append(b.out, opEnd)
			if n := len(scopes); n > 0 && scopes[n-1].depth == depth {
				b.handlers -= scopes[n-1].handlers
				scopes = scopes[:n-1]
			}
			if depth--; depth < 0 {
				if r.left() > 0 {
					r.fail(Malformed, "a function goes on after its end")
				}
				b.account(r)
				return b.out
			}
		default:
			b.plain(in)
		}
		if depth > p.limits.Nesting {
			r.fail(Oversize, "a function nests blocks over %d deep", p.limits.Nesting)
		}
		b.bounded(r)
	}
}

// plain writes an instruction that has nothing to do with labels.
func (b *body) plain(in instr) {
	switch in.op {
	case opCall, opReturnCall, opRefFunc:
		if in.op == opCall {
			b.covered()
		}
		b.out = appendU(append(b.out, in.op), uint64(b.newIndex[in.a]))
		return
	case opCallIndirect, opThrowRef:
		b.covered()
	case opThrow:
		b.covered()
		b.out = b.throwTag(b.out, in.a)
		return
	case opMemoryGrow:
		b.covered()
		b.out = appendU(append(b.out, opCall), uint64(b.grow))
		return
	case opMisc:
		if flag, ok := b.flags[segmentKey{in.sub, in.a}]; ok && (in.sub == miscDataDrop || in.sub == miscElemDrop) {
			b.out = append(b.out, in.raw...)
			b.out = append(b.out, opI32Const, 1, opGlobalSet)
			b.out = appendU(b.out, uint64(flag))
			return
		}
	}
	b.out = append(b.out, in.raw...)
}

func (b *body) pollHere() { b.out = b.polling(b.out) }

// polling reads the first byte of the poll memory and forgets it. Reading is
// an effect, since it can trap, so no compiler removes it.
func (p *plan) polling(code []byte) []byte {
	code = append(code, opI32Const, 0, opI32Load8U, 0x40)
	code = appendU(code, uint64(p.poll))
	return append(code, 0, opDrop)
}

// constant rewrites a constant expression.
func (p *plan) constant(e span) []byte {
	b := &body{plan: p}
	r := e.reader()
	for r.left() > 0 {
		b.plain(p.next(r))
	}
	return b.out
}

package rewrite

import "slices"

// A legacy try
//
//	try B  body  catch T  handler  catch_all  handler  end
//
// becomes, innermost first, a try_table in one block for each handler, in a
// block that stands for the try to branches:
//
//	block B
//	  block (params of B → exnref)  ;; catch_all
//	    block (params of B → exnref)
//	      try_table B (catch_ref T 0) (catch_all_ref 1)
//	        body
//	      end
//	      br 2
//	    end
//	    local.set $exn  values of T from the slots  handler  br 1
//	  end
//	  local.set $exn  handler
//	end
//
// $exn is a local for each depth of handlers in handlers, which rethrow
// throws again; without a rethrow there is none, and no exnref. A try that ends in delegate catches everything and branches,
// with the exception, to a block just inside of the try_table of the try that
// it delegates to, or at the start of the function: throw_ref there throws as
// if from there.
//
// Blocks are added, so labels are counted anew: each frame of the input knows
// at which depth of the output its label is.

// try is what the first pass finds out about a try block.
type try struct {
	tags      []uint32 // of its catch handlers, in order
	catchAll  bool
	delegates bool
	target    int  // of delegate: number of a try, or -1 for the function
	delegated bool // some delegate has this try as its target
	rethrown  bool // some rethrow throws what its handlers caught
	at        int  // depth of the block that delegates branch to, once open
}

// maxCatches bounds the handlers of one try: each becomes a block around it.
const maxCatches = 1000

type legacy struct {
	tries     []try
	delegated bool // some delegate goes to the function
	exnLocals uint32
	locals    int
	frames    []frame
	depth     int // of open blocks in the output
	next      int // number of the next try
	handlers  int // handlers that are open
	ownTarget int // depth of the function's own delegate block
}

// frame is a block of the input.
type frame struct {
	label int // depth of the output's block that branches to it leave
	// For a try:
	try      int // its number, or -1
	inBody   bool
	handlers int    // of its body
	exnLocal uint32 // holds the exception, once in a handler
	block    blockType
}

// survey is the first pass over a function: it finds the tries.
func (b *body) survey(r *reader) *legacy {
	l := &legacy{}
	type open struct {
		try    int // or -1
		inBody bool
		within int // the innermost try whose body this is in, or -1
	}
	var stack []open
	within := func() int {
		if len(stack) == 0 {
			return -1
		}
		return stack[len(stack)-1].within
	}
	handlers, deepest := 0, 0
	final, delegates := false, false // forms of exception handling
	top := func(what string) *open {
		if len(stack) == 0 || stack[len(stack)-1].try < 0 {
			r.fail(Malformed, "a %s is outside of a try", what)
		}
		return &stack[len(stack)-1]
	}
	begin := func(o *open) {
		if o.inBody {
			o.inBody = false
			o.within = -1
			if n := len(stack); n > 1 {
				o.within = stack[n-2].within
			}
			handlers++
			deepest = max(deepest, handlers)
		}
	}
	for done := false; !done; {
		in := b.next(r)
		final = final || in.op == opTryTable
		switch in.op {
		case opBlock, opLoop, opIf, opTryTable:
			stack = append(stack, open{try: -1, within: within()})
		case opTry:
			stack = append(stack, open{try: len(l.tries), inBody: true, within: len(l.tries)})
			l.tries = append(l.tries, try{})
		case opCatch:
			o := top("catch")
			begin(o)
			if l.tries[o.try].catchAll {
				r.fail(Malformed, "a catch comes after a catch_all")
			}
			if l.tries[o.try].tags = append(l.tries[o.try].tags, in.a); len(l.tries[o.try].tags) > maxCatches {
				r.fail(Oversize, "a try has over %d handlers", maxCatches)
			}
		case opCatchAll:
			o := top("catch_all")
			begin(o)
			if l.tries[o.try].catchAll {
				r.fail(Malformed, "a try has two catch_all")
			}
			l.tries[o.try].catchAll = true
		case opRethrow:
			if i := len(stack) - 1 - int(in.a); i >= 0 && stack[i].try >= 0 {
				l.tries[stack[i].try].rethrown = true
			}
		case opDelegate:
			o := top("delegate")
			if !o.inBody {
				r.fail(Malformed, "a delegate comes after a handler")
			}
			t := &l.tries[o.try]
			t.delegates, t.target = true, -1
			delegates = true
			stack = stack[:len(stack)-1]
			if int64(in.a) > int64(len(stack)) {
				r.fail(Malformed, "a delegate goes to label %d of %d", in.a, len(stack)+1)
			}
			if i := len(stack) - 1 - int(in.a); i >= 0 {
				t.target = stack[i].within
			}
			if t.target >= 0 {
				l.tries[t.target].delegated = true
			} else {
				l.delegated = true
			}
		case opEnd:
			if len(stack) == 0 {
				done = true
				break
			}
			if o := stack[len(stack)-1]; o.try >= 0 && !o.inBody {
				handlers--
			}
			stack = stack[:len(stack)-1]
		}
		if len(stack) > b.limits.Nesting {
			r.fail(Oversize, "a function nests blocks over %d deep", b.limits.Nesting)
		}
	}
	if r.left() > 0 {
		r.fail(Malformed, "a function goes on after its end")
	}
	if final && delegates {
		r.fail(Unsupported, "a function mixes delegate with the final form of exception handling")
	}
	if slices.ContainsFunc(l.tries, func(t try) bool { return t.rethrown }) {
		l.exnLocals = uint32(deepest)
	}
	return l
}

// legacyFunction rewrites a function with legacy exception handling. r is at
// its code; locals counts what it has, parameters included.
func (b *body) legacyFunction(src span, r *reader, t funcType, locals int) []byte {
	start := r.at
	b.legacy = b.survey(r)
	l := b.legacy
	l.locals = locals
	r.at = start
	if int64(locals)+int64(l.exnLocals)*int64(1+len(b.exc.slots)) > int64(b.limits.Locals) {
		r.fail(Oversize, "a function has over %d locals, with those for its handlers", b.limits.Locals)
	}
	b.declare(src.data[:start], l.exnLocals)
	if b.scan.poll {
		b.pollHere()
	}
	if l.delegated {
		b.open(opBlock, shortBlock([]ValueType{ExnRef}))
		l.ownTarget = l.depth
	}
	l.frames = append(l.frames, frame{label: 0, try: -1})
	for len(l.frames) > 0 {
		b.step(r)
		b.bounded(r)
	}
	b.account(r)
	if l.delegated {
		b.out = append(b.out, opReturn)
		b.close(1)
		b.out = append(b.out, opThrowRef)
	}
	return append(b.out, opEnd)
}

// declare copies the declarations of locals and adds, for each of n depths of
// handlers, one for the exception and one for each slot.
func (b *body) declare(decl []byte, n uint32) {
	if n == 0 {
		b.out = append(b.out, decl...)
		return
	}
	r := &reader{data: decl}
	count := r.u32()
	b.out = appendU(b.out, uint64(count)+1+uint64(len(b.exc.slots)))
	b.out = append(b.out, decl[r.at:]...)
	b.out = append(appendU(b.out, uint64(n)), byte(ExnRef))
	for _, s := range b.exc.slots {
		b.out = append(appendU(b.out, uint64(n)), byte(s.typ))
	}
}

// saved is the local in which a handler saves slot i.
func (b *body) saved(f *frame, i int) uint64 {
	return uint64(f.exnLocal) + uint64(i+1)*uint64(b.legacy.exnLocals)
}

func (b *body) open(op byte, t blockType) {
	b.out = t.append(append(b.out, op))
	b.legacy.depth++
}

func (b *body) close(n int) {
	for range n {
		b.out = append(b.out, opEnd)
	}
	b.legacy.depth -= n
}

// branch writes a br to the block that was opened at depth.
func (b *body) branch(depth int) {
	b.out = appendU(append(b.out, opBr), uint64(b.legacy.depth-depth))
}

// label is the output's label for the input's. The function's own label is
// that of depth 0.
func (b *body) label(r *reader, i uint32) uint64 {
	l := b.legacy
	if int64(i) >= int64(len(l.frames)) {
		r.fail(Malformed, "a branch goes to label %d of %d", i, len(l.frames))
	}
	return uint64(l.depth - l.frames[len(l.frames)-1-int(i)].label)
}

// step rewrites one instruction.
func (b *body) step(r *reader) {
	l := b.legacy
	in := b.next(r)
	switch in.op {
	case opBlock, opLoop, opIf:
		b.open(in.op, in.block)
		l.frames = append(l.frames, frame{label: l.depth, try: -1})
		if in.op == opLoop {
			b.pollHere()
		}
	case opTryTable:
		out := appendU(in.block.append([]byte{opTryTable}), uint64(len(in.catch)))
		for _, c := range in.catch {
			out = append(out, c.kind)
			if c.kind <= catchRef {
				out = appendU(out, uint64(c.tag))
			}
			out = appendU(out, b.label(r, c.label))
		}
		b.out = append(b.out, out...)
		l.depth++
		b.handlers += len(in.catch)
		l.frames = append(l.frames, frame{label: l.depth, try: -1, handlers: len(in.catch)})
	case opTry:
		b.try(in.block)
	case opCatch, opCatchAll:
		b.handler(&l.frames[len(l.frames)-1], in)
	case opDelegate:
		f := l.frames[len(l.frames)-1]
		l.frames = l.frames[:len(l.frames)-1]
		b.endBody(&f)
	case opRethrow:
		if int64(in.a) >= int64(len(l.frames)) {
			r.fail(Malformed, "a rethrow goes to label %d of %d", in.a, len(l.frames))
		}
		f := l.frames[len(l.frames)-1-int(in.a)]
		if f.try < 0 || f.inBody {
			r.fail(Malformed, "a rethrow is outside of the handler that it names")
		}
		b.covered()
		for i, s := range b.exc.slots {
			b.out = appendU(append(b.out, opLocalGet), b.saved(&f, i))
			b.out = appendU(append(b.out, opGlobalSet), uint64(s.global))
		}
		b.out = appendU(append(b.out, opLocalGet), uint64(f.exnLocal))
		b.out = append(b.out, opThrowRef)
	case opBr, opBrIf:
		b.out = appendU(append(b.out, in.op), b.label(r, in.a))
	case opBrTable:
		b.out = appendU(append(b.out, opBrTable), uint64(len(in.list)-1))
		for _, i := range in.list {
			b.out = appendU(b.out, b.label(r, i))
		}
	case opEnd:
		f := l.frames[len(l.frames)-1]
		l.frames = l.frames[:len(l.frames)-1]
		switch {
		case f.try >= 0:
			b.endTry(f)
		case len(l.frames) > 0:
			b.handlers -= f.handlers
			b.close(1)
		}
	default:
		b.plain(in)
	}
}

// try opens the blocks of a try.
func (b *body) try(t blockType) {
	l := b.legacy
	number := l.next
	info := l.tries[number]
	l.next++
	f := frame{try: number, inBody: true, block: t}
	if info.delegates {
		target := l.ownTarget
		if info.target >= 0 {
			target = l.tries[info.target].at
		}
		b.out = append(t.append(append(b.out, opTryTable)), 1, catchAllRef)
		b.out = appendU(b.out, uint64(l.depth-target))
		l.depth++
		f.label = l.depth
		f.handlers = 1
		b.body(&f)
		l.frames = append(l.frames, f)
		return
	}
	b.open(opBlock, t)
	f.label = l.depth
	params := b.blockFunc(t).params
	if info.catchAll {
		b.open(opBlock, b.handlerBlock(params, nil, info.rethrown))
	}
	for _, tag := range slices.Backward(info.tags) {
		b.open(opBlock, b.handlerBlock(params, b.carries(tag), info.rethrown))
	}
	clauses := len(info.tags)
	if info.catchAll {
		clauses++
	}
	b.out = appendU(t.append(append(b.out, opTryTable)), uint64(clauses))
	ref := byte(0) // what makes a clause pass the exception on
	if info.rethrown {
		ref = 1
	}
	for i, tag := range info.tags {
		b.out = appendU(append(b.out, catchOne|ref), uint64(tag))
		b.out = appendU(b.out, uint64(i))
	}
	if info.catchAll {
		b.out = appendU(append(b.out, catchAll|ref), uint64(len(info.tags)))
	}
	l.depth++
	f.handlers = clauses
	b.body(&f)
	l.frames = append(l.frames, f)
}

// body opens, within a try's try_table, the block that delegates branch to.
func (b *body) body(f *frame) {
	b.handlers += f.handlers
	t := &b.legacy.tries[f.try]
	if !t.delegated {
		return
	}
	b.open(opBlock, b.block(funcType{b.blockFunc(f.block).params, []ValueType{ExnRef}}))
	t.at = b.legacy.depth
}

// endBody closes a try's try_table.
func (b *body) endBody(f *frame) {
	if t := b.legacy.tries[f.try]; t.delegated {
		b.branch(t.at - 1) // out of the try_table, with the results
		b.close(1)
		b.out = append(b.out, opThrowRef)
	}
	b.handlers -= f.handlers
	b.close(1)
}

func (b *body) handlerBlock(params, values []ValueType, ref bool) blockType {
	values = slices.Clone(values)
	if ref {
		values = append(values, ExnRef)
	}
	return b.block(funcType{params, values})
}

// block is the block type for a function type.
func (b *body) block(t funcType) blockType {
	if len(t.params) == 0 && len(t.results) <= 1 {
		return shortBlock(t.results)
	}
	return blockType{int64(b.typeOf(t))}
}

// handler begins the next handler of a try.
func (b *body) handler(f *frame, in instr) {
	l := b.legacy
	if f.inBody {
		b.endBody(f)
		f.inBody = false
		f.exnLocal = uint32(l.locals + l.handlers)
		l.handlers++
	}
	b.branch(f.label)
	b.close(1)
	if l.tries[f.try].rethrown {
		b.out = appendU(append(b.out, opLocalSet), uint64(f.exnLocal))
		for i, s := range b.exc.slots {
			b.out = appendU(append(b.out, opGlobalGet), uint64(s.global))
			b.out = appendU(append(b.out, opLocalSet), b.saved(f, i))
		}
	}
	if in.op == opCatch && b.exc.shared {
		for _, s := range b.carried(in.a) {
			b.out = appendU(append(b.out, opGlobalGet), uint64(s.global))
		}
	}
}

// endTry closes a try.
func (b *body) endTry(f frame) {
	l := b.legacy
	if f.inBody { // no handlers at all
		b.endBody(&f)
	} else {
		l.handlers--
	}
	b.close(1)
}

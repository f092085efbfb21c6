package rewrite

// The engine allocates an object for every throw, and doesn't free it before
// the instance goes. A module that throws often would use up what it may, at
// a time that depends on how long its instance has lived. So exceptions are
// thrown with objects that are made once: for each tag there is one, made
// when the module starts and kept in a global, and what the exception carries
// is in globals too, the slots. A slot belongs to all tags, for only one
// exception is on its way at a time:
//
//	throw $t      becomes  global.set $slot1  global.set $slot0  global.get $exn_t  throw_ref
//	catch $t      becomes  catch_ref $t  …  global.get $slot0  global.get $slot1
//
// A handler that rethrows saves the slots first, as others may throw before it
// does. None of these globals is a part of the state: they are read only where
// they have just been written, or hold what they did from the start.
//
// Modules that use the final form of exception handling can hold exceptions as
// values, so theirs stay objects of their own: Module.Leaks says so.

// exceptions is how a module's are thrown.
type exceptions struct {
	shared  bool              // objects are, and slots are used
	objects map[uint32]uint32 // the global with the object of a tag
	slots   []slot
	order   []uint32          // the tags that have objects
	carried map[uint32][]slot // by the type of the tag

	longjmp uint32 // the tag of longjmp, valid if throws
	throws  bool
}

type slot struct {
	typ    ValueType
	global uint32
}

// planExceptions decides how exceptions are thrown.
func (p *plan) planExceptions() {
	p.exc.objects = make(map[uint32]uint32)
	p.exc.carried = make(map[uint32][]slot)
	p.exc.shared = !p.scan.final
	most := make(map[ValueType]int)
	for _, tag := range p.tags {
		count := make(map[ValueType]int)
		for _, t := range p.types[tag].params {
			count[t]++
			most[t] = max(most[t], count[t])
		}
	}
	if most[ExnRef] > 0 {
		p.exc.shared = false
	}
	if !p.exc.shared {
		return
	}
	for _, t := range []ValueType{I32, I64, F32, F64, V128, FuncRef, ExternRef} {
		for range most[t] {
			p.exc.slots = append(p.exc.slots, slot{t, p.addGlobal(t)})
		}
	}
	for i := range p.newTags {
		p.newTags[i] = p.typeOf(funcType{})
	}
}

// carried lists the slots that hold what a tag carries, in the order of its
// parameters.
func (p *plan) carried(tag uint32) []slot {
	typ := p.tags[tag]
	if out, ok := p.exc.carried[typ]; ok {
		return out
	}
	params := p.types[typ].params
	out := make([]slot, len(params))
	next := make(map[ValueType]int) // where the slots of a type go on
	for i, t := range params {
		k := next[t]
		for p.exc.slots[k].typ != t {
			k++
		}
		out[i] = p.exc.slots[k]
		next[t] = k + 1
	}
	p.exc.carried[typ] = out
	return out
}

// carries is what the engine's exceptions of a tag carry.
func (p *plan) carries(tag uint32) []ValueType {
	if p.exc.shared {
		return nil
	}
	return p.types[p.tags[tag]].params
}

// throwTag throws what is on the stack.
func (p *plan) throwTag(code []byte, tag uint32) []byte {
	if !p.exc.shared {
		return appendU(append(code, opThrow), uint64(tag))
	}
	carried := p.carried(tag)
	for i := range carried {
		code = appendU(append(code, opGlobalSet), uint64(carried[len(carried)-1-i].global))
	}
	return p.throwObject(code, tag)
}

// throwObject throws the object of a tag.
func (p *plan) throwObject(code []byte, tag uint32) []byte {
	object, ok := p.exc.objects[tag]
	if !ok {
		object = p.addGlobal(ExnRef)
		p.exc.objects[tag] = object
		p.exc.order = append(p.exc.order, tag)
	}
	return append(appendU(append(code, opGlobalGet), uint64(object)), opThrowRef)
}

// throwLongjmp throws the exception that stands for longjmp.
func (p *plan) throwLongjmp(code []byte) []byte {
	p.needLongjmp()
	return p.throwObject(code, p.exc.longjmp)
}

func (p *plan) needLongjmp() {
	if !p.exc.throws {
		p.exc.throws = true
		p.exc.longjmp = uint32(len(p.newTags))
		p.newTags = append(p.newTags, p.typeOf(funcType{}))
	}
}

// planStart adds the function that makes the objects. It must come last.
func (p *plan) planStart() (start uint32, ok bool) {
	if len(p.exc.order) == 0 {
		if p.start == nil {
			return 0, false
		}
		return p.newIndex[*p.start], true
	}
	var c []byte
	for _, tag := range p.exc.order {
		c = append(c, opBlock, byte(ExnRef), opTryTable, emptyBlock, 1, catchRef)
		c = append(appendU(c, uint64(tag)), 0, opThrow)
		c = append(appendU(c, uint64(tag)), opEnd, opUnreachable, opEnd, opGlobalSet)
		c = appendU(c, uint64(p.exc.objects[tag]))
	}
	if p.start != nil {
		c = appendU(append(c, opCall), uint64(p.newIndex[*p.start]))
	}
	return p.add("aorta.start", funcType{}, nil, c), true
}

package emscripten

import (
	"slices"
	"strconv"
	"strings"

	"aorta/vm"
	"aorta/vm/wasi/abi"
	"aorta/vm/wasm"
)

// exceptions are those that are under way. They are known by the guest
// pointers to the thrown objects; the rest is in a header before each.
type exceptions struct {
	last     uint64   // the one that was thrown last, until a catch clause ends
	uncaught uint32   // thrown and not yet caught
	caught   []uint64 // being handled, innermost last
	tempRet0 uint32   // the second result of functions that have two
}

// header is the place of a thrown object's header, and its fields.
type header struct {
	f   *abi.Frame
	exc uint64
}

// The header's fields, in pointers from its start. Caught and rethrown are
// bytes that share one; before all of them is the reference count.
const (
	hdrType       = 1
	hdrDestructor = 2
	hdrCaught     = 3
	hdrAdjusted   = 4
	hdrWords      = 6
)

func (e header) at(word uint64) uint64 { return e.exc - (hdrWords-word)*e.f.PtrSize() }

func (e header) flag(offset uint64) bool { return e.f.U8(e.at(hdrCaught)+offset) != 0 }

func (e header) setFlag(offset uint64, v bool) {
	b := uint8(0)
	if v {
		b = 1
	}
	e.f.PutU8(e.at(hdrCaught)+offset, b)
}

func (e header) caught() bool         { return e.flag(0) }
func (e header) setCaught(v bool)     { e.setFlag(0, v) }
func (e header) rethrown() bool       { return e.flag(1) }
func (e header) setRethrown(v bool)   { e.setFlag(1, v) }
func (e header) typ() uint64          { return e.f.Ptr(e.at(hdrType)) }
func (e header) adjusted() uint64     { return e.f.Ptr(e.at(hdrAdjusted)) }
func (e header) setAdjusted(p uint64) { e.f.PutPtr(e.at(hdrAdjusted), p) }

// maxCaught bounds the exceptions being handled at a time. It is what a
// snapshot can hold.
const maxCaught = maxHandled

func (h *Host) push(exc uint64) error {
	if len(h.exc.caught) >= maxCaught {
		return &vm.GuestError{What: "it handles too many exceptions at a time"}
	}
	h.exc.caught = append(h.exc.caught, exc)
	return nil
}

// throw notes a new exception. The module throws it when this returns.
func throw(h *Host, f *abi.Frame) error {
	e := header{f, f.Args[0]}
	e.setAdjusted(0)
	f.PutPtr(e.at(hdrType), f.Args[1])
	f.PutPtr(e.at(hdrDestructor), f.Args[2])
	h.exc.last = f.Args[0]
	h.exc.uncaught++
	return bad(f)
}

// bad ends the call if an exception isn't in memory.
func bad(f *abi.Frame) error {
	if f.Fault {
		return &vm.GuestError{What: "an exception is outside of its memory"}
	}
	return nil
}

// rethrow notes that the exception being handled is thrown again.
func rethrow(h *Host, f *abi.Frame) error {
	n := len(h.exc.caught)
	if n == 0 {
		return h.aborted("no exception to throw")
	}
	e := header{f, h.exc.caught[n-1]}
	if e.rethrown() {
		h.exc.caught = h.exc.caught[:n-1]
	} else {
		e.setRethrown(true)
		e.setCaught(false)
		h.exc.uncaught++
	}
	h.exc.last = e.exc
	return bad(f)
}

func rethrowPrimary(h *Host, f *abi.Frame) error {
	if f.Args[0] == 0 {
		return nil
	}
	if err := h.push(f.Args[0]); err != nil {
		return err
	}
	header{f, f.Args[0]}.setRethrown(true)
	return rethrow(h, f)
}

// resume notes that an exception goes on after a cleanup.
func resume(h *Host, f *abi.Frame) error {
	if h.exc.last == 0 {
		h.exc.last = f.Args[0]
	}
	return nil
}

func beginCatch(h *Host, f *abi.Frame) error {
	e := header{f, f.Args[0]}
	if !e.caught() {
		e.setCaught(true)
		h.exc.uncaught--
	}
	e.setRethrown(false)
	if err := h.push(e.exc); err != nil {
		return err
	}
	if err := bad(f); err != nil {
		return err
	}
	if err := h.refer(f, e.exc); err != nil {
		return err
	}
	return exceptionPtr(h, f)
}

func endCatch(h *Host, f *abi.Frame) error {
	if f.Guest.HasExport("setThrew") {
		if _, err := f.Guest.Call("setThrew", 0, 0); err != nil {
			return err
		}
		f.Renew()
	}
	n := len(h.exc.caught)
	if n == 0 {
		return h.aborted("a catch clause ends that didn't begin")
	}
	exc := h.exc.caught[n-1]
	h.exc.caught = h.exc.caught[:n-1]
	if err := h.unrefer(f, exc); err != nil {
		return err
	}
	h.exc.last = 0
	return nil
}

const (
	increment = "__cxa_increment_exception_refcount"
	decrement = "__cxa_decrement_exception_refcount"
)

// refer counts a reference to a thrown object.
func (h *Host) refer(f *abi.Frame, exc uint64) error {
	if f.Guest.HasExport(increment) {
		_, err := f.Guest.Call(increment, exc)
		f.Renew()
		return err
	}
	at := header{f, exc}.at(0)
	f.PutPtr(at, f.Ptr(at)+1)
	return bad(f)
}

// unrefer takes a reference back; with the last one the object goes.
func (h *Host) unrefer(f *abi.Frame, exc uint64) error {
	if f.Guest.HasExport(decrement) {
		_, err := f.Guest.Call(decrement, exc)
		f.Renew()
		return err
	}
	e := header{f, exc}
	count := f.Ptr(e.at(0)) - 1
	f.PutPtr(e.at(0), count)
	if err := bad(f); err != nil || count != 0 || e.rethrown() {
		return err
	}
	if destructor := f.Ptr(e.at(hdrDestructor)); destructor != 0 {
		call := "dynCall_vi"
		if f.Wide {
			call = "dynCall_vj"
		}
		if !f.Guest.HasExport(call) {
			return &vm.GuestError{What: "it has no function to destroy exceptions with"}
		}
		if _, err := f.Guest.Call(call, destructor, exc); err != nil {
			return err
		}
	}
	if f.Guest.HasExport("__cxa_free_exception") {
		if _, err := f.Guest.Call("__cxa_free_exception", exc); err != nil {
			return err
		}
	}
	f.Renew()
	return nil
}

// exceptionPtr is the object as its catch clause sees it.
func exceptionPtr(h *Host, f *abi.Frame) error {
	e := header{f, f.Args[0]}
	f.Result = e.exc
	if p := e.adjusted(); p != 0 {
		f.Result = p
	}
	if !f.Guest.HasExport("__cxa_is_pointer_type") {
		return bad(f)
	}
	is, err := f.Guest.Call("__cxa_is_pointer_type", e.typ())
	f.Renew()
	if err != nil {
		return err
	}
	if len(is) == 1 && is[0] != 0 {
		f.Result = f.Ptr(e.exc)
	}
	return bad(f)
}

// catching answers __cxa_find_matching_catch_n, which has n-2 parameters: the
// types that the catch clauses of a block take.
func (h *Host) catching(name string, t wasm.FuncType) wasm.HostFunc {
	digits, ok := strings.CutPrefix(name, "__cxa_find_matching_catch_")
	if !ok {
		return nil
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 2 || n-2 > abi.MaxArgs {
		return nil
	}
	s, ok := abi.Match(strings.Repeat("p", n-2)+":p", t)
	if !ok {
		return nil
	}
	return h.answer(s, func(h *Host, f *abi.Frame) error {
		types := slices.Clone(f.Args)
		selected, err := h.find(f, types)
		if err != nil {
			return err
		}
		return h.setTempRet0(f, uint32(selected))
	})
}

// find leaves the exception under way in the result and returns the type of
// the clause that takes it, or else the exception's own.
func (h *Host) find(f *abi.Frame, types []uint64) (uint64, error) {
	f.Result = h.exc.last
	if h.exc.last == 0 {
		return 0, nil
	}
	e := header{f, h.exc.last}
	e.setAdjusted(e.exc)
	thrown := e.typ()
	if thrown == 0 || f.Fault {
		return 0, bad(f) // foreign
	}
	for _, t := range types {
		if t == 0 || t == thrown {
			break // everything, or exactly this
		}
		if !f.Guest.HasExport("__cxa_can_catch") {
			continue
		}
		can, err := f.Guest.Call("__cxa_can_catch", t, thrown, e.at(hdrAdjusted))
		f.Renew()
		if err != nil {
			return 0, err
		}
		if len(can) == 1 && uint32(can[0]) != 0 {
			return t, nil
		}
	}
	return thrown, nil
}

// setTempRet0 sets the second result, where the module looks for it.
func (h *Host) setTempRet0(f *abi.Frame, v uint32) error {
	for _, name := range [...]string{"_emscripten_tempret_set", "setTempRet0"} {
		if f.Guest.HasExport(name) {
			_, err := f.Guest.Call(name, uint64(v))
			f.Renew()
			return err
		}
	}
	h.exc.tempRet0 = v
	return nil
}

func getTempRet0(h *Host, f *abi.Frame) error {
	f.Result = uint64(h.exc.tempRet0)
	return nil
}

func setTempRet0(h *Host, f *abi.Frame) error {
	h.exc.tempRet0 = f.Word(0)
	return nil
}

func typeID(_ *Host, f *abi.Frame) error { f.Result = f.Args[0]; return nil }

func uncaught(h *Host, f *abi.Frame) error { f.Result = uint64(h.exc.uncaught); return nil }

func currentPrimary(h *Host, f *abi.Frame) error {
	n := len(h.exc.caught)
	if n == 0 {
		return nil
	}
	f.Result = h.exc.caught[n-1]
	return h.refer(f, f.Result)
}

func currentType(h *Host, f *abi.Frame) error {
	if n := len(h.exc.caught); n > 0 {
		f.Result = header{f, h.exc.caught[n-1]}.typ()
	}
	return bad(f)
}

func callUnexpected(h *Host, _ *abi.Frame) error {
	return h.aborted("an unexpected exception was thrown")
}

// allocateException is for the generations whose runtime made the headers.
func allocateException(h *Host, f *abi.Frame) error {
	size := hdrWords * f.PtrSize()
	at, err := h.allocate(f, size+f.Args[0])
	if err != nil {
		return err
	}
	if at == 0 {
		return h.aborted("no memory for an exception")
	}
	clear(f.Slice(at, size))
	f.Result = at + size
	return bad(f)
}

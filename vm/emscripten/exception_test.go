package emscripten

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"aorta/vm"
)

// Thrown objects and their types in the guests of these tests.
const (
	object, object2   = 0x1000, 0x1100
	typeInt, typeBase = 0x2000, 0x2010
	destructor        = 7
)

// cxx gives a guest what the C++ runtime exports, and logs the calls.
func cxx(g guest, refcount bool) *[]string {
	var log []string
	say := func(name string, args []uint64) uint64 {
		log = append(log, fmt.Sprintf("%s%x", name, args))
		return 0
	}
	g.Exports = map[string]func(...uint64) uint64{
		"setThrew":                func(a ...uint64) uint64 { return say("threw", a) },
		"_emscripten_tempret_set": func(a ...uint64) uint64 { return say("ret", a) },
		"__cxa_is_pointer_type":   func(a ...uint64) uint64 { return 0 },
		"__cxa_free_exception":    func(a ...uint64) uint64 { return say("free", a) },
		"dynCall_vi":              func(a ...uint64) uint64 { return say("destroy", a) },
		"dynCall_vj":              func(a ...uint64) uint64 { return say("destroy", a) },
		"__cxa_can_catch": func(a ...uint64) uint64 {
			if a[0] == typeBase && a[1] == typeInt {
				g.Mem.PutPtr(a[2], object+8) // the base is inside of the object
				return 1
			}
			return 0
		},
	}
	if refcount {
		g.Exports[increment] = func(a ...uint64) uint64 { return say("inc", a) }
		g.Exports[decrement] = func(a ...uint64) uint64 { return say("dec", a) }
	}
	return &log
}

func (g guest) eh(name string, args ...uint64) uint64 {
	g.TB.Helper()
	return g.Must("env", name, functions[name][0].pattern, args...)
}

func TestAThrownExceptionIsFoundCaughtAndDestroyed(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		log := cxx(g, false)
		g.eh("__cxa_throw", object, typeInt, destructor)
		if n := g.eh("__cxa_uncaught_exceptions"); n != 1 {
			t.Errorf("%d uncaught", n)
		}
		if got := g.Must("env", "__cxa_find_matching_catch_2", ":p"); got != object {
			t.Errorf("found %#x", got)
		}
		if got := g.Must("env", "__cxa_find_matching_catch_4", "pp:p", 0x9999, typeBase); got != object {
			t.Errorf("found %#x", got)
		}
		if got := g.eh("__cxa_begin_catch", object); got != object+8 {
			t.Errorf("the clause sees %#x", got)
		}
		if n := g.eh("__cxa_uncaught_exceptions"); n != 0 {
			t.Errorf("%d uncaught in the clause", n)
		}
		if got := g.eh("__cxa_current_exception_type"); got != typeInt {
			t.Errorf("its type is %#x", got)
		}
		state := h.Snapshot()
		if state == nil {
			t.Error("handling an exception is no state")
		}
		g.eh("__cxa_end_catch")
		want := []string{"ret[2000]", "ret[2010]", "threw[0 0]", "destroy[7 1000]", "free[1000]"}
		if diff := cmp.Diff(want, *log); diff != "" {
			t.Error(diff)
		}
		if h.Snapshot() != nil {
			t.Error("something is left of it")
		}
		if err := h.Restore(state); err != nil {
			t.Fatal(err)
		}
		if got := g.eh("__cxa_current_exception_type"); got != typeInt {
			t.Errorf("restored, its type is %#x", got)
		}
	})
}

func TestExceptionsCanBeThrownAgain(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		log := cxx(g, true)
		g.eh("__cxa_throw", object, typeInt, 0)
		g.eh("__cxa_begin_catch", object)
		g.eh("__cxa_rethrow")
		if n := g.eh("__cxa_uncaught_exceptions"); n != 1 {
			t.Errorf("%d uncaught", n)
		}
		g.eh("__cxa_end_catch") // the clause that it was thrown from
		g.eh("__resumeException", object)
		if got := g.Must("env", "__cxa_find_matching_catch_3", "p:p", typeInt); got != object {
			t.Errorf("found %#x", got)
		}
		g.eh("__cxa_begin_catch", object)
		if got := g.eh("__cxa_current_primary_exception"); got != object {
			t.Errorf("the current one is %#x", got)
		}
		g.eh("__cxa_end_catch")
		g.eh("__cxa_rethrow_primary_exception", object)
		if len(h.exc.caught) != 0 || h.exc.last != object {
			t.Errorf("%+v", h.exc)
		}
		g.eh("__cxa_rethrow_primary_exception", 0)
		want := []string{"inc[1000]", "threw[0 0]", "dec[1000]", "ret[2000]", "inc[1000]", "inc[1000]", "threw[0 0]", "dec[1000]"}
		if diff := cmp.Diff(want, *log); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPointersAreCaughtByValue(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		cxx(g, true)
		g.Exports["__cxa_is_pointer_type"] = func(...uint64) uint64 { return 1 }
		g.Mem.PutPtr(object, 0x4242)
		g.eh("__cxa_throw", object, typeInt, 0)
		if got := g.eh("__cxa_get_exception_ptr", object); got != 0x4242 {
			t.Errorf("caught %#x", got)
		}
	})
}

func TestWithoutAnExceptionThereIsNothingToCatch(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		if got := g.Must("env", "__cxa_find_matching_catch_3", "p:p", typeInt); got != 0 || g.eh("getTempRet0") != 0 {
			t.Errorf("found %#x", got)
		}
		if g.eh("__cxa_current_primary_exception") != 0 || g.eh("__cxa_current_exception_type") != 0 {
			t.Error("something is being handled")
		}
		g.eh("setTempRet0", 9)
		if g.eh("getTempRet0") != 9 {
			t.Error("the second result is lost")
		}
		if g.Must("env", "llvm_eh_typeid_for", "p:p", typeInt) != typeInt {
			t.Error("a type isn't its own number")
		}
		// A foreign exception has no type.
		g.eh("__resumeException", object2)
		if got := g.Must("env", "__cxa_find_matching_catch_3", "p:p", typeInt); got != object2 || g.eh("getTempRet0") != 0 {
			t.Errorf("foreign: found %#x", got)
		}
	})
}

func TestObjectsCanBeAllocatedWithTheirHeaders(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		g.Exports = map[string]func(...uint64) uint64{"malloc": func(a ...uint64) uint64 {
			if a[0] != 6*g.Mem.PtrSize()+10 {
				t.Errorf("allocates %d", a[0])
			}
			return object
		}}
		if got := g.eh("__cxa_allocate_exception", 10); got != object+6*g.Mem.PtrSize() {
			t.Errorf("allocated %#x", got)
		}
	})
}

func TestExceptionsOutsideOfMemoryEndTheCall(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		for _, c := range []struct {
			name string
			args []uint64
		}{
			{"__cxa_throw", []uint64{1 << 20, 1, 1}}, {"__cxa_throw", []uint64{4, 1, 1}}, {"__cxa_begin_catch", []uint64{1 << 20}},
			{"__cxa_get_exception_ptr", []uint64{1 << 20}},
		} {
			_, err := g.Try("env", c.name, functions[c.name][0].pattern, c.args...)
			var bad *vm.GuestError
			if !errors.As(err, &bad) {
				t.Errorf("%s%v: %v", c.name, c.args, err)
			}
		}
	})
}

func TestAnObjectThatCantBeDestroyedEndsTheCall(t *testing.T) {
	g, _ := newGuest(t, Options{}, false)
	g.eh("__cxa_throw", object, typeInt, destructor)
	g.eh("__cxa_begin_catch", object)
	_, err := g.Try("env", "__cxa_end_catch", ":")
	var bad *vm.GuestError
	if !errors.As(err, &bad) {
		t.Errorf("%v", err)
	}
}

package rewrite

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/bytecodealliance/wasmtime-go/v39"
)

// emscripten is a module as Emscripten links them, for pointers of type ptr
// and table indices of type at. f(i) invokes the function i of the table.
func emscripten(ptr, at, more string) string {
	memory, table := "1", "10 funcref"
	if ptr == "i64" {
		memory = "i64 1"
	}
	if at == "table64" {
		table, at = "i64 10 funcref", "i64"
	}
	return strings.NewReplacer("PTR", ptr, "MEMORY", memory, "TABLE", table, "INDEX", at, "MORE", more).Replace(`(module
	  (import "env" "invoke_vii" (func $invoke_vii (param INDEX i32 i32)))
	  (import "env" "other" (func $other))
	  (import "env" "invoke_i" (func $invoke_i (param INDEX) (result i32)))
	  (import "env" "invoke_j" (func $invoke_j (param INDEX) (result i64)))
	  (import "env" "invoke_d" (func $invoke_d (param INDEX) (result f64)))
	  (import "env" "invoke_f" (func $invoke_f (param INDEX) (result f32)))
	  (import "env" "_emscripten_throw_longjmp" (func $longjmp))
	  (import "env" "_emscripten_memcpy_js" (func $memcpy (param PTR PTR PTR)))
	  (memory (export "memory") MEMORY)
	  (table (export "__indirect_function_table") TABLE)
	  (global $sp (mut PTR) (PTR.const 1000))
	  (global $threw (export "threw") (mut i32) (i32.const 0))
	  (global $sum (export "sum") (mut i32) (i32.const 0))
	  (func (export "stackSave") (result PTR) (global.get $sp))
	  (func (export "stackRestore") (param PTR) (global.set $sp (local.get 0)))
	  (func (export "setThrew") (param PTR i32) (global.set $threw
	    (i32.add (global.get $threw) (i32.eq (local.get 1) (i32.const 0)))))
	  (func (export "sp") (result PTR) (global.get $sp))
	  (func $push (global.set $sp (PTR.sub (global.get $sp) (PTR.const 16))))
	  (func $add (param i32 i32) (call $push)
	    (global.set $sum (i32.add (local.get 0) (i32.mul (i32.const 10) (local.get 1)))))
	  (func $jump (param i32 i32) (call $push) (call $longjmp))
	  (func $trap (param i32 i32) unreachable)
	  (func $seven (result i32) (i32.const 7))
	  (func $jumpi (result i32) (call $longjmp) (i32.const 1))
	  (func $jumpj (result i64) (call $longjmp) (i64.const 1))
	  (func $jumpd (result f64) (call $longjmp) (f64.const 1))
	  (func $jumpf (result f32) (call $longjmp) (f32.const 1))
	  (elem (table 0) (offset (REF.const 1)) func $add $jump $trap $seven $jumpi $jumpj $jumpd $jumpf $other)
	  (func (export "vii") (param INDEX) (call $invoke_vii (local.get 0) (i32.const 3) (i32.const 4)))
	  (func (export "i") (param INDEX) (result i32) (call $invoke_i (local.get 0)))
	  (func (export "j") (param INDEX) (result i64) (call $invoke_j (local.get 0)))
	  (func (export "d") (param INDEX) (result i64) (i64.reinterpret_f64 (call $invoke_d (local.get 0))))
	  (func (export "f") (param INDEX) (result i32) (i32.reinterpret_f32 (call $invoke_f (local.get 0))))
	  (func (export "jump") (call $longjmp))
	  (func (export "copy") (param PTR PTR PTR) (call $memcpy (local.get 0) (local.get 1) (local.get 2)))
	  MORE)`)
}

// widths are the pointers and indices that Emscripten has had.
var widths = []struct{ ptr, index string }{{"i32", "i32"}, {"i64", "i64"}, {"i64", "table64"}}

func value(typ string, n int64) any {
	if typ == "i32" {
		return int32(n)
	}
	return n
}

func emscriptenGuest(t *testing.T, ptr, index, more string) *guest {
	text := emscripten(ptr, index, more)
	offset := "i32"
	if index == "table64" {
		offset = "i64"
	}
	return run(t, strings.ReplaceAll(text, "REF.const", offset+".const"), map[string]any{"other": func() {}})
}

func TestInvocationsEndLongjmpAsJavaScriptDid(t *testing.T) {
	for _, w := range widths {
		for _, own := range []string{"", `(tag $own) (func $own (param i32 i32) (call $push) (throw $own)) (elem (table 0) (offset (REF.const 0)) func $own)`} {
			t.Run(fmt.Sprint(w, own != ""), func(t *testing.T) {
				g := emscriptenGuest(t, w.ptr, w.index, own)
				at := func(i int64) any { return value(w.index, i) }
				g.want(nil, "vii", at(1))
				if g.global("sum") != int32(43) || g.global("threw") != int32(0) {
					t.Errorf("sum %v, threw %v after a call that returned", g.global("sum"), g.global("threw"))
				}
				g.want(value(w.ptr, 984), "sp")
				g.want(nil, "vii", at(2))
				g.want(value(w.ptr, 984), "sp") // as it was before the call
				if g.global("threw") != int32(1) {
					t.Errorf("threw %v after a longjmp", g.global("threw"))
				}
				g.want(int32(7), "i", at(4))
				g.want(int32(0), "i", at(5))
				g.want(int64(0), "j", at(6))
				g.want(int64(0x7ff8000000000000), "d", at(7))
				g.want(int32(0x7fc00000), "f", at(8))
				if g.global("threw") != int32(5) {
					t.Errorf("threw %v after five longjmps", g.global("threw"))
				}
				g.traps(wasmtime.UnreachableCodeReached, "vii", at(3))
				g.throws("jump")
				if own != "" {
					g.throws("vii", at(0))
					g.want(value(w.ptr, 984), "sp")
				}
				// No function, another type of function, no entry.
				if own == "" {
					g.traps(wasmtime.IndirectCallToNull, "vii", at(0))
				}
				g.traps(wasmtime.BadSignature, "vii", at(4))
				g.traps(wasmtime.TableOutOfBounds, "vii", at(10))
				switch w.index {
				case "i32":
					g.traps(wasmtime.TableOutOfBounds, "i", int32(-1))
				case "i64":
					g.traps(wasmtime.UnreachableCodeReached, "i", int64(1<<32+4))
				case "table64":
					g.traps(wasmtime.TableOutOfBounds, "i", int64(1<<32+4))
				}
			})
		}
	}
}

func (g *guest) bytes() []byte {
	return g.in.GetExport(g.store, g.info.Memory.Export).Memory().UnsafeData(g.store)
}

// TestCopiesClampAsJavaScriptDid compares with what copyWithin does by its
// definition, on addresses as Emscripten converts them.
func TestCopiesClampAsJavaScriptDid(t *testing.T) {
	const size = 65536
	edges := []int64{0, 1, 5, 8, size - 4, size - 1, size, size + 1, 1 << 20, math.MaxInt32, math.MinInt32, -1, -4}
	for _, w := range widths {
		g := emscriptenGuest(t, w.ptr, w.index, "")
		mem := g.bytes()
		for _, dst := range edges {
			for _, src := range edges {
				for _, n := range edges {
					for i := range mem {
						mem[i] = byte(i * 7)
					}
					want := slices.Clone(mem)
					from, to, end := dst, src, src+n
					if w.ptr == "i32" {
						from, to, end = int64(uint32(dst)), int64(uint32(src)), int64(uint32(src+n))
					} else if dst < 0 || src < 0 {
						continue // no address at all, and then JavaScript's count from the end
					}
					if end = min(end, size); to < end && from < size {
						copy(want[from:], slices.Clone(want[to:end]))
					}
					g.want(nil, "copy", value(w.ptr, dst), value(w.ptr, src), value(w.ptr, n))
					if !slices.Equal(mem, want) {
						t.Fatalf("copy(%d, %d, %d) with %s pointers differs", dst, src, n, w.ptr)
					}
				}
			}
		}
	}
}

func TestRecordedExceptionsAreThrownByTheModule(t *testing.T) {
	var seen []string
	g := run(t, `(module
	  (import "env" "invoke_v" (func $invoke_v (param i32)))
	  (import "env" "__cxa_throw" (func $throw (param i32 i32 i32)))
	  (import "env" "__cxa_rethrow" (func $rethrow))
	  (import "env" "__resumeException" (func $resume (param i32)))
	  (import "env" "__cxa_rethrow_primary_exception" (func $primary (param i32)))
	  (import "env" "__cxa_begin_catch" (func $begin (param i32) (result i32)))
	  (memory 1) (table (export "__indirect_function_table") 5 funcref)
	  (global $threw (export "threw") (mut i32) (i32.const 0))
	  (func (export "emscripten_stack_get_current") (result i32) (i32.const 0))
	  (func (export "_emscripten_stack_restore") (param i32))
	  (func (export "setThrew") (param i32 i32) (global.set $threw (i32.add (global.get $threw) (local.get 0))))
	  (func $t0 (call $throw (i32.const 1) (i32.const 2) (i32.const 3)) unreachable)
	  (func $t1 (call $rethrow) unreachable)
	  (func $t2 (call $resume (i32.const 4)) unreachable)
	  (func $t3 (call $primary (i32.const 5)) unreachable)
	  (func $t4 (call $primary (i32.const 0)))
	  (elem (i32.const 0) func $t0 $t1 $t2 $t3 $t4)
	  (func (export "run") (param i32) (result i32) (call $invoke_v (local.get 0)) (call $begin (i32.const 9))))`,
		map[string]any{
			"__cxa_throw":                     func(a, b, c int32) { seen = append(seen, fmt.Sprint("throw ", a, b, c)) },
			"__cxa_rethrow":                   func() { seen = append(seen, "rethrow") },
			"__resumeException":               func(a int32) { seen = append(seen, fmt.Sprint("resume ", a)) },
			"__cxa_rethrow_primary_exception": func(a int32) { seen = append(seen, fmt.Sprint("primary ", a)) },
			"__cxa_begin_catch":               func(a int32) int32 { return a + 1 },
		})
	for i, want := range []string{"throw 1 2 3", "rethrow", "resume 4", "primary 5", "primary 0"} {
		g.want(int32(10), "run", int32(i))
		if len(seen) != i+1 || seen[i] != want {
			t.Fatalf("after call %d the host saw %q", i, seen)
		}
		if threw := g.global("threw"); threw != int32(min(i+1, 4)) {
			t.Errorf("call %d: threw is %v", i, threw)
		}
	}
	lowered := []string{"env.invoke_v", "env.__cxa_throw", "env.__cxa_rethrow", "env.__resumeException", "env.__cxa_rethrow_primary_exception"}
	if !slices.Equal(g.info.Lowered, lowered) {
		t.Errorf("lowered %q", g.info.Lowered)
	}
}

func TestImportsStayWhereTheModuleLacksWhatReplacesThem(t *testing.T) {
	whole := strings.ReplaceAll(emscripten("i32", "i32", ""), "REF.const", "i32.const")
	for _, c := range []struct {
		lacks, from, to string
		kept            []string
	}{
		{"nothing", "", "", []string{"other"}},
		{"a table", `(export "__indirect_function_table")`, "", []string{"invoke_vii", "other", "invoke_i", "invoke_j", "invoke_d", "invoke_f", "_emscripten_throw_longjmp"}},
		{"setThrew", `(export "setThrew")`, "", []string{"invoke_vii", "other", "invoke_i", "invoke_j", "invoke_d", "invoke_f", "_emscripten_throw_longjmp"}},
		{"a stack pointer of the right type", `(func (export "stackRestore") (param i32) (global.set $sp (local.get 0)))`, `(func (export "stackRestore") (param i64))`,
			[]string{"invoke_vii", "other", "invoke_i", "invoke_j", "invoke_d", "invoke_f", "_emscripten_throw_longjmp"}},
		{"a copy of the right type", `(func $memcpy (param i32 i32 i32))`, `(func $memcpy (param i32 i32 i32) (result i32))`, nil},
	} {
		t.Run(c.lacks, func(t *testing.T) {
			text := strings.Replace(whole, c.from, c.to, 1)
			if c.kept == nil {
				text = strings.Replace(text, "(local.get 2))\n", "(local.get 2)) drop\n", 1)
				text = strings.Replace(text, "(call $memcpy (local.get 0) (local.get 1) (local.get 2)))", "(drop (call $memcpy (local.get 0) (local.get 1) (local.get 2))))", 1)
				text = strings.Replace(text, ") drop\n", ")\n", 1)
				c.kept = []string{"other", "_emscripten_memcpy_js"}
			}
			var kept []string
			for _, imp := range rewritten(t, wat(t, text)).Imports {
				kept = append(kept, imp.Name)
			}
			if !slices.Equal(kept, c.kept) {
				t.Errorf("imports %q, want %q", kept, c.kept)
			}
		})
	}
}

// TestEveryCycleOfCodePolls counts the places where modules can be
// interrupted.
func TestEveryCycleOfCodePolls(t *testing.T) {
	for _, c := range []struct {
		name, text string
		polls      int
	}{
		{"straight code", `(module (func $a call $b) (func $b))`, 0},
		{"a loop", `(module (func loop br 0 end))`, 1},
		{"a loop with a parameter", `(module (func i32.const 1 loop (param i32) drop i32.const 1 br 0 end))`, 1},
		{"a loop beside a handler", `(module (func loop try br 1 catch_all end end))`, 1},
		{"recursion", `(module (func $a call $a))`, 1},
		{"recursion by a tail call", `(module (func $a return_call $a))`, 1},
		{"recursion through another", `(module (func $a call $b) (func $b call $c) (func $c call $a))`, 1},
		{"recursion beside a handler", `(module (func $a try call $a catch_all end))`, 1},
		{"a call of anything", `(module (table 1 funcref) (func (call_indirect (i32.const 0))))`, 1},
		{"a tail call of anything", `(module (table 1 funcref) (func (return_call_indirect (i32.const 0))))`, 1},
		{"an invocation", `(module (import "env" "invoke_v" (func $invoke (param i32)))
		  (memory 1) (table (export "__indirect_function_table") 1 funcref) (elem (i32.const 0) func $f)
		  (func (export "stackSave") (result i32) (i32.const 0)) (func (export "stackRestore") (param i32))
		  (func (export "setThrew") (param i32 i32))
		  (func $f (call $invoke (i32.const 0))))`, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := rewritten(t, wat(t, c.text))
			p := plan{module: &module{}}
			if strings.Contains(c.text, "(memory") {
				p.poll = 1
			}
			if n := bytes.Count(m.Wasm, p.polling(nil)); n != c.polls {
				t.Errorf("%d polls, want %d", n, c.polls)
			}
			start(t, newEngine(t), m, nil)
		})
	}
}

package rewrite

import (
	"slices"
	"strings"
	"testing"

	"github.com/bytecodealliance/wasmtime-go/v39"
	"github.com/google/go-cmp/cmp"

	"aorta/vm/wasm/internal/wasmtimex"
)

func TestAllStateIsReachable(t *testing.T) {
	g := run(t, `(module
	  (memory 2 5) (table $fixed (export "own") 2 funcref) (table $open 1 9 funcref) (table 3 externref)
	  (global i32 (i32.const 1)) (global $a (mut i64) (i64.const 7)) (global (export "b") (mut f32) (f32.const 2))
	  (global $ref (mut funcref) (ref.func $f))
	  (func $f) (func $g (export "g") (param i32) (result i64) (i64.const 3)) (func $h)
	  (elem (table $fixed) (i32.const 0) func $f)
	  (elem declare func $g)
	  (func (export "set") (table.set $open (i32.const 0) (ref.func $g)) (global.set $a (i64.const 9))))`, nil)
	want := &Module{
		Exports: []Export{
			{Name: "own", Kind: ExternTable}, {Name: "b", Kind: ExternGlobal},
			{Name: "g", Kind: ExternFunc, Params: []ValueType{I32}, Results: []ValueType{I64}},
			{Name: "set", Kind: ExternFunc, Params: []ValueType{}, Results: []ValueType{}},
		},
		Memory:    &Memory{Export: "aorta.memory", Min: 2, Max: 5},
		Globals:   []Global{{"aorta.global1", I64}, {"b", F32}, {"aorta.global3", FuncRef}},
		Tables:    []Table{{"own", FuncRef, 2, 1<<32 - 1, false}, {"aorta.table1", FuncRef, 1, 9, true}, {"aorta.table2", ExternRef, 3, 1<<32 - 1, false}},
		Functions: []Function{{0, "aorta.func0"}, {1, "aorta.func1"}},
		Poll:      "aorta.poll",
	}
	got := *g.info
	got.Wasm = nil
	if diff := cmp.Diff(want, &got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	g.want(nil, "set")
	if v := g.global("aorta.global1"); v != int64(9) {
		t.Errorf("global 1 is %v", v)
	}
	// The functions that tables hold are those that are exported.
	entry, err := g.in.GetExport(g.store, "aorta.table1").Table().Get(g.store, 0)
	if err != nil {
		t.Fatal(err)
	}
	if wasmtimex.FuncToRaw(g.store, entry.Funcref()) != wasmtimex.FuncToRaw(g.store, g.in.GetFunc(g.store, "aorta.func1")) {
		t.Error("the table doesn't hold the function that is exported for it")
	}
	if n := g.in.GetExport(g.store, g.info.Poll).Memory().Size(g.store); n != 1 {
		t.Errorf("the poll memory has %d pages", n)
	}
}

func TestTablesAreMutableWhereCodeChangesThem(t *testing.T) {
	for code, mutable := range map[string]bool{
		``:                                 false,
		`(drop (table.get (i32.const 0)))`: false,
		`(drop (table.size))`:              false,
		`(table.set (i32.const 0) (ref.null func))`:                       true,
		`(drop (table.grow (ref.null func) (i32.const 1)))`:               true,
		`(table.fill (i32.const 0) (ref.null func) (i32.const 1))`:        true,
		`(table.init $e (i32.const 0) (i32.const 0) (i32.const 1))`:       true,
		`(table.copy (i32.const 0) (i32.const 0) (i32.const 1))`:          true,
		`(table.copy $other 0 (i32.const 0) (i32.const 0) (i32.const 1))`: false,
		`(table.copy 0 $other (i32.const 0) (i32.const 0) (i32.const 1))`: true,
	} {
		m := rewritten(t, wat(t, `(module (table 4 funcref) (table $other 4 funcref) (elem $e func 0) (func `+code+`))`))
		if m.Tables[0].Mutable != mutable {
			t.Errorf("%s: mutable is %v", code, m.Tables[0].Mutable)
		}
		anyMutable := m.Tables[0].Mutable || m.Tables[1].Mutable
		if listed := len(m.Functions) > 0; listed != anyMutable {
			t.Errorf("%s: functions are listed: %v", code, listed)
		}
	}
}

func TestDropsAreNotedAndCanBeRepeated(t *testing.T) {
	const text = `(module (memory 1) (table 1 funcref)
	  (data $d0 "abc") (data $d1 "xyz") (elem $e0 func $f) (elem $e1 func $f)
	  (func $f)
	  (func (export "data") (memory.init $d1 (i32.const 0) (i32.const 0) (i32.const 1)))
	  (func (export "elem") (table.init $e0 (i32.const 0) (i32.const 0) (i32.const 1)))
	  (func (export "drop") (data.drop $d1) (elem.drop $e0)))`
	g := run(t, text, nil)
	want := []Segment{{"aorta.dropped.data1", "aorta.drop.data1"}, {"aorta.dropped.elem0", "aorta.drop.elem0"}}
	if !slices.Equal(g.info.Segments, want) {
		t.Fatalf("segments %v", g.info.Segments)
	}
	for _, s := range want {
		if !slices.Contains(g.info.Globals, Global{s.Flag, I32}) {
			t.Errorf("%s isn't among the globals %v", s.Flag, g.info.Globals)
		}
		if g.global(s.Flag) != int32(0) {
			t.Errorf("%s is set", s.Flag)
		}
	}
	g.want(nil, "data")
	g.want(nil, "elem")
	g.want(nil, "drop")
	for _, s := range want {
		if g.global(s.Flag) != int32(1) {
			t.Errorf("%s isn't set", s.Flag)
		}
	}
	g.traps(wasmtime.MemoryOutOfBounds, "data")
	g.traps(wasmtime.TableOutOfBounds, "elem")

	fresh := run(t, text, nil)
	for _, s := range want {
		fresh.want(nil, s.Drop)
	}
	fresh.traps(wasmtime.MemoryOutOfBounds, "data")
	fresh.traps(wasmtime.TableOutOfBounds, "elem")
}

func TestRefusedGrowthIsTold(t *testing.T) {
	for _, w := range []struct{ ptr, memory string }{{"i32", "1 3"}, {"i64", "i64 1 3"}} {
		g := run(t, strings.NewReplacer("PTR", w.ptr, "MEMORY", w.memory).Replace(`(module (memory MEMORY)
		  (func (export "grow") (param PTR) (result PTR) (memory.grow (local.get 0))))`), nil)
		g.want(value(w.ptr, 1), "grow", value(w.ptr, 1))
		if v := g.global(g.info.Refused); v != int64(0) {
			t.Errorf("%v pages were refused", v)
		}
		g.want(value(w.ptr, -1), "grow", value(w.ptr, 7))
		if v := g.global(g.info.Refused); v != int64(7) {
			t.Errorf("%v pages were refused, want 7", v)
		}
		if w.ptr == "i32" {
			g.want(int32(-1), "grow", int32(-1))
			if v := g.global(g.info.Refused); v != int64(1<<32-1) {
				t.Errorf("%v pages were refused, want all", v)
			}
		}
	}
}

// TestFunctionsKeepTheirIdentity calls through everything that names a
// function by its index, in a module whose first imports disappear.
func TestFunctionsKeepTheirIdentity(t *testing.T) {
	const text = `(module $m
	  (import "env" "_emscripten_memcpy_js" (func $copy (param i32 i32 i32)))
	  (import "env" "host" (func $host (param i32) (result i32)))
	  (memory 1) (table $t 20 funcref)
	  (global $a (mut funcref) (ref.func $two)) (global $b funcref (ref.func $copy))
	  (global $started (export "started") (mut i32) (i32.const 0))
	  (start $start)
	  (func $start (global.set $started (i32.const 1)))
	  (func $one (result i32) (i32.const 1))
	  (func $two (result i32) (i32.const 2))
	  (func $three (result i32) (call $host (i32.const 3)))
	  (elem (i32.const 0) func $one $two $three)
	  (elem (i32.const 3) funcref (ref.func $two) (ref.null func) (item ref.func $three) (ref.func $copy))
	  (elem (table $t) (i32.const 7) func $three)
	  (elem (table $t) (i32.const 8) funcref (ref.func $one))
	  (elem $p func $one $two) (elem $q funcref (ref.func $three) (ref.func $host))
	  (elem declare func $copy) (elem declare funcref (ref.func $copy))
	  (func (export "init") (table.init $p (i32.const 10) (i32.const 0) (i32.const 2)) (table.init $q (i32.const 12) (i32.const 0) (i32.const 2))
	    (table.set (i32.const 14) (global.get $a)) (table.set (i32.const 15) (ref.func $three)))
	  (func (export "at") (param i32) (result i32) (call_indirect (result i32) (local.get 0)))
	  (func (export "host") (param i32) (result i32) (call_indirect (param i32) (result i32) (i32.const 9) (local.get 0)))
	  (func (export "tail") (result i32) (return_call $three))
	  (func (export "copy") (result i32) (i32.store8 (i32.const 5) (i32.const 77)) (call_indirect (param i32 i32 i32) (i32.const 9) (i32.const 5) (i32.const 1) (i32.const 6))
	    (i32.load8_u (i32.const 9))))`
	g := run(t, text, map[string]any{"host": func(x int32) int32 { return 100 + x }})
	if g.global("started") != int32(1) {
		t.Error("the start function didn't run")
	}
	g.want(nil, "init")
	for i, want := range map[int32]int32{0: 1, 1: 2, 2: 103, 3: 2, 5: 103, 7: 103, 8: 1, 10: 1, 11: 2, 12: 103, 14: 2, 15: 103} {
		g.want(want, "at", i)
	}
	g.traps(wasmtime.IndirectCallToNull, "at", int32(4))
	g.want(int32(109), "host", int32(13))
	g.want(int32(103), "tail")
	g.want(int32(77), "copy")
}

func TestTrapsNameTheFunctionsOfTheModule(t *testing.T) {
	g := run(t, `(module
	  (import "env" "_emscripten_memcpy_js" (func $copy (param i32 i32 i32)))
	  (memory 1)
	  (func $inner unreachable)
	  (func $outer (export "f") try call $inner catch_all rethrow 0 end))`, nil)
	_, err := g.call("f")
	if err == nil {
		t.Fatal("no trap")
	}
	var names []string
	for _, f := range err.(*wasmtime.Trap).Frames() {
		names = append(names, *f.FuncName())
	}
	if !slices.Equal(names, []string{"inner", "outer"}) {
		t.Errorf("frames %q", names)
	}
}

// TestBrokenNamesAreNoFault holds for every custom section.
func TestBrokenNamesAreNoFault(t *testing.T) {
	plain := wat(t, `(module (func (export "f")))`)
	for _, custom := range []string{"\x04name\x01\x7f\x01", "\x04name\x01\x05\x01\x00\x02\xff\xfe", "\xff\xff\x03", "", "\x04name\x01\x04\x01\x63\x01a"} {
		section := append([]byte{0, byte(len(custom))}, custom...)
		m := rewritten(t, append(slices.Clone(plain), section...))
		start(t, newEngine(t), m, nil)
	}
}

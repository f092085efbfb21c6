package rewrite

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bytecodealliance/wasmtime-go/v39"
)

// TestThrowingUsesNothingUp throws often under a limit on all memories of the
// store, the engine's own for exceptions included.
func TestThrowingUsesNothingUp(t *testing.T) {
	const times = 200_000
	for name, text := range map[string]string{
		"legacy": withTags(`(func (export "f") (param i32) (result i32) (local i32)
		  loop
		    try
		      try
		        i64.const 1
		        local.get 0
		        throw $b
		      catch_all
		        try
		          i32.const 5
		          throw $a
		        catch $a
		          drop
		        end
		        rethrow 0
		      end
		    catch $b
		      local.get 1
		      i32.add
		      local.set 1
		      drop
		    end
		    local.get 0
		    i32.const 1
		    i32.sub
		    local.tee 0
		    br_if 0
		  end
		  local.get 1)`),
		"longjmp": `(module (import "env" "invoke_v" (func $invoke (param i32))) (import "env" "_emscripten_throw_longjmp" (func $jump))
		  (memory 1) (table (export "__indirect_function_table") 1 funcref) (elem (i32.const 0) func $jump)
		  (func (export "stackSave") (result i32) (i32.const 0)) (func (export "stackRestore") (param i32))
		  (global $sum (mut i32) (i32.const 0))
		  (func (export "setThrew") (param i32 i32) (global.set $sum (i32.add (global.get $sum) (local.get 0))))
		  (func (export "f") (param i32) (result i32)
		    (loop (call $invoke (i32.const 0)) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
			(global.get $sum)))`,
	} {
		t.Run(name, func(t *testing.T) {
			g := run(t, text, nil)
			g.store.Limiter(1<<20, -1, -1, -1, -1)
			sum := int64(times)
			if name == "legacy" {
				sum = times * (times + 1) / 2
			}
			g.want(int32(sum), "f", int32(times))
			if g.info.Leaks {
				t.Error("it is said to leak")
			}
		})
	}
}

func TestOnlyFinalExceptionsLeak(t *testing.T) {
	for code, leaks := range map[string]bool{
		``:                false,
		`(func throw $n)`: false,
		`(func try throw $n catch_all rethrow 0 end)`:                                 false,
		`(func block $h try_table (catch $n $h) throw $n end end)`:                    true,
		`(func (param exnref) local.get 0 throw_ref)`:                                 true,
		`(func try throw $n catch_all end block $h try_table (catch_all $h) end end)`: true,
	} {
		if m := rewritten(t, wat(t, `(module (tag $n) `+code+`)`)); m.Leaks != leaks {
			t.Errorf("%s: leaks is %v", code, m.Leaks)
		}
	}
}

// TestExceptionsCarryAllTypes throws what shares slots with what else is
// thrown in between.
func TestExceptionsCarryAllTypes(t *testing.T) {
	g := run(t, `(module
	  (tag $all (param i32 f32 i32 v128 f64 i64 i32 funcref externref i64)) (tag $some (param i64 i32)) (tag $refs (param funcref i32 funcref))
	  (func $seven (result i32) (i32.const 7)) (func $eight (result i32) (i32.const 8)) (elem declare func $seven $eight)
	  (table 2 funcref)
	  (func $throw
	    i32.const 1 f32.const 2 i32.const 3 v128.const i32x4 4 5 6 7 f64.const 8 i64.const 9 i32.const 10 ref.func $seven ref.null extern i64.const 11
	    throw $all)
	  (func $others
	    try i64.const 90 i32.const 91 throw $some catch $some drop drop end
	    try ref.func $eight i32.const 92 ref.func $eight throw $refs catch $refs drop drop drop end)
	  (func $deep try call $throw catch_all call $others rethrow 0 end)
	  (func (export "f") (result i32 f32 i32 i32 f64 i64 i32 i32 i64) (local $r funcref) (local $v v128) (local $a i64) (local $x i32) (local $b i64) (local $c f64)
	    try (result i32 f32 i32 v128 f64 i64 i32 funcref externref i64)
	      call $deep
	      unreachable
	    catch $all
	    end
	    local.set $a drop local.set $r local.set $x local.set $b local.set $c local.set $v
	    local.get $v i32x4.extract_lane 3 local.get $c local.get $b local.get $x
	    i32.const 0 local.get $r table.set 0
	    i32.const 0 call_indirect (result i32)
	    local.get $a))`, nil)
	out, err := g.call("f")
	if err != nil {
		t.Fatal(err)
	}
	var got []any
	for _, v := range out.([]wasmtime.Val) {
		got = append(got, v.Get())
	}
	want := []any{int32(1), float32(2), int32(3), int32(7), float64(8), int64(9), int32(10), int32(7), int64(11)}
	if fmt.Sprintf("%T%[1]v", got) != fmt.Sprintf("%T%[1]v", want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestStartFunctionsMayThrow(t *testing.T) {
	g := run(t, withTags(`(global $g (export "g") (mut i32) (i32.const 0)) (start $s)
	  (func $s try i32.const 1 call $throw catch $a global.set $g end)`), nil)
	if v := g.global("g"); v != int32(10) {
		t.Errorf("the start function got %v", v)
	}
}

// TestCarryingMuchStaysBounded has each byte of code become many.
func TestCarryingMuchStaysBounded(t *testing.T) {
	wasm := wat(t, `(module (tag $much (param`+strings.Repeat(" i32", 500)+`)) (func unreachable `+strings.Repeat("throw $much ", 20_000)+`))`)
	_, err := Rewrite(wasm, Options{})
	refused(t, err, Oversize, "once it is rewritten")
}

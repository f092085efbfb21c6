package rewrite

import (
	"errors"
	"strings"
	"testing"

	"github.com/bytecodealliance/wasmtime-go/v39"
)

// FuzzRewrite holds that nothing crashes Rewrite, that its refusals are one
// line, and that what it makes of a valid module is valid.
func FuzzRewrite(f *testing.F) {
	for _, text := range []string{
		`(module)`,
		withTags(`(memory 1) (func (export "f") (param i32) try local.get 0 call $throw catch $a drop catch_all rethrow 0 end)`),
		withTags(`(func (param i32) try try local.get 0 call $throw delegate 0 catch_all end)`),
		withTags(`(func (result i32) i32.const 1 try (param i32) (result i32) try (param i32) (result i32) call $throw i32.const 1 delegate 1 catch $a end)`),
		withTags(`(func (result i32) block $h (result i32 exnref) try_table (catch_ref $a $h) i32.const 1 call $throw end unreachable end drop)`),
		`(module (memory 1 2) (table 3 funcref) (elem $e func 0) (data $d "x") (func data.drop $d elem.drop $e
		  (drop (memory.grow (i32.const 1))) (table.set (i32.const 0) (ref.func 0)) (call_indirect (i32.const 0)) loop br 0 end))`,
		`(module (memory i64 1 2) (table i64 3 9 externref) (global (mut f64) (f64.const nan)) (start 0) (func) (export "x" (func 0)))`,
		`(module (func (param v128) (result v128) (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 (local.get 0) (v128.const i64x2 1 2))))`,
		`(module (table 2 2 funcref (ref.func 0)) (elem (i32.const 0) funcref (ref.func 0) (ref.null func)) (func (select (result i32) (i32.const 1) (i32.const 2) (i32.const 0)) drop))`,
		strings.ReplaceAll(emscripten("i32", "i32", `(tag $own)`), "REF.const", "i32.const"),
		strings.ReplaceAll(emscripten("i64", "table64", ``), "REF.const", "i64.const"),
	} {
		f.Add(wat(f, text))
	}
	for seed := range uint64(20) {
		f.Add(wat(f, newProgram(3, seed, true)))
	}
	e := newEngine(f)
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := Rewrite(wasm, Options{Limits: Limits{ModuleBytes: 1 << 20}})
		if err != nil {
			var r *Error
			if !errors.As(err, &r) || strings.ContainsAny(err.Error(), "\n\r") {
				t.Fatalf("%q is no refusal", err)
			}
			return
		}
		if wasmtime.ModuleValidate(e, wasm) != nil {
			return
		}
		if err := wasmtime.ModuleValidate(e, m.Wasm); err != nil {
			t.Fatalf("a valid module became an invalid one: %v", err)
		}
	})
}

package rewrite

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bytecodealliance/wasmtime-go/v39"

	"aorta/vm/wasm/internal/wasmtimex"
)

func TestLabGC(t *testing.T) {
	for _, form := range []string{
		`(block $h (try_table (catch $t $h) (throw $t)) (unreachable))`,
		`(block $h (result exnref) (try_table (catch_ref $t $h) (throw $t)) (unreachable)) drop`,
		`(block $h (try_table (catch_all $h) (throw $t)) (unreachable))`,
		`(block $h (try_table (catch_all $h) (call $f)) (unreachable))`,
		`(call $g)`,
	} {
		c := wasmtime.NewConfig()
		c.SetWasmMultiMemory(true)
		wasmtimex.EnableExceptions(c)
		e := wasmtime.NewEngineWithConfig(c)
		s := wasmtime.NewStore(e)
		s.Limiter(1<<20, -1, -1, -1, -1)
		b, err := wasmtime.Wat2Wasm(`(module (tag $t ) (func $f throw $t)
		  (func $g (block $h (try_table (catch_all $h) (call $f)) (unreachable)))
		 (func (export "f") (param i32) 
		  (loop $l
		   ` + form + `
			(br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
			))`)
		if err != nil {
			t.Fatal(err)
		}
		m, err := wasmtime.NewModule(e, b)
		if err != nil {
			t.Fatal(err)
		}
		i, err := wasmtime.NewInstance(s, m, nil)
		if err != nil {
			t.Fatal(err)
		}
		f := i.GetFunc(s, "f")
		short := func(err error) string {
			if err == nil {
				return "ok"
			}
			if k := strings.Index(err.Error(), "GC heap"); k > 0 {
				return err.Error()[k:][:40]
			}
			return err.Error()
		}
		out := form + ": "
		for k := range 6 {
			_, err := f.Call(s, int32(10000))
			out += short(err) + "; "
			if k > 2 {
				s.GC()
			}
		}
		_, err = f.Call(s, int32(100000))
		fmt.Println(out + "BIG " + short(err))
	}
}

package rewrite

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bytecodealliance/wasmtime-go/v39"
)

// withTags is a module with three tags and functions that throw them.
func withTags(code string) string {
	return `(module
	  (tag $a (param i32)) (tag $b (param i64 i32)) (tag $n)
	  (func $throw (param i32)
	    (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $a (i32.const 10))))
	    (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $b (i64.const 5) (i32.const 20))))
	    (if (i32.eq (local.get 0) (i32.const 3)) (then (throw $n)))
	    (if (i32.eq (local.get 0) (i32.const 4)) (then unreachable)))
	  ` + code + `)`
}

func TestLegacyHandlersDoAsBefore(t *testing.T) {
	const thrown, trapped = -1, -2
	for _, c := range []struct {
		name string
		code string
		want map[int32]int32 // result by what is thrown
	}{
		{"a handler takes the payload", `
			try (result i32)
			  local.get 0
			  call $throw
			  i32.const 1
			catch $a
			end`, map[int32]int32{0: 1, 1: 10, 2: thrown, 3: thrown, 4: trapped}},
		{"each tag has its handler", `
			try (result i32)
			  local.get 0
			  call $throw
			  i32.const 1
			catch $a
			  i32.const 1000
			  i32.add
			catch $b
			  local.set 1
			  i32.wrap_i64
			  local.get 1
			  i32.add
			catch_all
			  i32.const 7
			end`, map[int32]int32{0: 1, 1: 1010, 2: 25, 3: 7, 4: trapped}},
		{"the first of two handlers for a tag wins", `
			try (result i32)
			  local.get 0
			  call $throw
			  i32.const 1
			catch $a
			  drop
			  i32.const 2
			catch $a
			  drop
			  i32.const 3
			end`, map[int32]int32{1: 2}},
		{"an exception in a handler is not that try's", `
			try (result i32)
			  try (result i32)
			    local.get 0
			    call $throw
			    i32.const 1
			  catch $a
			    throw $a
			  end
			catch $a
			  i32.const 1
			  i32.add
			end`, map[int32]int32{0: 1, 1: 11}},
		{"rethrow keeps the exception of an outer handler through an inner one", `
			try (result i32)
			  try (result i32)
			    local.get 0
			    call $throw
			    i32.const 1
			  catch_all
			    try
			      i32.const 99
			      throw $a
			    catch $a
			      drop
			      rethrow 1
			    end
			    unreachable
			  end
			catch $b
			  local.set 1
			  drop
			  local.get 1
			end`, map[int32]int32{0: 1, 1: thrown, 2: 20, 3: thrown}},
		{"rethrow of the inner handler throws the inner exception", `
			try (result i32)
			  try (result i32)
			    local.get 0
			    call $throw
			    i32.const 1
			  catch_all
			    try
			      i32.const 99
			      throw $a
			    catch $a
			      drop
			      rethrow 0
			    end
			    unreachable
			  end
			catch $a
			end`, map[int32]int32{0: 1, 1: 99, 2: 99, 3: 99}},
		{"two handlers within each other keep an exception each", `
			try (result i32)
			  try (result i32)
			    local.get 0
			    call $throw
			    i32.const 1
			  catch_all
			    try
			      i32.const 99
			      throw $a
			    catch_all
			      local.get 0
			      i32.const 3
			      i32.eq
			      if
			        rethrow 1
			      end
			      rethrow 1
			    end
			    unreachable
			  end
			catch $a
			catch $b
			  local.set 1
			  i32.wrap_i64
			  local.get 1
			  i32.add
			end`, map[int32]int32{0: 1, 1: 10, 2: 25, 3: 99, 4: trapped}},
		{"delegate passes over the tries between", `
			try (result i32)
			  try (result i32)
			    try (result i32)
			      local.get 0
			      call $throw
			      i32.const 1
			    delegate 1
			  catch_all
			    i32.const 2
			  end
			catch_all
			  i32.const 3
			end`, map[int32]int32{0: 1, 1: 3, 3: 3, 4: trapped}},
		{"delegate to a block goes to the try around it", `
			try (result i32)
			  block (result i32)
			    try (result i32)
			      local.get 0
			      call $throw
			      i32.const 1
			    delegate 0
			  end
			catch $a
			end`, map[int32]int32{0: 1, 1: 10, 2: thrown}},
		{"delegate to a handler goes to the try around it", `
			try (result i32)
			  try (result i32)
			    throw $n
			  catch $n
			    try (result i32)
			      local.get 0
			      call $throw
			      i32.const 1
			    delegate 0
			  catch_all
			    i32.const 8
			  end
			catch_all
			  i32.const 9
			end`, map[int32]int32{0: 1, 1: 9, 3: 9}},
		{"delegate to the function leaves it", `
			try (result i32)
			  try (result i32)
			    local.get 0
			    call $throw
			    i32.const 1
			  delegate 1
			catch_all
			  i32.const 3
			end`, map[int32]int32{0: 1, 1: thrown, 3: thrown}},
		{"delegates chain", `
			try (result i32)
			  try (result i32)
			    try (result i32)
			      try (result i32)
			        local.get 0
			        call $throw
			        i32.const 1
			      delegate 1
			    catch_all
			      i32.const 2
			    end
			  delegate 0
			catch $a
			end`, map[int32]int32{0: 1, 1: 10, 2: thrown}},
		{"a try without handlers lets everything through", `
			try (result i32)
			  local.get 0
			  call $throw
			  i32.const 1
			end`, map[int32]int32{0: 1, 1: thrown, 4: trapped}},
		{"parameters go in and branches leave with the results", `
			i32.const 5
			try (param i32) (result i32)
			  local.get 0
			  i32.eqz
			  br_if 0
			  local.get 0
			  call $throw
			  i32.const 1
			  i32.add
			catch_all
			  i32.const 40
			  local.get 0
			  i32.const 3
			  i32.eq
			  br_if 0
			  i32.const 2
			  i32.add
			end`, map[int32]int32{0: 5, 1: 42, 2: 42, 3: 40, 9: 6}},
		{"branch tables reach out of bodies and handlers", `
			block (result i32)
			  block (result i32)
			    try (result i32)
			      local.get 0
			      call $throw
			      i32.const 100
			      local.get 0
			      br_table 0 1 2
			    catch_all
			      i32.const 200
			      local.get 0
			      br_table 0 1 2 0
			    end
			    i32.const 1
			    i32.add
			  end
			  i32.const 10
			  i32.add
			end`, map[int32]int32{0: 111, 9: 100, 1: 210, 2: 200, 3: 211}},
		{"values below a try stay", `
			i32.const 1000
			i64.const 7
			try (result i32)
			  local.get 0
			  call $throw
			  i32.const 1
			catch $a
			end
			local.set 1
			drop
			local.get 1
			i32.add`, map[int32]int32{0: 1001, 1: 1010}},
		{"locals keep what the body set", `
			try
			  i32.const 3
			  local.set 1
			  local.get 0
			  call $throw
			  i32.const 4
			  local.set 1
			catch_all
			end
			local.get 1`, map[int32]int32{0: 4, 1: 3}},
		{"unreachable code stays what it was", `
			try (result i32)
			  local.get 0
			  return
			  try (result i32)
			    i32.add
			  catch $b
			    drop
			    i32.wrap_i64
			    br 1
			    rethrow 0
			  delegate 0
			catch_all
			  rethrow 0
			  drop
			end`, nil},
		{"a loop can begin in a handler", `
			i32.const 3
			local.set 1
			try (result i32)
			  local.get 0
			  call $throw
			  i32.const 1
			catch_all
			  loop (result i32)
			    local.get 1
			    i32.const 1
			    i32.sub
			    local.tee 1
			    br_if 0
			    i32.const 77
			  end
			end`, map[int32]int32{0: 1, 1: 77}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := withTags(`(func (export "f") (param i32) (result i32) (local i32)` + c.code + `)`)
			if c.want == nil { // valid or not, it isn't to be a crash
				wasm, err := wasmtime.Wat2Wasm(text)
				if err != nil {
					return
				}
				_, _ = Rewrite(wasm, Options{})
				return
			}
			g := run(t, text, nil)
			for arg, want := range c.want {
				got, err := g.call("f", arg)
				var trap *wasmtime.Trap
				switch {
				case err == nil:
				case errors.As(err, &trap):
					got = int32(trapped)
				case uncaught(err):
					got = int32(thrown)
				}
				if got != want {
					t.Errorf("f(%d) = %v, want %d (%v)", arg, got, want, err)
				}
			}
		})
	}
}

func TestLegacyAndFinalHandlersMix(t *testing.T) {
	g := run(t, withTags(`(func (export "f") (param i32) (result i32)
	  block $final (result i32)
	    try_table (result i32) (catch $a $final)
	      try (result i32)
	        block $inner (result i32)
	          try_table (result i32) (catch $a $inner)
	            local.get 0
	            call $throw
	            i32.const 1
	          end
	        end
	        i32.const 1
	        i32.add
	        local.get 0
	        i32.const 1
	        i32.eq
	        if (param i32) (result i32)
	          throw $a
	        end
	      catch $n
	        i32.const 50
	      end
	    end
	  end)`), nil)
	g.want(int32(2), "f", int32(0))
	g.want(int32(11), "f", int32(1))
	g.throws("f", int32(2))
	g.want(int32(50), "f", int32(3))

	_, err := Rewrite(wat(t, withTags(`(func
	  try_table
	    try
	    delegate 0
	  end)`)), Options{})
	refused(t, err, Unsupported, "mixes delegate")
}

// TestHandlerChainsAreRefusedBeforeTheyHangTheCompiler uses a module of a few
// KiB that takes the compiler minutes.
func TestHandlerChainsAreRefusedBeforeTheyHangTheCompiler(t *testing.T) {
	for _, form := range []struct{ open, close string }{
		{"block $h%d try_table (catch_all $h%[1]d)\n", "end end\n"},
		{"try $h%d\n", "catch_all end\n"},
	} {
		var b strings.Builder
		for i := range 1000 {
			fmt.Fprintf(&b, form.open, i)
		}
		b.WriteString(strings.Repeat("call $f\n", 1000))
		b.WriteString(strings.Repeat(form.close, 1000))
		wasm := wat(t, `(module (func $f `+b.String()+`))`)
		_, err := Rewrite(wasm, Options{})
		refused(t, err, Oversize, "too many calls are within too many exception handlers, 1000000 pairs")
	}
}

// TestDeepDelegatesTakeLinearTime would take minutes if each delegate looked
// for its target.
func TestDeepDelegatesTakeLinearTime(t *testing.T) {
	const deep = 9000
	text := `(module (func ` + strings.Repeat("block\n", deep) +
		strings.Repeat("try\ndelegate 8999\n", 50_000) + strings.Repeat("end\n", deep) + `))`
	if m := rewritten(t, wat(t, text)); m.LegacyTry != 50_000 {
		t.Errorf("%d try blocks", m.LegacyTry)
	}
}

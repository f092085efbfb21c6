package rewrite

import (
	"errors"
	"strings"
	"testing"
)

func refused(t *testing.T, err error, kind Kind, what string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%v, want an *Error of kind %s", err, kind)
	}
	if e.Kind != kind || !strings.Contains(e.What, what) {
		t.Errorf("%q (%s), want %s: … %s …", e, e.Kind, kind, what)
	}
	if strings.ContainsAny(e.Error(), "\n\r") {
		t.Errorf("%q has more than one line", e)
	}
}

func TestModulesThatCannotRunAreRefusedByName(t *testing.T) {
	for _, c := range []struct {
		text string
		kind Kind
		what string
	}{
		{`(module (import "env" "memory" (memory 1)))`, Unsupported, "imports a memory (env.memory)"},
		{`(module (import "env" "t" (table 1 funcref)))`, Unsupported, "imports a table (env.t)"},
		{`(module (import "env" "g" (global i32)))`, Unsupported, "imports a global (env.g)"},
		{`(module (import "env" "e" (tag)))`, Unsupported, "imports a tag (env.e)"},
		{`(module (import "env" "v" (func (param v128))))`, Unsupported, "env.v takes or returns vectors"},
		{`(module (memory 1) (memory 1))`, Unsupported, "2 memories"},
		{`(module (memory 1 1 shared))`, Unsupported, "shared between threads"},
		{`(module (memory 65537))`, Oversize, "65537 pages"},
		{`(module (memory i64 65537))`, Oversize, "65537 pages"},
		{`(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))`, Unsupported, "atomic"},
		{`(module (func (param v128) (result v128) local.get 0 local.get 0 i8x16.relaxed_swizzle))`, Unsupported, "relaxed"},
		{`(module (type (struct)))`, Unsupported, "types other than functions"},
		{`(module (type $t (func)) (func (param (ref null $t))))`, Unsupported, "value type"},
		{`(module (global (mut v128) (v128.const i64x2 0 0)))`, Unsupported, "vector"},
		{`(module (global (mut exnref) (ref.null exn)))`, Unsupported, "exception"},
		{`(module (func (export "aorta.x")))`, Unsupported, `it exports aorta.x; names`},
		{`(module (table 10000001 funcref))`, Oversize, "10000001 entries"},
		{`(module (table i64 0xffffffffffffffff funcref) (table i64 0xffffffffffffffff funcref))`, Oversize, "entries"},
		{`(component)`, Unsupported, "component"},
	} {
		wasm := wat(t, c.text)
		_, err := Rewrite(wasm, Options{})
		t.Run(c.text, func(t *testing.T) { refused(t, err, c.kind, c.what) })
	}
}

func TestBrokenBinariesAreRefusedByName(t *testing.T) {
	const head = "\x00asm\x01\x00\x00\x00"
	for _, c := range []struct {
		name, wasm string
		kind       Kind
		what       string
	}{
		{"empty", "", Malformed, "empty"},
		{"text", "(module)", Malformed, "text file"},
		{"a page", "<!DOCTYPE html><html>", Malformed, "text file"},
		{"another format", "\x7fELF\x02\x01\x01\x00\x00", Malformed, "not a WebAssembly module"},
		{"another version", "\x00asm\x02\x00\x00\x00", Unsupported, "version"},
		{"only the magic", "\x00asm", Malformed, "not a WebAssembly module"},
		{"cut off", head + "\x01\x50\x01\x60", Malformed, "its type section says 80 bytes, 2 are left"},
		{"no such section", head + "\x0e\x00", Malformed, "unknown section 14"},
		{"sections out of order", head + "\x03\x01\x00\x01\x01\x00", Malformed, "type section is out of order"},
		{"a section twice", head + "\x01\x01\x00\x01\x01\x00", Malformed, "out of order"},
		{"a count larger than the section", head + "\x01\x05\xff\xff\x3f\x60\x00", Oversize, "types"},
		{"a count larger than what is there", head + "\x01\x03\x90\x4e\x60", Malformed, "announces 10000 types in 1 bytes"},
		{"a number too long", head + "\x01\x06\x80\x80\x80\x80\x80\x00", Malformed, "more than 32 bits"},
		{"bytes left in a section", head + "\x01\x02\x00\x00", Malformed, "1 bytes too many"},
		{"a type that isn't", head + "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x01", Malformed, "type 1 of 1"},
		{"functions without code", head + "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00", Malformed, "declares 1 functions and defines 0"},
		{"a name that isn't text", head + "\x01\x04\x01\x60\x00\x00\x02\x08\x01\x02\xff\xfe\x01a\x00\x00", Malformed, "UTF-8"},
		{"an export of nothing", head + "\x07\x05\x01\x01a\x00\x00", Malformed, `export a refers to nothing`},
		{"an export twice", head + "\x06\x06\x01\x7f\x00\x41\x00\x0b" + "\x07\x09\x02\x01a\x03\x00\x01a\x03\x00", Malformed, `exports a twice`},
		{"a memory with pages of one byte", head + "\x05\x04\x01\x08\x01\x00", Unsupported, "pages of a size"},
		{"an unprintable name", head + "\x01\x04\x01\x60\x00\x00\x02\x07\x01\x01\n\x01\r\x09\x00", Malformed, `import "\n.\r" is of an unknown kind`},
		{"an elements flag", head + "\x09\x02\x01\x09", Malformed, "unknown flags 9"},
		{"a data flag", head + "\x0b\x02\x01\x03", Malformed, "unknown flags 3"},
		{"data for no memory", head + "\x0b\x06\x01\x00\x41\x00\x0b\x00", Malformed, "memory that isn't there"},
		{"data that is cut off", head + "\x05\x03\x01\x00\x01\x0b\x09\x01\x00\x41\x00\x0b\xff\xff\xff\x7f", Malformed, "ends too early"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Rewrite([]byte(c.wasm), Options{})
			refused(t, err, c.kind, c.what)
		})
	}
}

// withCode is a module with a function of that body, the end included.
func withCode(code string) []byte {
	body := "\x00" + code
	section := "\x01" + string(appendU(nil, uint64(len(body)))) + body
	return []byte("\x00asm\x01\x00\x00\x00" + "\x01\x04\x01\x60\x00\x00" + "\x03\x02\x01\x00" + "\x04\x04\x01\x70\x00\x01" + "\x05\x03\x01\x00\x01" + "\x0d\x03\x01\x00\x00" +
		"\x0a" + string(appendU(nil, uint64(len(section)))) + section)
}

func TestBrokenCodeIsRefusedByName(t *testing.T) {
	for _, c := range []struct {
		name, code string
		kind       Kind
		what       string
	}{
		{"no end", "\x01", Malformed, "ends too early"},
		{"code after the end", "\x0b\x01", Malformed, "goes on after its end"},
		{"code after the end, with handlers", "\x06\x40\x0b\x0b\x01", Malformed, "goes on after its end"},
		{"no such instruction", "\xff\x0b", Unsupported, "0xff"},
		{"no such misc instruction", "\xfc\x7f\x0b", Unsupported, "0xfc 127"},
		{"a call to nothing", "\x10\x05\x0b", Malformed, "function 5 of 1"},
		{"a throw of nothing", "\x08\x05\x0b", Malformed, "tag 5 of 1"},
		{"another memory", "\x40\x01\x0b", Malformed, "memory 1"},
		{"a branch too far", "\x06\x40\x0c\x05\x19\x0b\x0b", Malformed, "label 5 of 2"},
		{"a catch outside", "\x07\x00\x19\x0b", Malformed, "outside of a try"},
		{"a catch_all outside", "\x02\x40\x19\x0b\x0b", Malformed, "outside of a try"},
		{"a delegate outside", "\x18\x00\x0b", Malformed, "outside of a try"},
		{"a delegate too far", "\x06\x40\x18\x01\x0b", Malformed, "label 1 of 1"},
		{"a delegate after a catch", "\x06\x40\x19\x18\x00\x0b", Malformed, "after a handler"},
		{"a catch after catch_all", "\x06\x40\x19\x07\x00\x0b\x0b", Malformed, "after a catch_all"},
		{"two catch_all", "\x06\x40\x19\x19\x0b\x0b", Malformed, "two catch_all"},
		{"a rethrow in the body", "\x06\x40\x09\x00\x19\x0b\x0b", Malformed, "outside of the handler"},
		{"a rethrow too far", "\x06\x40\x09\x07\x19\x0b\x0b", Malformed, "label 7 of 2"},
		{"a block of no type", "\x02\x05\x0b\x0b", Malformed, "type 5 of 1"},
		{"a drop of no segment", "\xfc\x09\x03\x0b", Malformed, "segment 3 of 0"},
		{"too many locals", "", Oversize, "over 50000 locals"},
		{"deep blocks", strings.Repeat("\x02\x40", 10_001) + strings.Repeat("\x0b", 10_002), Oversize, "over 10000 deep"},
		{"deep tries", strings.Repeat("\x06\x40", 10_001) + strings.Repeat("\x0b", 10_002), Oversize, "over 10000 deep"},
		{"many handlers", "\x06\x40" + strings.Repeat("\x07\x00", 1001) + "\x0b\x0b", Oversize, "over 1000 handlers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wasm := withCode(c.code)
			if c.name == "too many locals" {
				wasm = []byte(strings.Replace(string(withCode("\x0b\x0b\x0b\x0b\x0b")), "\x00\x0b\x0b\x0b\x0b\x0b", "\x01\xff\xff\x3f\x7f\x0b", 1))
			}
			_, err := Rewrite(wasm, Options{})
			refused(t, err, c.kind, c.what)
		})
	}
}

func TestLimitsAreRefusedOneAboveAndAcceptedAt(t *testing.T) {
	wasm := wat(t, `(module (memory 1) (table 3 funcref)
	  (global i32 (i32.const 0)) (global i32 (i32.const 0))
	  (func (export "long name") (local i32 i32 i32) block block end end) (func))`)
	for _, c := range []struct {
		name   string
		at     Limits
		above  Limits
		phrase string
	}{
		{"bytes", Limits{ModuleBytes: len(wasm)}, Limits{ModuleBytes: len(wasm) - 1}, "bytes"},
		{"functions", Limits{Functions: 2}, Limits{Functions: 1}, "functions"},
		{"items", Limits{Items: 2}, Limits{Items: 1}, "globals"},
		{"locals", Limits{Locals: 3}, Limits{Locals: 2}, "locals"},
		{"nesting", Limits{Nesting: 2}, Limits{Nesting: 1}, "deep"},
		{"function bytes", Limits{FunctionBytes: 10}, Limits{FunctionBytes: 9}, "a function has"},
		{"table entries", Limits{TableEntries: 3}, Limits{TableEntries: 2}, "entries"},
		{"names", Limits{NameBytes: 9}, Limits{NameBytes: 8}, "name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Rewrite(wasm, Options{Limits: c.at}); err != nil {
				t.Error(err)
			}
			_, err := Rewrite(wasm, Options{Limits: c.above})
			refused(t, err, Oversize, c.phrase)
		})
	}
}

// TestEveryPrefixIsRefused cuts a module at every byte.
func TestEveryPrefixIsRefused(t *testing.T) {
	wasm := wat(t, withTags(`(memory 1) (table 2 funcref) (elem (i32.const 0) $throw)
	  (data (i32.const 0) "abc") (global (mut i32) (i32.const 1))
	  (func (export "f") (param i32) try local.get 0 call $throw catch $a drop end)`))
	var whole int
	for n := range wasm {
		m, err := Rewrite(wasm[:n], Options{})
		var e *Error
		switch {
		case err == nil && m != nil:
			whole++ // cut at a section border, before any function
		case !errors.As(err, &e):
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	if whole > 12 {
		t.Errorf("%d prefixes are modules", whole)
	}
}

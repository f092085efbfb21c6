package rewrite

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/bytecodealliance/wasmtime-go/v39"

	"aorta/vm/wasm/internal/wasmtimex"
)

// newEngine returns the engine that modules are rewritten for.
func newEngine(tb testing.TB) *wasmtime.Engine {
	tb.Helper()
	c := wasmtime.NewConfig()
	c.SetCraneliftNanCanonicalization(true)
	c.SetWasmMemory64(true)
	c.SetWasmRelaxedSIMD(false)
	c.SetWasmMultiMemory(true)
	c.SetWasmTailCall(true)
	c.SetWasmThreads(false)
	wasmtimex.EnableExceptions(c)
	e := wasmtime.NewEngineWithConfig(c)
	tb.Cleanup(e.Close)
	return e
}

func wat(tb testing.TB, text string) []byte {
	tb.Helper()
	b, err := wasmtime.Wat2Wasm(text)
	if err != nil {
		tb.Fatalf("%v\n%s", err, text)
	}
	return b
}

func rewritten(tb testing.TB, wasm []byte) *Module {
	tb.Helper()
	m, err := Rewrite(wasm, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	again, err := Rewrite(wasm, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	if !bytes.Equal(m.Wasm, again.Wasm) {
		tb.Fatal("rewriting twice gave two results")
	}
	return m
}

// guest is an instance of a rewritten module.
type guest struct {
	tb    testing.TB
	info  *Module
	store *wasmtime.Store
	in    *wasmtime.Instance
}

// run instantiates what text becomes. Imports are answered by functions of
// Go's, by name.
func run(tb testing.TB, text string, imports map[string]any) *guest {
	tb.Helper()
	return start(tb, newEngine(tb), rewritten(tb, wat(tb, text)), imports)
}

func start(tb testing.TB, e *wasmtime.Engine, info *Module, imports map[string]any) *guest {
	tb.Helper()
	native, err := wasmtime.NewModule(e, info.Wasm)
	if err != nil {
		tb.Fatalf("the rewritten module is refused: %v", err)
	}
	store := wasmtime.NewStore(e)
	tb.Cleanup(store.Close)
	var externs []wasmtime.AsExtern
	for _, imp := range info.Imports {
		f, ok := imports[imp.Name]
		if !ok {
			tb.Fatalf("%s.%s is still imported", imp.Module, imp.Name)
		}
		externs = append(externs, wasmtime.WrapFunc(store, f))
	}
	in, err := wasmtime.NewInstance(store, native, externs)
	if err != nil {
		tb.Fatal(err)
	}
	native.Close()
	return &guest{tb, info, store, in}
}

func (g *guest) call(name string, args ...any) (any, error) {
	g.tb.Helper()
	f := g.in.GetFunc(g.store, name)
	if f == nil {
		g.tb.Fatalf("no function %q is exported", name)
	}
	return f.Call(g.store, args...)
}

func (g *guest) want(want any, name string, args ...any) {
	g.tb.Helper()
	got, err := g.call(name, args...)
	if err != nil {
		g.tb.Fatalf("%s(%v): %v", name, args, err)
	}
	if got != want {
		g.tb.Errorf("%s(%v) = %v, want %v", name, args, got, want)
	}
}

// traps calls a function that must trap.
func (g *guest) traps(code wasmtime.TrapCode, name string, args ...any) {
	g.tb.Helper()
	_, err := g.call(name, args...)
	var trap *wasmtime.Trap
	if !errors.As(err, &trap) || trap.Code() == nil || *trap.Code() != code {
		g.tb.Errorf("%s(%v): %v, want trap %d", name, args, err, code)
	}
}

// throws calls a function that must leave an exception uncaught.
func (g *guest) throws(name string, args ...any) {
	g.tb.Helper()
	if _, err := g.call(name, args...); err == nil || !uncaught(err) {
		g.tb.Errorf("%s(%v): %v, want an uncaught exception", name, args, err)
	}
}

func uncaught(err error) bool {
	var trap *wasmtime.Trap
	return !errors.As(err, &trap) && strings.Contains(err.Error(), "exception")
}

func (g *guest) global(name string) any {
	g.tb.Helper()
	return g.in.GetExport(g.store, name).Global().Get(g.store).Get()
}

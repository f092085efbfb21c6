package rewrite

import (
	"os"
	"slices"
	"testing"

	"github.com/bytecodealliance/wasmtime-go/v39"

	"aorta/test/modules"
)

// TestRealModulesStayValid is for all that the network runs.
func TestRealModulesStayValid(t *testing.T) {
	e := newEngine(t)
	for _, info := range modules.All(t) {
		t.Run(info.Name, func(t *testing.T) {
			wasm, err := os.ReadFile(modules.Path(t, info.Name))
			if err != nil {
				t.Fatal(err)
			}
			m := rewritten(t, wasm)
			if err := wasmtime.ModuleValidate(e, m.Wasm); err != nil {
				t.Fatal(err)
			}
			if m.Memory == nil || !slices.ContainsFunc(m.Exports, func(x Export) bool { return x.Name == "handle" }) {
				t.Errorf("memory %v, exports %v", m.Memory, m.Exports)
			}
			if more := len(m.Wasm) - len(wasm); more > len(wasm)/20 {
				t.Errorf("it has %d bytes more", more)
			}
			if want := map[string]int{"aos_wamr": 1}[info.Name]; m.LegacyTry != want {
				t.Errorf("%d try blocks, want %d", m.LegacyTry, want)
			}
		})
	}
}

func BenchmarkRewrite(b *testing.B) {
	for _, name := range []string{"aos2_0_6", "sqlite"} {
		b.Run(name, func(b *testing.B) {
			wasm, err := os.ReadFile(modules.Path(b, name))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(wasm)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Rewrite(wasm, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

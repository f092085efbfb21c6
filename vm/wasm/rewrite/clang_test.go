package rewrite

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// compiled builds C or C++ from testdata/clang with legacy exceptions.
func compiled(t *testing.T, level string, args ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.wasm")
	args = append([]string{"--target=wasm32", level, "-nostdlib", "-ffreestanding", "-Wl,--no-entry", "-o", out}, args...)
	cmd := exec.Command("clang++-19", args...)
	cmd.Dir = filepath.Join("testdata", "clang")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %.2000s\nthese tests need the Debian packages clang-19 and lld-19 (or 'make setup')", err, text)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func TestCompiledCodeRunsAsInV8(t *testing.T) {
	e, v8 := newEngine(t), node(t, "v8.mjs")
	for _, source := range []struct {
		name    string
		args    []string
		exports []string
	}{
		{"longjmp", []string{"-x", "c", "-mllvm", "-wasm-enable-sjlj", "-mexception-handling", "jumps.c", "jumps_runtime.c"}, []string{"run"}},
		{"C++", []string{"-fno-rtti", "-fwasm-exceptions", "throws.cc", "throws_runtime.cc"}, []string{"run", "escapes"}},
	} {
		var calls []call
		for n := range int32(50) {
			for _, name := range source.exports {
				calls = append(calls, call{name, n})
			}
		}
		for _, level := range []string{"-O0", "-O2"} {
			t.Run(source.name+level, func(t *testing.T) {
				wasm := compiled(t, level, source.args...)
				want, err := v8.v8(wasm, calls)
				if err != nil {
					t.Fatal(err)
				}
				m := rewritten(t, wasm)
				if m.LegacyTry == 0 {
					t.Errorf("%d try blocks", m.LegacyTry)
				}
				got, err := outcomes(e, m.Wasm, nil, calls)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-V8 +ours)\n%s", diff)
				}
				kinds := make(map[string]int)
				for _, o := range want {
					kinds[o.Kind]++
				}
				if kinds["trap"] > 0 || kinds["return"] < 50 || len(source.exports) > 1 && kinds["exception"] == 0 {
					t.Errorf("outcomes %v", kinds)
				}
			})
		}
	}
}

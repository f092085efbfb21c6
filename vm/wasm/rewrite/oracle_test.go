package rewrite

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/bytecodealliance/wasmtime-go/v39"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// outcome is what came of a call.
type outcome struct {
	Kind    string   `json:"kind"` // return, trap or exception
	Values  []string `json:"values"`
	Globals []string `json:"globals"` // of all exported, then
}

// call is a function and its argument.
type call struct {
	name string
	arg  int32
}

func (c call) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "[%q,[%d]]", c.name, c.arg), nil
}

// script is a process that answers a line with a line.
type script struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// node starts one of the scripts in testdata/oracle.
func node(tb testing.TB, name string) *script {
	tb.Helper()
	dir := filepath.Join("testdata", "oracle")
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		tb.Fatalf("%v; run 'npm ci --prefix vm/wasm/rewrite/testdata/oracle' (or 'make setup')", err)
	}
	cmd := exec.Command("node", name)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("%v; the oracles need Node 20", err)
	}
	tb.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			tb.Errorf("%s: %v", name, err)
		}
	})
	return &script{in, bufio.NewReader(out)}
}

func (s *script) ask(line []byte, reply any) error {
	if _, err := s.in.Write(append(line, '\n')); err != nil {
		return err
	}
	answer, err := s.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, reply)
}

// v8 runs a module as it is.
func (s *script) v8(wasm []byte, calls []call) ([]outcome, error) {
	line, err := json.Marshal(map[string]any{"wasm": wasm, "calls": calls})
	if err != nil {
		return nil, err
	}
	var reply struct {
		Error    string
		Outcomes []outcome
	}
	if err := s.ask(line, &reply); err != nil {
		return nil, err
	}
	if reply.Error != "" {
		return nil, fmt.Errorf("V8: %s", reply.Error)
	}
	return reply.Outcomes, nil
}

// binaryen rewrites legacy exception handling.
func (s *script) binaryen(wasm []byte) ([]byte, error) {
	var reply struct {
		Error string
		Wasm  []byte
	}
	if err := s.ask([]byte(base64.StdEncoding.EncodeToString(wasm)), &reply); err != nil {
		return nil, err
	}
	if reply.Error != "" {
		return nil, fmt.Errorf("Binaryen: %s", reply.Error)
	}
	return reply.Wasm, nil
}

// outcomes runs a module here, observing the given globals.
func outcomes(e *wasmtime.Engine, wasm []byte, globals []string, calls []call) ([]outcome, error) {
	native, err := wasmtime.NewModule(e, wasm)
	if err != nil {
		return nil, err
	}
	defer native.Close()
	store := wasmtime.NewStore(e)
	defer store.Close()
	in, err := wasmtime.NewInstance(store, native, nil)
	if err != nil {
		return nil, err
	}
	var all []outcome
	for _, c := range calls {
		o := outcome{Kind: "return", Values: []string{}, Globals: []string{}}
		v, err := in.GetFunc(store, c.name).Call(store, c.arg)
		switch {
		case err == nil:
			if v != nil {
				o.Values = append(o.Values, integer(v))
			}
		case uncaught(err):
			o.Kind = "exception"
		default:
			o.Kind = "trap"
		}
		for _, name := range globals {
			o.Globals = append(o.Globals, integer(in.GetExport(store, name).Global().Get(store).Get()))
		}
		all = append(all, o)
	}
	return all, nil
}

func integer(v any) string {
	switch v := v.(type) {
	case int32:
		return strconv.FormatUint(uint64(uint32(v)), 10)
	case int64:
		return strconv.FormatUint(uint64(v), 10)
	}
	return fmt.Sprint(v)
}

// seeds are the runs of a random program.
func seeds(t *rapid.T) []call {
	var calls []call
	for _, s := range rapid.SliceOfN(rapid.Int32(), 6, 6).Draw(t, "seeds") {
		calls = append(calls, call{"run", s})
	}
	return calls
}

func TestRandomProgramsRunAsInV8(t *testing.T) {
	e, v8 := newEngine(t), node(t, "v8.mjs")
	kinds := make(map[string]int)
	tries := 0
	rapid.Check(t, func(t *rapid.T) {
		text := exceptional(t, true)
		wasm, err := wasmtime.Wat2Wasm(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		calls := seeds(t)
		want, err := v8.v8(wasm, calls)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		m, err := Rewrite(wasm, Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		tries += m.LegacyTry
		got, err := outcomes(e, m.Wasm, []string{"trace"}, calls)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for _, o := range want {
			kinds[o.Kind]++
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("V8 and the rewritten module differ (-V8 +ours):\n%s\n%s", diff, text)
		}
	})
	t.Logf("%d try blocks; outcomes %v", tries, kinds)
}

// TestDamagedProgramsStayValidWhereTheyAre changes bytes of programs: what V8
// still takes must be valid once it is rewritten.
func TestDamagedProgramsStayValidWhereTheyAre(t *testing.T) {
	e, v8 := newEngine(t), node(t, "v8.mjs")
	valid, refusals := 0, make(map[string]int)
	rapid.Check(t, func(t *rapid.T) {
		text := exceptional(t, true)
		whole, err := wasmtime.Wat2Wasm(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for range 20 {
			wasm := slices.Clone(whole)
			for range rapid.IntRange(1, 2).Draw(t, "changes") {
				at := rapid.IntRange(8, len(wasm)-1).Draw(t, "at")
				wasm[at] = rapid.Byte().Draw(t, "byte")
			}
			m, err := Rewrite(wasm, Options{})
			if _, invalid := v8.v8(wasm, []call{}); invalid != nil {
				continue
			}
			valid++
			if err != nil {
				var r *Error
				if !errors.As(err, &r) || r.Kind == Malformed {
					t.Fatalf("V8 takes it: %v\n%x", err, wasm)
				}
				refusals[r.What]++
				continue
			}
			if err := wasmtime.ModuleValidate(e, m.Wasm); err != nil {
				t.Fatalf("a valid module became an invalid one: %v\n%x", err, wasm)
			}
		}
	})
	t.Logf("%d valid modules; refusals: %v", valid, refusals)
}

func TestRandomProgramsRunAsBinaryenRewritesThem(t *testing.T) {
	e, second := newEngine(t), node(t, "binaryen.mjs")
	rapid.Check(t, func(t *rapid.T) {
		text := exceptional(t, false)
		wasm, err := wasmtime.Wat2Wasm(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		theirs, err := second.binaryen(wasm)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		calls := seeds(t)
		want, err := outcomes(e, theirs, []string{"trace"}, calls)
		if err != nil {
			t.Fatalf("Binaryen's: %v\n%s", err, text)
		}
		m, err := Rewrite(wasm, Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		got, err := outcomes(e, m.Wasm, []string{"trace"}, calls)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("Binaryen's rewriting and ours differ (-theirs +ours):\n%s\n%s", diff, text)
		}
	})
}

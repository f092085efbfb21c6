package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/bytecodealliance/wasmtime-go/v39"
	"github.com/rogpeppe/go-internal/testscript"

	"aorta/test/modules"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"aorta": main})
}

// TestScripts runs the command as people do. The scripts share compiled
// modules, but nothing else.
func TestScripts(t *testing.T) {
	aos, cache := modules.Path(t, "aos2_0_6"), t.TempDir()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("AOS", aos)
			e.Setenv("AORTA_CODE_CACHE", cache)
			e.Setenv("AORTA_DATA", filepath.Join(e.WorkDir, "data"))
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"wat":    compileText,
			"status": wantStatus,
			"cut":    cut,
			"bytes":  writeBytes,
		},
		RequireExplicitExec: true,
	})
}

// compileText makes a module of its text: wat IN OUT.
func compileText(ts *testscript.TestScript, _ bool, args []string) {
	b, err := wasmtime.Wat2Wasm(ts.ReadFile(args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
}

// wantStatus runs a command that must refuse in one line: status CODE COMMAND….
// What the line says is left for the script to look at.
func wantStatus(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		s, ok := strings.CutPrefix(err.Error(), "exit status ")
		if !ok {
			ts.Fatalf("%v: %v", args[1:], err)
		}
		got, err = strconv.Atoi(s)
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("status %d, want %d", got, want)
	}
	if said := ts.ReadFile("stderr"); want != exitMessages && (strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "aorta: ")) {
		ts.Fatalf("it said %q, want one line", said)
	}
}

// cut copies the first half of a file: cut IN OUT.
func cut(ts *testscript.TestScript, _ bool, args []string) {
	b := ts.ReadFile(args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b[:len(b)/2]), 0o600))
}

// writeBytes writes a Go string literal's bytes: bytes LITERAL OUT.
func writeBytes(ts *testscript.TestScript, _ bool, args []string) {
	s, err := strconv.Unquote(`"` + args[0] + `"`)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(s), 0o600))
}

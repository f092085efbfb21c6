package wasi_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/bytecodealliance/wasmtime-go/v39"

	"aorta/vm"
	"aorta/vm/wasi"
	"aorta/vm/wasm"
)

// command is a program for both layouts: P is the type of pointers and sizes,
// SIZE a pointer's size. Each _start appends a letter to /tmp/log, prints the
// log and exits with its length.
const command = `(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 P P i32 i64 i64 i32 P) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 P P P) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 P P P) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $seek (param i32 i64 i32 P) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") MEM 1)
  (data (P.const 16) "tmp/log")
  (data (P.const 32) "x")
  (func $check (param i32) (if (local.get 0) (then unreachable)))
  (func $vector (param $ptr P) (param $len P)
    (P.store (P.const 64) (local.get $ptr))
    (P.store (P.add (P.const 64) (P.const SIZE)) (local.get $len)))
  (func (export "_start") (local $fd i32)
    ;; 1: create; rights to read, seek and write
    (call $check (call $open (i32.const 3) (i32.const 0) (P.const 16) (P.const 7)
      (i32.const 1) (i64.const 70) (i64.const 0) (i32.const 1) (P.const 128)))
    (local.set $fd (i32.load (P.const 128)))
    (call $vector (P.const 32) (P.const 1))
    (call $check (call $write (local.get $fd) (P.const 64) (P.const 1) (P.const 128)))
    (call $check (call $seek (local.get $fd) (i64.const 0) (i32.const 0) (P.const 128)))
    (call $vector (P.const 256) (P.const 100))
    (call $check (call $read (local.get $fd) (P.const 64) (P.const 1) (P.const 128)))
    (call $vector (P.const 256) (P.load (P.const 128)))
    (call $check (call $write (i32.const 1) (P.const 64) (P.const 1) (P.const 192)))
    (call $check (call $close (local.get $fd)))
    (call $exit (i32.load (P.const 128)))))`

func TestCommandsRunInTheEngine(t *testing.T) {
	e, err := wasm.NewEngine(wasm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	for name, layout := range map[string][]string{"32-bit": {"P", "i32", "SIZE", "4", "MEM", ""}, "64-bit": {"P", "i64", "SIZE", "8", "MEM", "i64"}} {
		t.Run(name, func(t *testing.T) {
			text := strings.NewReplacer(layout...).Replace(command)
			binary, err := wasmtime.Wat2Wasm(text)
			if err != nil {
				t.Fatal(err)
			}
			m, err := e.Compile(t.Context(), binary)
			if err != nil {
				t.Fatal(err)
			}
			h := wasi.New(wasi.Options{})
			in, err := m.New(t.Context(), []wasm.Host{h}, vm.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			run := func(want string) {
				t.Helper()
				_, _, err := in.Call(t.Context(), "_start", nil, vm.Env{}, vm.Limits{})
				var exit *vm.ExitError
				if !errors.As(err, &exit) || int(exit.Code) != len(want) {
					t.Fatalf("it ended with %v", err)
				}
				if got := string(h.Stdout()); got != want {
					t.Errorf("it printed %q, want %q", got, want)
				}
			}
			run("x")
			run("xx")
			if _, err := in.Mark(); err != nil {
				t.Fatal(err)
			}
			marked := h.Snapshot()
			run("xxx")
			if err := in.Rollback(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(h.Snapshot(), marked) {
				t.Error("the file system wasn't rolled back")
			}
			run("xxx")
			other := wasi.New(wasi.Options{})
			fork, err := in.Fork(t.Context(), []wasm.Host{other})
			if err != nil {
				t.Fatal(err)
			}
			defer fork.Close()
			if !bytes.Equal(other.Snapshot(), marked) {
				t.Error("a fork has other files")
			}
		})
	}
}

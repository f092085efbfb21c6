package wasm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aorta/vm"
	"aorta/vm/image"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestCheckpointFormatIsGolden holds the checkpoint of a known state to the
// bytes that version 1 has always had. A change of them is a change of the
// format, or of what states are: it needs a new version beside this one.
func TestCheckpointFormatIsGolden(t *testing.T) {
	m := compile(t, newEngine(t, Config{}), everything)
	in := instance(t, m)
	call(t, in, "bump")
	call(t, in, "poke", 70_000-10_000, 7)
	call(t, in, "grow", 2)
	call(t, in, "poke", 2*wasmPage+1, 9)
	call(t, in, "growt", 2)
	call(t, in, "set1")
	call(t, in, "drop")
	chunks := chunkMap{}
	cp, err := in.Save(t.Context(), chunks)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := cp.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	got := hex.EncodeToString(blob) + "\n"
	file := filepath.Join("testdata", "checkpoint.1.golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("checkpoint is\n%swant\n%s", got, want)
	}
	// And what the golden bytes name can be restored.
	old, err := hex.DecodeString(strings.TrimSpace(string(want)))
	if err != nil {
		t.Fatal(err)
	}
	var back Checkpoint
	if err := back.UnmarshalBinary(old); err != nil {
		t.Fatal(err)
	}
	restored, err := m.Restore(t.Context(), nil, chunks, back, vm.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	if restored.Root() != cp.Root || call(t, restored, "bump") != 2 || call(t, restored, "peek", 2*wasmPage+1) != 9 {
		t.Error("the restored state is another")
	}
}

func TestDamagedChunksAreNotRestored(t *testing.T) {
	m := compile(t, newEngine(t, Config{}), everything)
	in := instance(t, m)
	call(t, in, "poke", 5, 5)
	chunks := chunkMap{}
	cp, err := in.Save(t.Context(), chunks)
	if err != nil {
		t.Fatal(err)
	}
	for h, data := range chunks {
		if len(data) == 0 {
			continue
		}
		delete(chunks, h)
		if in, err := m.Restore(t.Context(), nil, chunks, cp, vm.Limits{}); err == nil {
			in.Close()
			t.Errorf("restored without chunk %x", h)
		}
		chunks[h] = data
	}
	other := cp
	other.Root[0] ^= 1
	if in, err := m.Restore(t.Context(), nil, chunks, other, vm.Limits{}); err == nil {
		in.Close()
		t.Error("restored under another root")
	}
}

func FuzzCheckpointDecoding(f *testing.F) {
	blob, _ := Checkpoint{RestSize: 5, Image: image.Checkpoint{Size: wasmPage}}.MarshalBinary()
	f.Add(blob)
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Checkpoint
		if c.UnmarshalBinary(data) != nil {
			return
		}
		again, err := c.MarshalBinary()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x became %x, %v", data, again, err)
		}
	})
}

func FuzzResidueDecoding(f *testing.F) {
	f.Add((&residue{globals: []uint64{1, 1 << 63}, tables: [][]uint32{{0, 5}}, hosts: [][]byte{nil, {1}}}).encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseResidue(data)
		if err != nil {
			return
		}
		back, err := parseResidue(r.encode())
		if err != nil || !bytes.Equal(back.encode(), r.encode()) {
			t.Errorf("%x doesn't survive: %v", data, err)
		}
	})
}

func FuzzCacheEntryDecoding(f *testing.F) {
	f.Add([]byte(cacheMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		if info, code, err := parseEntry(data); err == nil && (info == nil || len(code) > len(data)) {
			t.Error("a broken entry was taken")
		}
	})
}

// textual is a module whose handle returns what its second argument's first
// byte asks for.
const textual = `(module
  (memory (export "memory") 1 400)
  (global $heap (mut i32) (i32.const 1024))
  (global $freed (mut i32) (i32.const 0))
  (data (i32.const 16) "fine\00")
  (func (export "malloc") (param i32) (result i32)
    (if (i32.gt_u (local.get 0) (i32.const 50000)) (then (return (i32.const 0))))
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (local.get 0))))
  (func (export "free") (param i32) (global.set $freed (i32.add (global.get $freed) (i32.const 1))))
  (func (export "freed") (result i32) (global.get $freed))
  (func (export "handle") (param i32 i32) (result i32)
    (local $what i32)
    (local.set $what (i32.load8_u (local.get 1)))
    (if (i32.eq (local.get $what) (i32.const 119)) (then (return (i32.const -16)))) ;; wild
    (if (i32.eq (local.get $what) (i32.const 110)) (then (return (i32.const 0))))   ;; null
    (if (i32.eq (local.get $what) (i32.const 101)) (then                            ;; endless
      (memory.fill (i32.const 60000) (i32.const 120) (i32.const 5536))
      (return (i32.const 60000))))
    (if (i32.eq (local.get $what) (i32.const 102)) (then                            ;; flood
      (drop (memory.grow (i32.const 100)))
      (memory.fill (i32.const 65536) (i32.const 120) (i32.const 6500000))
      (return (i32.const 65536))))
    (i32.const 16)))`

func TestTextsThatGuestsReturnAreChecked(t *testing.T) {
	in := instance(t, compile(t, newEngine(t, Config{}), textual))
	ask := func(env string, max uint64) (string, error) {
		var out []byte
		_, err := in.Run(t.Context(), vm.Env{}, vm.Limits{}, func(g Guest) (err error) {
			out, err = CallText(g, "handle", [][]byte{[]byte("message"), []byte(env)}, max)
			return err
		})
		if rerr := in.Rollback(); rerr != nil {
			t.Fatal(rerr)
		}
		return string(out), err
	}
	if out, err := ask("ok", 100); err != nil || out != "fine" {
		t.Errorf("got %q, %v", out, err)
	}
	var guest *vm.GuestError
	for _, env := range []string{"wild", "null", "endless", strings.Repeat("x", 60000), "zero\x00byte"} {
		if _, err := ask(env, 1<<30); !errors.As(err, &guest) {
			t.Errorf("%.10s: got %v, want a GuestError", env, err)
		}
	}
	var limit *vm.LimitError
	if _, err := ask("flood", 1<<20); !errors.As(err, &limit) || limit.Kind != vm.LimitOutput {
		t.Errorf("flood: got %v", err)
	}
}

func TestArgumentsAreFreedAfterTheCall(t *testing.T) {
	in := instance(t, compile(t, newEngine(t, Config{}), textual))
	_, err := in.Run(t.Context(), vm.Env{}, vm.Limits{}, func(g Guest) error {
		_, err := CallText(g, "handle", [][]byte{[]byte("a"), []byte("b")}, 100)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := call(t, in, "freed"); n != 2 {
		t.Errorf("%d arguments were freed, want 2", n)
	}
}

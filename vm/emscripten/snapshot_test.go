package emscripten

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"aorta/vm"
	"aorta/vm/vfs"
	"aorta/vm/wasi/wasitest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// busy is a state with a bit of everything.
func busy(tb testing.TB) *Host {
	g, h := newGuest(tb, Options{}, true)
	g.write(g.open("/tmp/x", 0o100|2), "text")
	g.eh("__cxa_throw", object, typeInt, destructor)
	g.eh("__cxa_begin_catch", object)
	g.eh("setTempRet0", 3)
	h.zoned = true
	return h
}

func TestVersion1OfTheEncodingStays(t *testing.T) {
	const golden = "testdata/snapshot-1.hex"
	got := busy(t).Snapshot()
	if *update {
		var lines []byte
		for i, c := range []byte(hex.EncodeToString(got)) {
			if i > 0 && i%100 == 0 {
				lines = append(lines, '\n')
			}
			lines = append(lines, c)
		}
		if err := os.WriteFile(golden, append(lines, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the encoding changed:\n%x", got)
	}
	h := New(Options{})
	if err := h.Restore(want); err != nil || !bytes.Equal(h.Snapshot(), want) {
		t.Errorf("the golden state isn't what it was: %v", err)
	}
}

func TestTheStateIsFilesAndExceptions(t *testing.T) {
	h := New(Options{})
	if h.Snapshot() != nil || h.Restore(nil) != nil {
		t.Error("the initial state isn't nil")
	}
	files := New(Options{})
	if _, err := files.fs.Open(files.fs.Root(), "/tmp/x", vfs.Create, 0o666); err != nil {
		t.Fatal(err)
	}
	exc := New(Options{})
	exc.exc.tempRet0 = 5
	for name, from := range map[string]*Host{"files": files, "exceptions": exc, "both": busy(t)} {
		s := from.Snapshot()
		if err := h.Restore(s); err != nil || !bytes.Equal(h.Snapshot(), s) {
			t.Errorf("%s: restored to something else: %v", name, err)
		}
		again := from.Snapshot()
		if &again[0] != &s[0] {
			t.Errorf("%s: an unchanged state is encoded again", name)
		}
	}
	if err := h.Restore(nil); err != nil || h.Snapshot() != nil {
		t.Errorf("back to the start: %v", err)
	}
}

func TestWhatIsMalformedIsRefusedAndChangesNothing(t *testing.T) {
	good := busy(t).Snapshot()
	for i := range good {
		h := New(Options{})
		h.exc.tempRet0 = 77
		before := h.Snapshot()
		for _, b := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			bad := bytes.Clone(good)
			bad[i] = b
			want := bad
			if err := h.Restore(bad); err != nil {
				want = before
			}
			if !bytes.Equal(h.Snapshot(), want) {
				t.Fatalf("byte %d as %d: the state is neither the old nor the new one", i, b)
			}
			if err := h.Restore(before); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, bad := range [][]byte{{}, {1}, {2, 0, 0, 0, 0, 0}, {1, 0, 0, 0, 0, 0}, {1, 0x80, 0, 0, 0, 0, 0}, {1, 0, 0, 0, 2, 0}} {
		if New(Options{}).Restore(bad) == nil {
			t.Errorf("%x was accepted", bad)
		}
	}
}

func FuzzRestore(f *testing.F) {
	f.Add(busy(f).Snapshot())
	f.Add([]byte{1, 5, 1, 1, 1, 1, 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		h := New(Options{Files: vfs.Options{Bytes: 1 << 16}})
		if data == nil || h.Restore(data) != nil {
			return
		}
		if got := h.Snapshot(); !bytes.Equal(got, data) {
			t.Fatalf("%x decodes and encodes to %x", data, got)
		}
	})
}

// FuzzCalls calls functions with whatever arguments on whatever memory: no
// panic, no write outside of memory, and a state that can be restored.
func FuzzCalls(f *testing.F) {
	names := slices.Sorted(maps.Keys(functions))
	f.Add([]byte("/tmp/x\x00"), []byte{1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte("/dev\x00/tmp\x00%Y%c%V\x00"), []byte{18, 0, 5, 0, 0, 60, 1, 2, 3})
	f.Fuzz(func(t *testing.T, memory, script []byte) {
		for _, wide := range []bool{false, true} {
			h := New(Options{Files: vfs.Options{Bytes: 1 << 16}})
			h.Begin(vm.Env{Time: 5}, vm.Limits{Output: 1 << 10})
			g := wasitest.New(t, h, wide, 1)
			g.MaxPages = 3
			g.Exports = map[string]func(...uint64) uint64{
				"malloc":                      func(a ...uint64) uint64 { return a[0] * 7 },
				"emscripten_builtin_memalign": func(a ...uint64) uint64 { return a[1] / 2 },
				"__cxa_can_catch":             func(a ...uint64) uint64 { return a[0] & 1 },
			}
			copy(g.Mem.Bytes, memory)
			s := script
			next := func() uint64 {
				if len(s) == 0 {
					return 0
				}
				v := s[0]
				s = s[1:]
				switch {
				case v < 128:
					return uint64(v)
				case v < 160:
					return 1<<16 - uint64(v-128)
				case v < 192:
					return -uint64(v - 160)
				case v == 192:
					return cwd
				case v < 224:
					return uint64(v-192) << 8
				}
				return 1 << (v - 224 + 31)
			}
			for len(s) > 0 {
				list := functions[names[int(next()%uint64(len(names)))]]
				fn := list[int(next()%uint64(len(list)))]
				args := make([]uint64, strings.IndexByte(fn.pattern, ':'))
				for i := range args {
					args[i] = next()
				}
				name := ""
				for n, l := range functions {
					if &l[0] == &list[0] {
						name = n
					}
				}
				ft := g.Type(fn.pattern)
				if h.Lookup("env", name, ft) == nil {
					continue // the prototype is of the other width
				}
				_, err := g.Try("env", name, fn.pattern, args...)
				var host *vm.HostError
				if errors.As(err, &host) {
					t.Fatalf("%s%v: %v", name, args, err)
				}
			}
			if err := h.Restore(h.Snapshot()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

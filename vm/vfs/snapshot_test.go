package vfs

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// busy is a state with one of everything.
func busy(t testing.TB) *FS {
	f := newTestFS(t, Options{})
	root := f.Root()
	put(t, f, "/dir/data", "some text")
	must(t, f.Link(root, "/dir/data", true, root, "/dir/sub/same"))
	fd := open(t, f, "/dir/data", ReadWrite|Append)
	if _, err := f.Seek(fd, 5, SeekStart); err != nil {
		t.Fatal(err)
	}
	must(t, f.DupTo(fd, 4))
	open(t, f, "/unnamed", ReadWrite|Create)
	must(t, f.Unlink(root, "/unnamed"))
	must(t, f.Chdir(root, "/dir/sub"))
	open(t, f, "/tty", WriteOnly)
	return f
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
		must(t, os.WriteFile(golden, append(lines, '\n'), 0o644))
	}
	text, err := os.ReadFile(golden)
	must(t, err)
	want, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", ""))
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Fatalf("the encoding changed:\n%x", got)
	}
	f := newTestFS(t, Options{})
	must(t, f.Restore(want))
	if f.Getcwd() != "/dir/sub" || get(t, f, "/dir/sub/same") != "some text" {
		t.Error("the golden state isn't what it was")
	}
}

func TestTheInitialStateIsNil(t *testing.T) {
	f := newTestFS(t, Options{})
	f.Now = func() int64 { return 5 }
	must(t, f.Mkdir(f.Root(), "/tmp", 0o777))
	f.Seal()
	if f.Snapshot() != nil {
		t.Error("something is there at first")
	}
	// What came and went leaves nothing.
	fd := open(t, f, "/tmp/x", ReadWrite|Create)
	if _, err := f.Write(fd, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if f.Snapshot() == nil {
		t.Error("a new file is no state")
	}
	must(t, f.Close(fd))
	must(t, f.Unlink(f.Root(), "/tmp/x"))
	if s := f.Snapshot(); s != nil {
		t.Errorf("%x is left", s)
	}
}

func TestAnUnchangedStateIsEncodedOnce(t *testing.T) {
	f := busy(t)
	first := f.Snapshot()
	if n := testing.AllocsPerRun(10, func() {
		if s := f.Snapshot(); &s[0] != &first[0] {
			t.Fatal("encoded again")
		}
		must(t, f.Restore(first))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWhatIsMalformedIsRefusedAndChangesNothing(t *testing.T) {
	f := busy(t)
	good := bytes.Clone(f.Snapshot())
	for i := range good {
		for _, b := range []byte{0, 1, 0x7f, 0x80, 0xff, good[i] + 1} {
			bad := bytes.Clone(good)
			bad[i] = b
			g := newTestFS(t, Options{})
			put(t, g, "/keep", "kept")
			before := g.Snapshot()
			err := g.Restore(bad)
			want := bad
			if err != nil {
				want = before
			}
			if !bytes.Equal(g.Snapshot(), want) {
				t.Fatalf("byte %d as %d (%v): the state is neither the old nor the new one", i, b, err)
			}
		}
		if newTestFS(t, Options{}).Restore(good[:i]) == nil {
			t.Fatalf("%d of %d bytes were enough", i, len(good))
		}
	}
	if newTestFS(t, Options{}).Restore(append(bytes.Clone(good), 0)) == nil {
		t.Error("a byte too many was accepted")
	}
	if newTestFS(t, Options{Bytes: f.Used() - 1}).Restore(good) == nil {
		// It is over the limits of the one who restores.
		t.Error("a state over the limit was accepted")
	}
}

func FuzzRestore(f *testing.F) {
	f.Add(busy(f).Snapshot())
	f.Add(newTestFS(f, Options{}).encode())
	f.Add([]byte{snapshotVersion})
	f.Fuzz(func(t *testing.T, data []byte) {
		fs := newTestFS(t, Options{Bytes: 1 << 16})
		if data == nil || fs.Restore(data) != nil {
			return
		}
		if got := fs.encode(); !bytes.Equal(got, data) {
			t.Fatalf("%x decodes and encodes to %x", data, got)
		}
		// What was accepted can be worked with.
		root := fs.Root()
		for fd := range fs.files {
			_, _ = fs.Read(fd, make([]byte, 4))
			_, _ = fs.List(fd)
		}
		for _, p := range []string{"/a", "/dir/b", "/link/c", "/file"} {
			_, _ = fs.Open(root, p, ReadWrite|Create, 0o666)
			_ = fs.Rename(root, p, root, "/z")
			_ = fs.Unlink(root, "/z")
		}
		for fd := range fs.files {
			_ = fs.Close(fd)
		}
		if s := fs.Snapshot(); s != nil {
			if err := newTestFS(t, Options{Bytes: 1 << 16}).Restore(s); err != nil {
				t.Fatalf("its own snapshot is refused: %v", err)
			}
		}
	})
}

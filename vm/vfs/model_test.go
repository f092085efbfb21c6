package vfs

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// model is a file system as one would write it down: paths and what is there.
// Directories are paths with a nil value.
type model map[string]*string

func (m model) parent(p string) error {
	dir := path.Dir(p)
	for d := dir; ; d = path.Dir(d) { // the first obstacle from the top decides
		if v, ok := m[d]; ok {
			if v != nil {
				return ENOTDIR
			}
			if d != dir {
				return ENOENT
			}
			return nil
		}
	}
}

func (m model) children(p string) []string {
	var out []string
	for q := range m {
		if q != "/" && path.Dir(q) == p {
			out = append(out, path.Base(q))
		}
	}
	slices.Sort(out)
	return out
}

func (m model) mkdir(p string) error {
	if err := m.parent(p); err != nil {
		return err
	}
	if _, ok := m[p]; ok {
		return EEXIST
	}
	m[p] = nil
	return nil
}

func (m model) write(p, text string) error {
	if err := m.parent(p); err != nil {
		return err
	}
	if v, ok := m[p]; ok && v == nil {
		return EISDIR
	}
	m[p] = &text
	return nil
}

func (m model) unlink(p string) error {
	if err := m.parent(p); err != nil {
		return err
	}
	v, ok := m[p]
	switch {
	case !ok:
		return ENOENT
	case v == nil:
		return EISDIR
	}
	delete(m, p)
	return nil
}

func (m model) rmdir(p string) error {
	if err := m.parent(p); err != nil {
		return err
	}
	v, ok := m[p]
	switch {
	case !ok:
		return ENOENT
	case v != nil:
		return ENOTDIR
	case len(m.children(p)) > 0:
		return ENOTEMPTY
	}
	delete(m, p)
	return nil
}

func (m model) rename(p, q string) error {
	if err := m.parent(p); err != nil {
		return err
	}
	if err := m.parent(q); err != nil {
		return err
	}
	v, ok := m[p]
	w, there := m[q]
	switch {
	case !ok:
		return ENOENT
	case p == q:
		return nil
	case strings.HasPrefix(q, p+"/"):
		return EINVAL
	case there && w == nil && strings.HasPrefix(p, q+"/"):
		return ENOTEMPTY
	case there && v == nil && w != nil:
		return ENOTDIR
	case there && v != nil && w == nil:
		return EISDIR
	case there && w == nil && len(m.children(q)) > 0:
		return ENOTEMPTY
	}
	for old, v := range maps.Clone(m) {
		if old == p || strings.HasPrefix(old, p+"/") {
			delete(m, old)
			m[q+old[len(p):]] = v
		}
	}
	return nil
}

func TestItBehavesAsAListOfPathsDoes(t *testing.T) {
	name := rapid.SampledFrom([]string{"a", "b", "c"})
	paths := rapid.Custom(func(t *rapid.T) string {
		return "/" + strings.Join(rapid.SliceOfN(name, 1, 4).Draw(t, "names"), "/")
	})
	rapid.Check(t, func(t *rapid.T) {
		m := model{"/": nil}
		f := New(Options{})
		f.Seal()
		root := f.Root()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			p, q := paths.Draw(t, "path"), paths.Draw(t, "other")
			var got, want error
			op := rapid.SampledFrom([]string{"mkdir", "mkdir", "write", "write", "unlink", "rmdir", "rename", "restore"}).Draw(t, "op")
			switch op {
			case "mkdir":
				got, want = f.Mkdir(root, p, 0o777), m.mkdir(p)
			case "write":
				text := rapid.StringN(0, 9, -1).Draw(t, "text")
				fd, err := f.Open(root, p, WriteOnly|Create|Truncate, 0o666)
				if err == nil {
					_, err = f.Write(fd, []byte(text))
					if cerr := f.Close(fd); cerr != nil {
						t.Fatal(cerr)
					}
				}
				got, want = err, m.write(p, text)
			case "unlink":
				got, want = f.Unlink(root, p), m.unlink(p)
			case "rmdir":
				got, want = f.Rmdir(root, p), m.rmdir(p)
			case "rename":
				got, want = f.Rename(root, p, root, q), m.rename(p, q)
			case "restore":
				snapshot := f.Snapshot()
				f = New(Options{})
				f.Seal()
				if err := f.Restore(snapshot); err != nil {
					t.Fatal(err)
				}
				root = f.Root()
			}
			if got != want {
				t.Fatalf("%s %s %s: %v, want %v", op, p, q, got, want)
			}
		}
		for p, v := range m {
			s, err := f.StatPath(root, p, true)
			if err != nil {
				t.Fatalf("%s: %v", p, err)
			}
			if v != nil {
				fd, err := f.Open(root, p, ReadOnly, 0)
				if err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, s.Size)
				if n, err := f.Read(fd, buf); err != nil || string(buf[:n]) != *v {
					t.Fatalf("%s holds %q, want %q (%v)", p, buf, *v, err)
				}
				if err := f.Close(fd); err != nil {
					t.Fatal(err)
				}
				continue
			}
			fd, err := f.Open(root, p, ReadOnly|Directory, 0)
			if err != nil {
				t.Fatal(err)
			}
			list, err := f.List(fd)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, e := range list[2:] {
				names = append(names, e.Name)
			}
			if !slices.Equal(names, m.children(p)) {
				t.Fatalf("%s lists %v, want %v", p, names, m.children(p))
			}
			if err := f.Close(fd); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// act does one drawn operation, on open files too, and says what came of it.
func act(t *rapid.T, f *FS) string {
	root := f.Root()
	p := rapid.SampledFrom([]string{"/a", "/b", "/a/c", "/a/d", "/l", "/l/c", "/null"}).Draw(t, "path")
	q := rapid.SampledFrom([]string{"/a", "/b", "/a/c", "/x"}).Draw(t, "other")
	fd := rapid.IntRange(0, 5).Draw(t, "fd")
	n := rapid.Int64Range(0, 40).Draw(t, "n")
	data := bytes.Repeat([]byte{byte(n + 1)}, int(n))
	return doOne(f, root, rapid.IntRange(0, 15).Draw(t, "op"), p, q, fd, n, data)
}

func doOne(f *FS, root Base, op int, p, q string, fd int, n int64, data []byte) string {
	switch op {
	case 0:
		return fmt.Sprint(f.Mkdir(root, p, 0o777))
	case 1, 2, 3:
		return fmt.Sprint(f.Open(root, p, []uint32{ReadOnly, ReadWrite | Create, ReadWrite | Create | Append, WriteOnly | Truncate}[n%4], 0o666))
	case 4:
		return fmt.Sprint(f.Close(fd))
	case 5, 6:
		return fmt.Sprint(f.Write(fd, data))
	case 7:
		buf := make([]byte, n)
		got, err := f.Read(fd, buf)
		return fmt.Sprint(got, err, buf)
	case 8:
		return fmt.Sprint(f.Seek(fd, n, int(n%3)))
	case 9:
		return fmt.Sprint(f.Resize(fd, n))
	case 10:
		return fmt.Sprint(f.Unlink(root, p), f.Rmdir(root, q))
	case 11:
		return fmt.Sprint(f.Rename(root, p, root, q))
	case 12:
		return fmt.Sprint(f.Dup(fd, int(n%7)))
	case 13:
		return fmt.Sprint(f.Symlink("a", root, "/l"), f.Link(root, p, true, root, q))
	case 14:
		return fmt.Sprint(f.Chdir(root, p), f.Getcwd())
	default:
		mode := uint32(0o777)
		return fmt.Sprint(f.SetAttrPath(root, p, true, Attr{Mode: &mode}), f.Mkdev(root, "/null", 0o666, NullDevice))
	}
}

func TestARestoredStateIsTheStateAndGoesOnLikeIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fresh := func() *FS {
			f := New(Options{Open: 8})
			now := int64(0)
			f.Now = func() int64 { now++; return now / 3 }
			f.Seal()
			return f
		}
		f := fresh()
		for range rapid.IntRange(0, 40).Draw(t, "before") {
			act(t, f)
		}
		snapshot := f.Snapshot()
		g := fresh()
		if err := g.Restore(snapshot); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(g.Snapshot(), snapshot) || g.Used() != f.Used() {
			t.Fatal("restoring changed the state")
		}
		if len(snapshot) > f.Used() {
			t.Fatalf("%d bytes encode what is counted as %d", len(snapshot), f.Used())
		}
		now := int64(1000)
		f.Now = func() int64 { return now }
		g.Now = f.Now
		for range rapid.IntRange(0, 20).Draw(t, "after") {
			op := rapid.IntRange(0, 15).Draw(t, "op")
			p := rapid.SampledFrom([]string{"/a", "/b", "/a/c", "/l/c"}).Draw(t, "path")
			fd := rapid.IntRange(0, 5).Draw(t, "fd")
			n := rapid.Int64Range(0, 40).Draw(t, "n")
			data := make([]byte, n)
			now += n
			if a, b := doOne(f, f.Root(), op, p, "/b", fd, n, data), doOne(g, g.Root(), op, p, "/b", fd, n, data); a != b {
				t.Fatalf("operation %d: %s, restored %s", op, a, b)
			}
		}
		if !bytes.Equal(f.Snapshot(), g.Snapshot()) || f.Used() != g.Used() {
			t.Fatal("the states went apart")
		}
		if err := f.Restore(nil); err != nil || f.Snapshot() != nil {
			t.Fatal("the initial state isn't nil", err)
		}
	})
}

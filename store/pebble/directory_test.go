package pebble

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"aorta/store"
)

const childVariable = "AORTA_TEST_OPEN"

// childsDirectory reports whether this process was started by a test, to open
// a directory.
func childsDirectory() (string, bool) { return os.LookupEnv(childVariable) }

// child opens dir and says what came of it.
func child(dir string) {
	s, err := Open(dir, Options{})
	switch {
	case errors.Is(err, store.ErrLocked):
		os.Stdout.WriteString("locked")
	case err != nil:
		os.Stdout.WriteString(err.Error())
	default:
		_ = s.Close()
		os.Stdout.WriteString("opened")
	}
}

func openInChild(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestDirectoryIsOpenOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir, Options{})
	if err := s.Append(t.Context(), "log", 0, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if said := openInChild(t, dir); said != "locked" {
		t.Errorf("another process said %q", said)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, dir + "/.", link} {
		if _, err := Open(path, Options{}); !errors.Is(err, store.ErrLocked) {
			t.Errorf("this process, by %s: %v", path, err)
		}
	}
	// Having been refused, they have let go of nothing that is ours.
	if said := openInChild(t, dir); said != "locked" {
		t.Errorf("another process said %q, later", said)
	}
	if err := s.Append(t.Context(), "log", 1, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if said := openInChild(t, dir); said != "opened" {
		t.Errorf("another process said %q after closing", said)
	}
}

func TestDirectoryIsForItsOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, dir, with(tiny, nil))
	m := newModel()
	for i := range 40 {
		if err := m.step(t.Context(), s, operations[i%len(operations)], i); err != nil {
			t.Fatal(err)
		}
	}
	files := 0
	err := filepath.WalkDir(filepath.Dir(dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		files++
		return err
	})
	if err != nil || files < 10 {
		t.Fatalf("%d files, %v", files, err)
	}
}

// contents returns every file under dir.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			out[path] = "directory"
			return err
		}
		data, err := os.ReadFile(path)
		out[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDirectoryThatCannotBeOpenedIsLeftAsItWas(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  error
		says  string
	}{
		{"NewerFormat", map[string]string{"FORMAT": "aorta data format 2\n"}, store.ErrNewerFormat, "run a newer version of aorta"},
		{"MuchNewerFormat", map[string]string{"FORMAT": "aorta data format 18446744073709551615\n", "new": ""}, store.ErrNewerFormat, "newer"},
		{"NoFormatInTheFile", map[string]string{"FORMAT": "something else\n"}, nil, "FORMAT"},
		{"EmptyFormat", map[string]string{"FORMAT": ""}, nil, "FORMAT"},
		{"HalfAFormat", map[string]string{"FORMAT": "aorta data format 1"}, nil, "FORMAT"},
		{"FormatZero", map[string]string{"FORMAT": "aorta data format 0\n"}, nil, "FORMAT"},
		{"LongFormat", map[string]string{"FORMAT": strings.Repeat("aorta data format 1\n", 100)}, nil, "FORMAT"},
		{"SomebodysFiles", map[string]string{"thesis.tex": "years of work"}, nil, "thesis.tex"},
		{"SomebodysDirectories", map[string]string{"db/important": "x"}, nil, "empty one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range c.files {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			before := contents(t, dir)
			_, err := Open(dir, Options{})
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("AFile", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, Options{}); err == nil {
			t.Error("a file was opened as a directory")
		}
	})
}

func TestFormatFileIsAsItEverWas(t *testing.T) {
	fs := vfs.NewMem()
	open(t, "data", Options{FS: fs})
	text, err := readFormat(fs, "data/FORMAT")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "format.v1", []byte(text))
}

func TestOpeningThatWasCutShortIsFinished(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("data/packs", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"data/LOCK", "data/FORMAT.tmp"} {
		f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	open(t, "data", Options{FS: fs})
}

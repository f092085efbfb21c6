// Package lint holds the rules of the house that the compiler doesn't know, and the test that holds the tree to them.
//
// A rule reads the tree and says what breaks it. Rules look at every text file
// below go.mod except what setup brings; lint_test.go runs them, and with them
// the linters that exist already: gofmt, go vet, staticcheck, go mod tidy.
package lint

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strings"
)

// Rule is something that is true of every file.
type Rule struct {
	// Name is a few words that say what is true.
	Name string
	// Check finds where it isn't.
	Check func(*Tree) []Finding
}

// Rules returns all rules.
func Rules() []Rule {
	return []Rule{
		{"ImportsPointDownTheHouse", imports},
		{"DependenciesStayWhereTheyBelong", dependencies},
		{"PackagesSayWhatTheyAre", packageComments},
		{"PackagesAreNamedForAThing", packageNames},
		{"ExportedNamesAreExplained", exported},
		{"FilesAreShort", lengths},
		{"FilesNameNoPlaceOfTheirOwn", places},
		{"NothingIsLeftForLater", leftovers},
		{"TestsDoNotSleep", sleeps},
		{"TestsAreSkippedWithAReason", skips},
		{"GoIsFormatted", formatted},
	}
}

// Finding is one place where a rule is broken.
type Finding struct {
	// Path is relative to the tree's root, with slashes.
	Path string
	// Line counts from 1; 0 stands for the whole file.
	Line int
	Text string
}

// String is the form that editors jump to.
func (f Finding) String() string {
	if f.Line == 0 {
		return f.Path + ": " + f.Text
	}
	return fmt.Sprintf("%s:%d: %s", f.Path, f.Line, f.Text)
}

// Tree is the text files of a repository.
type Tree struct {
	// Module is the path in go.mod.
	Module string
	Files  []*File
	fset   *token.FileSet
}

// File is one text file.
type File struct {
	Path string
	Text []byte
	// Go is the parsed file if it is one of Go.
	Go *ast.File
}

// Test reports whether only tests are built of the file.
func (f *File) Test() bool { return strings.HasSuffix(f.Path, "_test.go") }

// Dir is the folder of the file, "." for the root.
func (f *File) Dir() string { return path.Dir(f.Path) }

// Load reads the tree that has go.mod at its root.
func Load(root fs.FS) (*Tree, error) {
	t := &Tree{fset: token.NewFileSet()}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && brought(d.Name()):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // somebody's temporary file
		}
		if err != nil || bytes.IndexByte(text, 0) >= 0 {
			return err
		}
		f := &File{Path: name, Text: text}
		if path.Ext(name) == ".go" {
			if f.Go, err = parser.ParseFile(t.fset, name, text, parser.ParseComments|parser.SkipObjectResolution); err != nil {
				return err
			}
		}
		if name == "go.mod" {
			line, _, _ := strings.Cut(string(text), "\n")
			t.Module = strings.TrimPrefix(line, "module ")
		}
		t.Files = append(t.Files, f)
		return nil
	})
	if err == nil && t.Module == "" {
		err = errors.New("the tree has no go.mod")
	}
	return t, err
}

// brought reports whether a folder's files aren't the repository's.
func brought(name string) bool {
	switch name {
	case ".git", ".cache", "bin", "node_modules":
		return true
	}
	return false
}

// at is the finding at a node of a Go file.
func (t *Tree) at(n ast.Node, format string, args ...any) Finding {
	p := t.fset.Position(n.Pos())
	return Finding{Path: p.Filename, Line: p.Line, Text: fmt.Sprintf(format, args...)}
}

// each calls check with every file of Go.
func (t *Tree) each(check func(*File) []Finding) []Finding {
	var out []Finding
	for _, f := range t.Files {
		if f.Go != nil {
			out = append(out, check(f)...)
		}
	}
	return out
}

// lines calls check with every line of a file, counted from 1.
func (f *File) lines(check func(n int, line string)) {
	n := 0
	for line := range strings.Lines(string(f.Text)) {
		n++
		check(n, line)
	}
}

package lint

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// packageComments asks of every package one comment that opens with one
// sentence, "Package x …" or "Command x …".
func packageComments(t *Tree) []Finding {
	type pkg struct {
		first *File
		docs  []*File
	}
	pkgs := map[string]*pkg{}
	for _, f := range t.Files {
		if f.Go == nil || f.Test() || within(f.Dir(), "testdata") || strings.Contains(f.Path, "/testdata/") {
			continue
		}
		p := pkgs[f.Dir()]
		if p == nil {
			p = &pkg{first: f}
			pkgs[f.Dir()] = p
		}
		if f.Go.Doc != nil {
			p.docs = append(p.docs, f)
		}
	}
	var out []Finding
	for _, dir := range slices.Sorted(maps.Keys(pkgs)) {
		p := pkgs[dir]
		switch len(p.docs) {
		case 0:
			out = append(out, Finding{p.first.Path, 0, "no file of the package has a comment that says what it is"})
		case 1:
			f := p.docs[0]
			if text := opening(dir, f.Go); text != "" {
				out = append(out, t.at(f.Go.Doc, "%s", text))
			}
		default:
			for _, f := range p.docs[1:] {
				out = append(out, t.at(f.Go.Doc, "the package has a comment already, in %s", p.docs[0].Path))
			}
		}
	}
	return out
}

// sentences ends where a next one begins.
var sentences = regexp.MustCompile(`[.!?] +[A-Z]`)

// opening says what is wrong with how a package's comment begins.
func opening(dir string, f *ast.File) string {
	start := "Package " + f.Name.Name + " "
	if f.Name.Name == "main" {
		start = "Command " + path.Base(dir) + " "
	}
	first, _, _ := strings.Cut(f.Doc.Text(), "\n\n")
	first = strings.Join(strings.Fields(first), " ")
	switch {
	case !strings.HasPrefix(first, start):
		return fmt.Sprintf("the package's comment should begin with %q", start)
	case !strings.HasSuffix(first, "."), sentences.MatchString(first):
		return "the package's comment should begin with a paragraph of one sentence"
	}
	return ""
}

// packageNames refuses names that would fit any package.
func packageNames(t *Tree) []Finding {
	var out []Finding
	seen := map[string]bool{}
	for _, f := range t.Files {
		if f.Go == nil || seen[f.Dir()] {
			continue
		}
		seen[f.Dir()] = true
		switch path.Base(f.Dir()) {
		case "util", "utils", "common", "helper", "helpers", "types", "base", "misc", "shared":
			out = append(out, Finding{f.Dir(), 0, "what is the package's idea? It should be named for it"})
		}
	}
	return out
}

// exported asks for a comment on every exported name outside tests.
func exported(t *Tree) []Finding {
	return t.each(func(f *File) (out []Finding) {
		if f.Test() || f.Go.Name.Name == "main" {
			return nil
		}
		for _, d := range f.Go.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && reachable(d.Recv) && d.Doc == nil && !(d.Recv != nil && obvious(d.Name.Name)) {
					out = append(out, t.at(d, "%s is exported and has no comment", d.Name.Name))
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					for _, name := range unexplained(d, s) {
						out = append(out, t.at(s, "%s is exported and has no comment", name))
					}
				}
			}
		}
		return out
	})
}

// obvious are methods whose meaning is the standard library's.
func obvious(method string) bool {
	switch method {
	case "Error", "Unwrap", "Is", "As", "String", "Len", "Less", "Swap":
		return true
	}
	return false
}

// reachable reports whether a receiver's type is exported, or there is none.
func reachable(recv *ast.FieldList) bool {
	if recv == nil || len(recv.List) == 0 {
		return true
	}
	x := recv.List[0].Type
	for {
		switch y := x.(type) {
		case *ast.StarExpr:
			x = y.X
		case *ast.IndexExpr:
			x = y.X
		case *ast.IndexListExpr:
			x = y.X
		case *ast.Ident:
			return y.IsExported()
		default:
			return true
		}
	}
}

// unexplained are the exported names of a declaration without a comment. One
// above a group explains the group's values, but not its types.
func unexplained(d *ast.GenDecl, s ast.Spec) []string {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && (d.Doc == nil || d.Lparen.IsValid()) && s.Comment == nil {
			return []string{s.Name.Name}
		}
	case *ast.ValueSpec:
		if s.Doc != nil || s.Comment != nil || d.Doc != nil {
			return nil
		}
		var out []string
		for _, n := range s.Names {
			if n.IsExported() {
				out = append(out, n.Name)
			}
		}
		return out
	}
	return nil
}

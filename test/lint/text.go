package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"path"
	"regexp"
	"strings"
)

// MaxLines is how long a file of code may be. What is longer has two ideas.
const MaxLines = 600

func lengths(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Files {
		switch path.Ext(f.Path) {
		case ".go", ".mjs", ".js", ".c", ".h", ".sh":
			if n := bytes.Count(f.Text, []byte("\n")); n > MaxLines {
				out = append(out, Finding{f.Path, 0, fmt.Sprintf("%d lines; a file has at most %d", n, MaxLines)})
			}
		}
	}
	return out
}

// place is a folder that only some machine has, or the host of a registry,
// which the clients of registries know by themselves.
var place = regexp.MustCompile(`(^|[^\w.])/(work|root|Users)/|registry[.]npm|(proxy|sum)[.]golang|(deb|ftp)[.]debian|registry[.]yarn`)

func places(t *Tree) []Finding {
	return t.grep(place, "a place that isn't the repository's: %s")
}

var leftover = regexp.MustCompile(`\b(TO[D]O|FIX[M]E|XX[X])\b`)

func leftovers(t *Tree) []Finding {
	return t.grep(leftover, "%s: what is missing is done, or written down where it is planned")
}

// grep finds a pattern in every file.
func (t *Tree) grep(pattern *regexp.Regexp, text string) []Finding {
	var out []Finding
	for _, f := range t.Files {
		f.lines(func(n int, line string) {
			if m := pattern.FindString(line); m != "" {
				out = append(out, Finding{f.Path, n, fmt.Sprintf(text, strings.TrimSpace(m))})
			}
		})
	}
	return out
}

// sleeps finds tests that wait for time to pass: they are slow, or fail on a
// busy machine. In the bubbles of testing/synctest, time passes by itself.
func sleeps(t *Tree) []Finding {
	return t.calls("time", "Sleep", func(f *File, _ *ast.CallExpr) string {
		for _, i := range f.Go.Imports {
			if value(i.Path.Value) == "testing/synctest" {
				return ""
			}
		}
		return "a test waits for what it needs (a channel, testing/synctest), not for time to pass"
	})
}

// skips finds tests that are skipped silently.
func skips(t *Tree) []Finding {
	const why = "a test that is skipped says why"
	out := t.calls("", "SkipNow", func(*File, *ast.CallExpr) string { return why })
	return append(out, t.calls("", "Skip", func(_ *File, c *ast.CallExpr) string {
		if len(c.Args) == 0 {
			return why
		}
		return ""
	})...)
}

// calls finds calls x.name(…) in tests, with any x if it is empty. say says
// what is wrong with one, or "".
func (t *Tree) calls(x, name string, say func(*File, *ast.CallExpr) string) []Finding {
	return t.each(func(f *File) (out []Finding) {
		if !f.Test() {
			return nil
		}
		ast.Inspect(f.Go, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			s, ok := c.Fun.(*ast.SelectorExpr)
			if !ok || s.Sel.Name != name {
				return true
			}
			if id, ok := s.X.(*ast.Ident); x != "" && (!ok || id.Name != x) {
				return true
			}
			if text := say(f, c); text != "" {
				out = append(out, t.at(c, "%s", text))
			}
			return true
		})
		return out
	})
}

func formatted(t *Tree) []Finding {
	return t.each(func(f *File) []Finding {
		b, err := format.Source(f.Text)
		if err != nil || bytes.Equal(b, f.Text) {
			return nil
		}
		return []Finding{{f.Path, 0, "not as gofmt has it"}}
	})
}

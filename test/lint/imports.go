package lint

import (
	"slices"
	"strconv"
	"strings"
)

// rooms are the folders of docs/architecture.md with what each may import of
// this module, besides itself. What isn't here may import nothing.
func rooms() map[string][]string {
	device := []string{"message", "codec", "wallet", "store", "vm", "ao", "process", "telemetry"}
	return map[string][]string{
		"message":   nil,
		"wallet":    nil,
		"vm":        nil,
		"console":   nil,
		"telemetry": nil,
		"codec":     {"message"},
		"store":     {"message", "telemetry"},
		"ao":        {"message", "codec", "store", "telemetry"},
		"process":   {"message", "store", "vm", "wallet", "telemetry"},
		"device":    device,
		"server":    {"message", "codec", "ao", "telemetry"},
		"node":      append(slices.Clone(device), "device", "server", "console"),
		// The command line says what a node is made of and prints what it
		// answers, so it needs the types of both.
		"cmd": {"node", "device", "process", "store", "vm"},
	}
}

// owned are dependencies that one folder hides from the others.
func owned() map[string]string {
	return map[string]string{
		"github.com/bytecodealliance/wasmtime-go": "vm/wasm",
		"github.com/cockroachdb/pebble":           "store/pebble",
		"github.com/spf13/cobra":                  "cmd",
		"github.com/peterh/liner":                 "cmd",
		"github.com/nats-io":                      "store/nats",
	}
}

// banned are packages that a folder has no business with, and why.
func banned() map[string]map[string]string {
	machine := "a machine reads no clock, random source or network that its caller didn't hand it"
	return map[string]map[string]string{
		"vm": {"crypto/rand": machine, "math/rand": machine, "net": machine, "net/http": machine, "os/exec": machine},
		"":   {"github.com/stretchr/testify": "tests use the standard library and go-cmp"},
	}
}

// imports holds the order of the house: arrows point from what knows more to
// what knows less. Tests may besides import what is in test, and run what they
// test in a whole node.
func imports(t *Tree) []Finding {
	table := rooms()
	return t.each(func(f *File) (out []Finding) {
		from := room(f.Path)
		if from == "test" {
			return nil // what crosses packages
		}
		for _, i := range f.Go.Imports {
			to, ok := strings.CutPrefix(value(i.Path.Value), t.Module+"/")
			if !ok || room(to) == from || slices.Contains(table[from], room(to)) || f.Test() && (room(to) == "test" || room(to) == "node") {
				continue
			}
			out = append(out, t.at(i, "%s may not import %s; if it needs something from there, it declares an interface", from, to))
		}
		return out
	})
}

// dependencies holds who may use which module of others.
func dependencies(t *Tree) []Finding {
	owners, bans := owned(), banned()
	return t.each(func(f *File) (out []Finding) {
		for _, i := range f.Go.Imports {
			p := value(i.Path.Value)
			for dep, owner := range owners {
				if within(p, dep) && !within(f.Dir(), owner) && !f.Test() {
					out = append(out, t.at(i, "only %s may import %s", owner, dep))
				}
			}
			for dir, list := range bans {
				if why := list[p]; why != "" && within(f.Dir(), dir) && !f.Test() {
					out = append(out, t.at(i, "%s: %s", p, why))
				}
			}
		}
		return out
	})
}

// room is the first folder of a path.
func room(p string) string {
	first, _, _ := strings.Cut(p, "/")
	return first
}

// within reports whether a path is dir or below it. Everything is below "".
func within(p, dir string) bool {
	return dir == "" || p == dir || strings.HasPrefix(p, dir+"/")
}

// value is what a literal of Go says; the parser has checked that it is one.
func value(literal string) string {
	s, _ := strconv.Unquote(literal)
	return s
}

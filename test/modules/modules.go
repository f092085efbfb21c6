// Package modules finds the real modules that tests run, as fetch.mjs brings them.
package modules

import (
	"crypto/sha256"
	_ "embed" // for the pins
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

//go:embed modules.json
var pins []byte

// Info describes a module.
type Info struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Bytes  int    `json:"bytes"`
	// Format is what npm's ao-loader calls the module's interface; empty if it
	// can't run it.
	Format string `json:"format"`
}

// All describes every module.
func All(tb testing.TB) []Info {
	tb.Helper()
	var file struct {
		Modules []Info `json:"modules"`
	}
	if err := json.Unmarshal(pins, &file); err != nil {
		tb.Fatalf("modules.json: %v", err)
	}
	return file.Modules
}

// Path returns the file of a module. The test fails if it isn't there, or is
// not what was pinned.
func Path(tb testing.TB, name string) string {
	tb.Helper()
	path := filepath.Join(dir(tb), name+".wasm")
	for _, m := range All(tb) {
		if m.Name != name {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			tb.Fatalf("%v; run 'make setup'", err)
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != m.SHA256 {
			tb.Fatalf("%s is not the pinned module; run 'make setup'", path)
		}
		return path
	}
	tb.Fatalf("no module is called %q", name)
	return ""
}

// Bytes returns a module.
func Bytes(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(Path(tb, name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func dir(tb testing.TB) string {
	if d := os.Getenv("AORTA_MODULES"); d != "" {
		return d
	}
	return filepath.Join(Root(tb), ".cache", "modules")
}

// Root returns the directory of go.mod.
func Root(tb testing.TB) string {
	tb.Helper()
	d, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d
		}
		up := filepath.Dir(d)
		if up == d {
			tb.Fatal("there is no go.mod above the test")
		}
		d = up
	}
}

// Package oracle asks the legacy loader, npm's ao-loader, what it makes of the messages of a script.
//
// oracle.mjs runs a job in the loader; bare.mjs and live.mjs run in V8 what the
// loader can't. The script is in script*.go.
package oracle

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"aorta/test/modules"
)

// Job is what the loader is asked.
type Job struct {
	Module   string          `json:"module"`
	Format   string          `json:"format"`
	Env      json.RawMessage `json:"env"`
	Messages []string        `json:"messages"`
}

// Answer is what it said to one message.
type Answer struct {
	Output, Messages, Spawns, Assignments, Error json.RawMessage
	// Exception says that Error is the text of an exception in JavaScript.
	Exception bool `json:"exception"`
}

// Ask runs a job.
func Ask(tb testing.TB, job Job) []Answer {
	tb.Helper()
	dir := filepath.Join(modules.Root(tb), "test", "oracle")
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		tb.Fatal("the npm packages of test/oracle aren't installed; run 'make setup'")
	}
	file := filepath.Join(tb.TempDir(), "job.json")
	b, err := json.Marshal(job)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), "node", "--experimental-wasm-memory64", "--no-warnings", "oracle.mjs", file)
	cmd.Dir = dir
	// The loader tells modules the host's time zone, and its name in words.
	cmd.Env = append(os.Environ(), "TZ=UTC", "LANG=C.UTF-8", "LC_ALL=C.UTF-8")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		tb.Fatalf("node: %v\n%s", err, stderr.Bytes())
	}
	var out []Answer
	for line := range bytes.Lines(stdout) {
		var a Answer
		if err := json.Unmarshal(line, &a); err != nil {
			tb.Fatalf("the oracle said %.200q: %v", line, err)
		}
		out = append(out, a)
	}
	if len(out) != len(job.Messages) {
		tb.Fatalf("the oracle answered %d of %d messages\n%s", len(out), len(job.Messages), stderr.Bytes())
	}
	return out
}

// Diff says how two answers differ, or "". Absent fields equal their
// defaults; of exceptions only their being there is compared, since their
// texts are the engines'.
func Diff(ours, theirs Answer) string {
	if theirs.Exception {
		if len(ours.Error) == 0 {
			return "the loader has an exception (" + string(theirs.Error) + "), we have none"
		}
		return ""
	}
	var b strings.Builder
	for _, f := range []struct {
		name         string
		ours, theirs json.RawMessage
		absent       string
	}{
		{"Output", ours.Output, theirs.Output, `""`},
		{"Messages", ours.Messages, theirs.Messages, `[]`},
		{"Spawns", ours.Spawns, theirs.Spawns, `[]`},
		{"Assignments", ours.Assignments, theirs.Assignments, `[]`},
		{"Error", ours.Error, theirs.Error, `null`},
	} {
		if d := cmp.Diff(value(f.theirs, f.absent), value(f.ours, f.absent)); d != "" {
			b.WriteString(f.name + " (-loader +ours):\n" + d)
		}
	}
	return b.String()
}

func value(raw json.RawMessage, absent string) any {
	if len(raw) == 0 {
		raw = json.RawMessage(absent)
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return "not JSON: " + string(raw)
	}
	// Lua's empty table can't say whether it is a list.
	if m, ok := v.(map[string]any); ok && len(m) == 0 && absent == "[]" {
		return []any{}
	}
	return strip(v)
}

// address is what Lua prints of a function or a table.
var address = regexp.MustCompile(`(function|table|thread|userdata): 0x[0-9a-f]+`)

// strip takes addresses out of all texts: the loader puts a message on the
// guest's stack and we into its heap, so what Lua allocates lies elsewhere.
func strip(v any) any {
	switch v := v.(type) {
	case string:
		return address.ReplaceAllString(v, "$1: ADDRESS")
	case []any:
		for i := range v {
			v[i] = strip(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = strip(v[k])
		}
	}
	return v
}

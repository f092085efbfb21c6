package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bytecodealliance/wasmtime-go/v39"

	"aorta/test/modules"
)

// cli is the command, built once, with a data directory that one test uses.
type cli struct {
	*testing.T
	bin, data string
}

func newCLI(t *testing.T) *cli {
	t.Helper()
	dir := t.TempDir()
	c := &cli{T: t, bin: filepath.Join(dir, "aorta"), data: filepath.Join(dir, "data")}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", c.bin, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return c
}

func (c *cli) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.bin, args...)
	cmd.Env = append(os.Environ(), "AORTA_DATA="+c.data)
	return cmd
}

// run returns what the command printed, and its exit status.
func (c *cli) run(stdin io.Reader, args ...string) (stdout, stderr string, code int) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
	defer cancel()
	cmd := c.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.Fatalf("%v: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// good runs a command that must succeed.
func (c *cli) good(args ...string) string {
	c.Helper()
	out, errs, code := c.run(nil, args...)
	if code != exitOK {
		c.Fatalf("%v: status %d\n%s%s", args, code, out, errs)
	}
	return out
}

func (c *cli) file(name string, content []byte) string {
	c.Helper()
	path := filepath.Join(c.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		c.Fatal(err)
	}
	return path
}

func (c *cli) wat(text string) string {
	c.Helper()
	b, err := wasmtime.Wat2Wasm(text)
	if err != nil {
		c.Fatal(err)
	}
	return c.file("module.wasm", b)
}

// handler is a module whose handle has that body.
func handler(body string) string {
	return `(module (memory (export "memory") 2)
  (func (export "malloc") (param i32) (result i32) (i32.const 4096))
  (func $deep (param i64) (result i64) (i64.add (i64.const 1) (call $deep (local.get 0))))
  (func (export "handle") (param i32 i32) (result i32) ` + body + `))`
}

func TestBadInputGetsOneLineAndDoesNoDamage(t *testing.T) {
	c := newCLI(t)
	aos := modules.Path(t, "aos_wamr")
	whole := modules.Bytes(t, "aos_wamr")
	if out := c.good("run", aos, "--eval", "X = 7; return X"); !strings.Contains(out, "7") {
		t.Fatalf("a good message: %s", out)
	}
	hundred := io.MultiReader(strings.NewReader(`{"Data":"`), io.LimitReader(zeros{}, 100<<20), strings.NewReader("\"}\n"))
	tests := []struct {
		name  string
		args  []string
		stdin io.Reader
		code  int
		say   string
	}{
		{"no such file", []string{"run", "nothing.wasm"}, nil, exitFailed, "there is no file"},
		{"a directory", []string{"run", t.TempDir()}, nil, exitFailed, "is a directory"},
		{"an empty file", []string{"run", c.file("m.wasm", nil)}, nil, exitFailed, "empty"},
		{"a text file", []string{"run", c.file("m.wasm", []byte("print('hello')\n"))}, nil, exitFailed, "text file"},
		{"a truncated module", []string{"run", c.file("m.wasm", whole[:len(whole)/2])}, nil, exitFailed, "truncated"},
		{"unknown imports", []string{"run", c.wat(`(module (import "a" "b" (func)) (import "c" "d" (func)) (memory (export "memory") 1) (func (export "handle") (param i32 i32) (result i32) (i32.const 0)))`)}, nil, exitFailed, "a.b, c.d"},
		{"no handle", []string{"run", c.wat(`(module (memory (export "memory") 1))`)}, nil, exitFailed, "no function 'handle'"},
		{"not JSON", []string{"run", aos, "--message", "-"}, strings.NewReader("hello\n"), exitFailed, "JSON object"},
		{"broken JSON", []string{"run", aos, "--message", "-"}, strings.NewReader("{\"Data\": \n"), exitFailed, "isn't valid JSON"},
		{"tags that aren't", []string{"run", aos, "--message", "-"}, strings.NewReader("{\"Tags\": 5}\n"), exitFailed, "Tags"},
		{"a message of 100 MiB", []string{"run", aos, "--message", "-"}, hundred, exitFailed, "at most 12 MiB"},
		{"no file of messages", []string{"run", aos, "--message", "nothing"}, nil, exitFailed, "no such file"},
		{"an unknown flag", []string{"run", aos, "--loud"}, nil, exitUsage, "--help"},
		{"no module named", []string{"run"}, nil, exitUsage, "name one WebAssembly module"},
		{"an unknown process", []string{"inspect", "zzzz"}, nil, exitFailed, "there is no process"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, errs, code := c.run(tt.stdin, tt.args...)
			if code != tt.code || strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "aorta: ") || !strings.Contains(errs, tt.say) {
				t.Errorf("status %d, want %d; it said %q, want one line with %q", code, tt.code, errs, tt.say)
			}
		})
	}
	if out := c.good("run", aos, "--eval", "return X"); !strings.Contains(out, "7") {
		t.Errorf("afterwards: %s", out)
	}
	if out := c.good("inspect"); strings.Count(out, "\n") != 2 {
		t.Errorf("refused modules left processes behind:\n%s", out)
	}
	c.good("replay", "--verify")
}

// zeros reads as the digit zero for ever.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func TestGuestsThatMisbehaveAreToldSoAndStatusIsThree(t *testing.T) {
	c := newCLI(t)
	for _, tt := range []struct{ name, body, say string }{
		{"a wild pointer", "(i32.const -16)", "outside its memory"},
		{"text without an end", "(memory.fill (i32.const 0) (i32.const 120) (i32.const 131072)) (i32.const 1)", "without an end"},
		{"never returns", "(loop $l (br $l)) (i32.const 0)", "out of fuel"},
		{"eats memory", "(loop $l (if (i32.eq (memory.grow (i32.const 64)) (i32.const -1)) (then unreachable)) (br $l)) (i32.const 0)", "out of memory"},
		{"recurses", "(drop (call $deep (i64.const 1))) (i32.const 0)", "stack overflow"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &cli{T: t, bin: c.bin, data: filepath.Join(t.TempDir(), "data")}
			out, errs, code := c.run(nil, "run", c.wat(handler(tt.body)), "--fuel", "50000000", "--memory", "32", "--eval", "anything", "--eval", "more")
			if code != exitMessages || strings.Count(out, tt.say) != 2 || errs != "" {
				t.Errorf("status %d, want %d; it printed\n%s%s", code, exitMessages, out, errs)
			}
			c.good("replay", "--verify")
		})
	}
}

func TestDirectoriesThatCantBeUsedAreLeftAlone(t *testing.T) {
	c := newCLI(t)
	aos := modules.Path(t, "aos_wamr")
	refused := func(name, say string) {
		t.Helper()
		_, errs, code := c.run(nil, "run", aos, "--eval", "return 1")
		if code != exitFailed || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, say) {
			t.Errorf("%s: status %d, %q", name, code, errs)
		}
	}
	if err := os.MkdirAll(c.data, 0o700); err != nil {
		t.Fatal(err)
	}
	format := filepath.Join(c.data, "FORMAT")
	if err := os.WriteFile(format, []byte("aorta data format 999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("a newer format", "newer aorta")
	if left, err := os.ReadDir(c.data); err != nil || len(left) != 1 {
		t.Errorf("the directory was changed: %v, %v", left, err)
	}
	if err := os.Rename(format, filepath.Join(c.data, "letter.txt")); err != nil {
		t.Fatal(err)
	}
	refused("somebody's directory", "holds something else")

	c.data = filepath.Join(t.TempDir(), "data")
	c.good("run", aos, "--eval", "X = 1")
	first := c.command(t.Context(), "run", aos, "--json", "--message", "-")
	stdin, err := first.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, `{"Tags":[{"name":"Action","value":"Eval"}],"Data":"return X"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	refused("a directory in use", "in use by another aorta")
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, stdout)
	if err := first.Wait(); err != nil {
		t.Errorf("the first one: %v", err)
	}
}

func TestReplReadsLinesUntilTheirEnd(t *testing.T) {
	c := newCLI(t)
	in := strings.NewReader("Y = 20\nfunction double(n)\nreturn n * 2\nend\nreturn double(Y) + 2\nerror('oops')\n.inspect\n.exit\n")
	out, errs, code := c.run(in, "repl", modules.Path(t, "aos_wamr"))
	if code != exitOK || !strings.Contains(out, "42") || !strings.Contains(out, "oops") || !strings.Contains(out, "FUEL") {
		t.Errorf("status %d\n%s%s", code, out, errs)
	}
}

func TestHelpTeaches(t *testing.T) {
	c := newCLI(t)
	for _, args := range [][]string{{"--help"}, {"run", "--help"}, {"repl", "--help"}, {"inspect", "--help"}, {"replay", "--help"}, {"demo", "--help"}} {
		if out := c.good(args...); len(out) < 300 || !strings.Contains(out, "Usage:") {
			t.Errorf("%v: %s", args, out)
		}
	}
	if out := c.good("version"); !strings.Contains(out, "engine profile") {
		t.Errorf("version: %s", out)
	}
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/peterh/liner"
	"github.com/spf13/cobra"

	"aorta/device/jsoniface"
	"aorta/node"
	"aorta/process"
)

func newRepl() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "repl MODULE.wasm",
		Short: "Talk to an AOS process",
		Long: `Repl is a console to a local AOS process: each line is evaluated as Lua by the
process, as a message from its owner.

A line that ends in a backslash goes on in the next one, and so does one whose
Lua isn't complete yet. Lines are kept in a history (arrow keys, Ctrl-R).

  .inspect    show the last slots
  .load FILE  evaluate a file
  .exit       leave (or Ctrl-D)`,
		Example: `  aorta repl aos.wasm
  echo 'return 1 + 1' | aorta repl aos.wasm --name scratch`,
		Args: oneModule,
		RunE: func(c *cobra.Command, args []string) error { return f.repl(c, args[0]) },
	}
	f.data.add(c)
	f.limits.add(c)
	c.Flags().StringVar(&f.name, "name", "default", "tells processes of one module apart")
	c.Flags().StringVar(&f.owner, "owner", "", "`address` of the owner (43 characters); a local one if left out")
	return c
}

func (f *runFlags) repl(c *cobra.Command, path string) (err error) {
	ctx := c.Context()
	module, err := readModule(path)
	if err != nil {
		return err
	}
	n, err := f.data.open(c, process.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close(context.WithoutCancel(ctx))) }()
	def, err := n.Ensure(ctx, node.Local{Module: module, Name: f.name, Owner: f.owner, Limits: f.limits.limits()})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r := &repl{session: session{node: n, def: def, out: c.OutOrStdout()}, prompt: "aos> "}
	r.in, err = newLines(c, filepath.Join(f.data.dir, "history"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.in.close()) }()
	fmt.Fprintf(r.out, "process %s; .exit or Ctrl-D leaves, its state stays\n", def.ID)
	return r.loop(ctx)
}

type repl struct {
	session
	in     *lines
	prompt string
}

func (r *repl) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		text, err := r.read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch word, rest, _ := strings.Cut(strings.TrimSpace(text), " "); word {
		case "":
			continue
		case ".exit":
			return nil
		case ".inspect":
			err = listSlots(ctx, r.node, r.out, r.def.ID, 10, false)
		case ".load":
			var b []byte
			if b, err = os.ReadFile(strings.TrimSpace(rest)); err == nil {
				err = r.eval(ctx, string(b))
			}
		default:
			err = r.eval(ctx, text)
		}
		if err != nil {
			fmt.Fprintln(r.out, "error: "+oneLine(err))
		}
	}
	return ctx.Err()
}

// read reads a line, and more as long as it isn't complete.
func (r *repl) read() (string, error) {
	text, err := r.in.next(r.prompt)
	for err == nil && (strings.HasSuffix(text, "\\") || open(text)) {
		var more string
		more, err = r.in.next("... ")
		text = strings.TrimSuffix(text, "\\") + "\n" + more
	}
	return text, err
}

func (r *repl) eval(ctx context.Context, lua string) error {
	a, err := r.node.Runtime.Assign(ctx, r.def.ID, process.Message{Data: evalMessage(lua)})
	if err != nil {
		return err
	}
	res, err := r.node.Runtime.Result(ctx, r.def.ID, a.Slot)
	if err != nil {
		return advise(err)
	}
	var parsed jsoniface.Result
	if err := json.Unmarshal(res.Data, &parsed); err != nil {
		return err
	}
	if p := prompt(parsed.Output); p != "" {
		r.prompt = p
	}
	_, err = io.WriteString(r.out, readable(res, &parsed))
	return err
}

var (
	luaNoise = regexp.MustCompile(`(?s)--\[\[.*?\]\]|--[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\[\[.*?\]\]`)
	luaWords = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*|[({\[\]})]`)
)

// open reports whether Lua has more beginnings than ends: a guess that is
// right for what people type, and harmless otherwise.
func open(lua string) bool {
	depth := 0
	for _, w := range luaWords.FindAllString(luaNoise.ReplaceAllString(lua, " "), -1) {
		switch w {
		case "function", "do", "then", "repeat", "(", "{", "[":
			depth++
		case "end", "until", ")", "}", "]":
			depth--
		case "elseif":
			depth-- // its then begins again
		}
	}
	return depth > 0
}

// lines reads lines from a terminal, with editing and history, or from
// anything else, without.
type lines struct {
	term    *liner.State
	history string
	plain   *bufio.Reader
}

// escapes are the colours that AOS puts into what it prints.
var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

func newLines(c *cobra.Command, history string) (*lines, error) {
	l := &lines{history: history}
	in, ok := c.InOrStdin().(*os.File)
	if !ok || !isatty.IsTerminal(in.Fd()) {
		l.plain = bufio.NewReader(c.InOrStdin())
		return l, nil
	}
	l.term = liner.NewLiner()
	l.term.SetMultiLineMode(true)
	l.term.SetCtrlCAborts(true)
	f, err := os.Open(history)
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, errors.Join(err, l.term.Close())
	}
	_, err = l.term.ReadHistory(f)
	return l, errors.Join(err, f.Close())
}

func (l *lines) next(prompt string) (string, error) {
	if l.term == nil {
		line, err := readLine(l.plain)
		return string(line), err
	}
	text, err := l.term.Prompt(escapes.ReplaceAllString(prompt, ""))
	if errors.Is(err, liner.ErrPromptAborted) {
		return "", io.EOF
	}
	if err == nil && strings.TrimSpace(text) != "" {
		l.term.AppendHistory(text)
	}
	return text, err
}

func (l *lines) close() error {
	if l.term == nil {
		return nil
	}
	f, err := os.OpenFile(l.history, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err == nil {
		_, err = l.term.WriteHistory(f)
		err = errors.Join(err, f.Close())
	}
	return errors.Join(err, l.term.Close())
}

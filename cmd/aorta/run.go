package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"aorta/device/jsoniface"
	"aorta/node"
	"aorta/process"
)

type runFlags struct {
	data     dataFlags
	limits   limitFlags
	messages string
	evals    []string
	name     string
	owner    string
	json     bool
}

func newRun() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run MODULE.wasm",
		Short: "Send messages to a local process, and print what comes of them",
		Long: `Run starts the process that MODULE.wasm and --name stand for, or goes on with
it if the data directory has it, and sends it messages.

--eval sends a line of Lua to an AOS process. --message reads messages, one
JSON object a line, from a file or (-) from standard input, as long as it is
open; fields that a message leaves out are filled in. Each result is printed
when it is there; with --json as one JSON object a line.

A message is durable before it is computed: kill this command at any time, and
nothing that it acknowledged is lost or done twice.

The exit status is 0 if every message succeeded, 3 if some message ended in an
error (the process goes on without it), and 1 if the command failed.`,
		Example: `  aorta run aos.wasm --eval 'X = 40' --eval 'return X + 2'
  echo '{"Tags":[{"name":"Action","value":"Eval"}],"Data":"1+1"}' | aorta run aos.wasm --message - --json`,
		Args: oneModule,
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args[0]) },
	}
	f.data.add(c)
	f.limits.add(c)
	c.Flags().StringVarP(&f.messages, "message", "m", "", "`file` of messages, one JSON object a line; - for standard input")
	c.Flags().StringArrayVarP(&f.evals, "eval", "e", nil, "`lua` to evaluate (more than once if you like)")
	c.Flags().StringVar(&f.name, "name", "default", "tells processes of one module apart")
	c.Flags().StringVar(&f.owner, "owner", "", "`address` of the owner (43 characters); a local one if left out")
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON object a line")
	return c
}

func (f *runFlags) run(c *cobra.Command, path string) (err error) {
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
	s := &session{node: n, def: def, out: c.OutOrStdout(), json: f.json}
	for _, e := range f.evals {
		if err := s.send(ctx, evalMessage(e)); err != nil {
			return err
		}
	}
	if f.messages != "" {
		if err := s.lines(ctx, c.InOrStdin(), f.messages); err != nil {
			return err
		}
	}
	if len(f.evals) == 0 && f.messages == "" {
		info, err := n.Runtime.Inspect(ctx, def.ID)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.ErrOrStderr(), "process %s has %d slots; send it something with --eval or --message\n", def.ID, info.Assigned)
	}
	if s.failed {
		return errMessages
	}
	return nil
}

// session sends messages to one process and prints the results.
type session struct {
	node   *node.Node
	def    *process.Definition
	out    io.Writer
	json   bool
	failed bool
}

func evalMessage(lua string) []byte {
	b, err := json.Marshal(map[string]any{
		"Tags": []process.Tag{{Name: "Action", Value: "Eval"}},
		"Data": lua,
	})
	if err != nil {
		panic(err) // strings always encode
	}
	return b
}

// lines sends each line of a file.
func (s *session) lines(ctx context.Context, stdin io.Reader, path string) error {
	in := stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	r := bufio.NewReaderSize(in, 64<<10)
	for number := 1; ; number++ {
		line, err := readLine(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if len(line) == 0 {
			continue
		}
		if err := jsoniface.Validate(line); err != nil {
			return fmt.Errorf("line %d: %w; nothing of it was sent", number, err)
		}
		if err := s.send(ctx, line); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
}

// readLine reads a line without its end. A line over the message limit is an
// error before it is in memory.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > jsoniface.MaxMessage {
			return nil, fmt.Errorf("%w; this one has more", jsoniface.ErrTooLarge)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0, err == nil:
			for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
				line = line[:len(line)-1]
			}
			return line, nil
		}
		return nil, err
	}
}

// send assigns a message, waits for its result and prints it.
func (s *session) send(ctx context.Context, msg []byte) error {
	a, err := s.node.Runtime.Assign(ctx, s.def.ID, process.Message{Data: msg})
	if err != nil {
		return err
	}
	res, err := s.node.Runtime.Result(ctx, s.def.ID, a.Slot)
	if err != nil {
		return advise(err)
	}
	return s.print(res)
}

// advise adds what to do to errors that a person can do something about.
func advise(err error) error {
	if process.Wire(err).Details.Code == process.CodeWallTime {
		return fmt.Errorf("%w; it waits to be computed: allow it more time with --wall", err)
	}
	return err
}

// line is a result as --json prints it.
type line struct {
	Process string          `json:"process"`
	Slot    uint64          `json:"slot"`
	Failed  bool            `json:"failed,omitempty"`
	Result  json.RawMessage `json:"result"`
	Ledger  any             `json:"ledger"`
}

func (s *session) print(res *process.Result) error {
	var r jsoniface.Result
	if err := json.Unmarshal(res.Data, &r); err != nil {
		return fmt.Errorf("read the result of slot %d: %w", res.Slot, err)
	}
	if r.Failed() {
		s.failed = true
	}
	if s.json {
		b, err := json.Marshal(line{s.def.ID, res.Slot, res.Failed, res.Data, res.Ledger})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.out, "%s\n", b)
		return err
	}
	_, err := io.WriteString(s.out, readable(res, &r))
	return err
}

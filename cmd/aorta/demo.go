package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"aorta/device/jsoniface"
	"aorta/node"
	"aorta/process"
)

func newDemo() *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use:   "demo MODULE.wasm",
		Short: "Show what this is about in a few seconds",
		Long: `Demo runs an AOS process in a node of its own, sends it messages (one fails, one
never ends), kills the node without warning, starts it again, and shows that
nothing was lost and that the log leads to the same state.`,
		Example: `  aorta demo aos.wasm`,
		Args:    oneModule,
		RunE: func(c *cobra.Command, args []string) (err error) {
			dir, err := os.MkdirTemp("", "aorta-demo-")
			if err != nil {
				return err
			}
			if keep {
				fmt.Fprintln(c.OutOrStdout(), "data directory:", dir)
			} else {
				defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
			}
			d := &demo{out: c.OutOrStdout(), module: args[0], dir: dir}
			return d.run(c.Context())
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "keep the data directory")
	return c
}

// demoFuel ends the endless loop in a second or so.
const demoFuel = "2000000000"

const stranger = "Stranger-Stranger-Stranger-Stranger-Strange"

type demoStep struct {
	what    string
	message map[string]any
	// want is what the result must show; "error:" starts an error's text.
	want string
}

func evalStep(what, lua, want string) demoStep {
	return demoStep{what, map[string]any{"Tags": []process.Tag{{Name: "Action", Value: "Eval"}}, "Data": lua}, want}
}

func sendStep(what, action, want string) demoStep {
	return demoStep{what, map[string]any{
		"From": stranger, "Owner": stranger, "Tags": []process.Tag{{Name: "Action", Value: action}}, "Data": "hello",
	}, want}
}

var beforeKill = []demoStep{
	evalStep("a counter", "Count = (Count or 0) + 1; return Count", "1"),
	evalStep("it counts on", "Count = Count + 1; return Count", "2"),
	evalStep("a handler that replies", "Handlers.add('Ping', Handlers.utils.hasMatchingTag('Action', 'Ping'), function(m) Count = Count + 1; ao.send({Target = m.From, Action = 'Pong', Data = 'pong ' .. Count}) end); return 'added'", "added"),
	sendStep("a stranger's message", "Ping", "pong 3"),
	evalStep("a message that fails", "Count = 1000; error('on purpose')", "error: on purpose"),
	evalStep("one that never ends", "while true do Count = Count + 1 end", "error: out of fuel"),
	evalStep("neither left a trace", "return Count", "3"),
}

var afterKill = []demoStep{
	evalStep("nothing was lost", "return Count", "3"),
	evalStep("it counts on", "Count = Count + 1; return Count", "4"),
	sendStep("the handler is there", "Ping", "pong 5"),
}

type demo struct {
	out         io.Writer
	module, dir string
	rows        *tabwriter.Writer
}

func (d *demo) run(ctx context.Context) error {
	fmt.Fprintf(d.out, "A node runs %s; each message is durable before it is computed.\n\n", d.module)
	d.rows = tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(d.rows, "SLOT\tWHAT\tRESULT\tFUEL\tPAGES\tTIME")
	if err := d.life(ctx, beforeKill); err != nil {
		return err
	}
	if err := d.rows.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nThe node was killed (SIGKILL). It starts again:\n\n")
	if err := d.life(ctx, afterKill); err != nil {
		return err
	}
	if err := d.rows.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nIt was killed again. Its log is executed from slot 0 and compared:\n\n")
	return d.verify(ctx)
}

// life starts a node, sends the messages of steps, and kills the node.
func (d *demo) life(ctx context.Context, steps []demoStep) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "run", d.module, "--data", d.dir, "--fuel", demoFuel, "--json", "--message", "-")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a node: %w", err)
	}
	err = d.talk(stdin, stdout, steps, start)
	kill := cmd.Process.Kill()
	_ = cmd.Wait() // "signal: killed" is what it should say
	return errors.Join(err, kill)
}

func (d *demo) talk(stdin io.Writer, stdout io.Reader, steps []demoStep, start time.Time) error {
	lines := bufio.NewReader(stdout)
	for _, s := range steps {
		msg, err := json.Marshal(s.message)
		if err != nil {
			return err
		}
		if _, err := stdin.Write(append(msg, '\n')); err != nil {
			return fmt.Errorf("the node is gone: %w", err)
		}
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("the node is gone: %w", err)
		}
		took := time.Since(start)
		if err := d.row(s, text, took); err != nil {
			return err
		}
		start = time.Now()
	}
	return nil
}

func (d *demo) row(s demoStep, text []byte, took time.Duration) error {
	var l struct {
		Slot   uint64
		Result jsoniface.Result
		Ledger struct {
			Fuel  uint64 `json:"fuel"`
			Pages int    `json:"dirty-pages"`
		}
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return fmt.Errorf("read the node's answer: %w", err)
	}
	shown := output(l.Result.Output)
	if l.Result.Failed() {
		shown = "error: " + strings.TrimPrefix(lastPart(plainError(l.Result.Error)), "error: ")
	}
	var sent []struct{ Data string }
	if json.Unmarshal(l.Result.Messages, &sent) == nil && len(sent) > 0 {
		shown = "→ " + sent[0].Data
	}
	shown = strings.Join(strings.Fields(escapes.ReplaceAllString(shown, "")), " ")
	want, isError := strings.CutPrefix(s.want, "error: ")
	if !strings.Contains(shown, want) || isError != l.Result.Failed() {
		return fmt.Errorf("%s: the process said %q, which should have %q in it", s.what, shown, want)
	}
	_, err := fmt.Fprintf(d.rows, "%d\t%s\t%s\t%s\t%d\t%v\n", l.Slot, s.what, shorten(shown, 48), count(l.Ledger.Fuel), l.Ledger.Pages, took.Round(100*time.Microsecond))
	return err
}

// lastPart drops the places in Lua's errors: [string "aos"]:1: what it says.
func lastPart(s string) string {
	if i := strings.LastIndex(s, "]:"); i >= 0 {
		if _, said, ok := strings.Cut(s[i+2:], ": "); ok {
			return said
		}
	}
	return s
}

func (d *demo) verify(ctx context.Context) (err error) {
	n, err := node.Open(ctx, node.Config{Dir: d.dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close(context.WithoutCancel(ctx))) }()
	id, err := findProcess(ctx, n, "")
	if err != nil {
		return err
	}
	info, err := n.Runtime.Inspect(ctx, id)
	if err != nil {
		return err
	}
	if want := uint64(1 + len(beforeKill) + len(afterKill)); info.Assigned != want {
		return fmt.Errorf("the log has %d slots, not %d", info.Assigned, want)
	}
	// What the node answered but hadn't written is computed again.
	if _, err := n.Runtime.Result(ctx, id, info.Assigned-1); err != nil {
		return err
	}
	if _, err := n.Runtime.Checkpoint(ctx, id); err != nil {
		return err
	}
	report, err := n.Runtime.Replay(ctx, id, process.ReplayOptions{Verify: true})
	if err != nil {
		return err
	}
	return printReport(d.out, report, true)
}

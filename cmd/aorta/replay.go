package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"aorta/process"
)

func newReplay() *cobra.Command {
	var (
		data   dataFlags
		verify bool
		from   uint64
		to     uint64
	)
	c := &cobra.Command{
		Use:   "replay [PROCESS]",
		Short: "Execute a process's log again",
		Long: `Replay executes the messages of a process again, from its first slot, on a
machine of its own. With --verify it compares everything with what was
recorded: the hash chain of the log, the result of every slot, and the root of
the state at every checkpoint. It changes nothing.

Without PROCESS (an id, or the beginning of one) it takes the only process that
the data directory has.`,
		Example: `  aorta replay --verify
  aorta replay otZ4 --from 100 --to 200`,
		Args: atMost(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			ctx := c.Context()
			n, err := data.open(c, process.Options{})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, n.Close(context.WithoutCancel(ctx))) }()
			prefix := ""
			if len(args) == 1 {
				prefix = args[0]
			}
			id, err := findProcess(ctx, n, prefix)
			if err != nil {
				return err
			}
			bar := progressBar(c.ErrOrStderr(), "replay")
			report, err := n.Runtime.Replay(ctx, id, process.ReplayOptions{From: from, To: to, Verify: verify, Progress: bar.show})
			bar.done()
			if err != nil {
				return err
			}
			return printReport(c.OutOrStdout(), report, verify)
		},
	}
	data.add(c)
	c.Flags().BoolVar(&verify, "verify", false, "compare results and roots with what was recorded")
	c.Flags().Uint64Var(&from, "from", 0, "start at the newest checkpoint that isn't after this slot")
	c.Flags().Uint64Var(&to, "to", 0, "end before this slot")
	return c
}

func printReport(out io.Writer, r *process.ReplayReport, verify bool) error {
	rate := float64(r.Slots) / max(r.Took.Seconds(), 1e-9)
	fmt.Fprintf(out, "process %s\nreplayed %d slots from slot %d in %v (%.0f a second)\n", r.Process, r.Slots, r.Start, r.Took.Round(time.Millisecond), rate)
	fmt.Fprintf(out, "root    %s\nprofile %s\n", r.Root, r.Profile)
	if m := r.Mismatch; m != nil {
		if m.What == "result" {
			fmt.Fprintf(out, "recorded result: %s\ncomputed result: %s\n", shorten(string(m.RecordedData), 400), shorten(string(m.ComputedData), 400))
		}
		return fmt.Errorf("slot %d: the %s differs: recorded %s, computed %s", m.Slot, m.What, m.Recorded, m.Computed)
	}
	if verify {
		fmt.Fprintf(out, "verified: the hash chain, %d results and %d roots are equal", r.Results, r.Roots)
		if r.Skipped > 0 {
			fmt.Fprintf(out, "; %d roots are of other engines and weren't compared", r.Skipped)
		}
		fmt.Fprintln(out)
	}
	return nil
}

// bar shows progress on a terminal, and nothing elsewhere.
type bar struct {
	out   io.Writer
	what  string
	shown bool
	start time.Time
}

func progressBar(out io.Writer, what string) *bar {
	b := &bar{out: out, what: what, start: time.Now()}
	if f, ok := out.(*os.File); !ok || !isatty.IsTerminal(f.Fd()) {
		b.out = nil
	}
	return b
}

const barWidth = 30

func (b *bar) show(done, total uint64) {
	if b.out == nil || total == 0 {
		return
	}
	b.shown = true
	filled := int(done * barWidth / total)
	left := time.Duration(0)
	if done > 0 {
		left = time.Duration(float64(time.Since(b.start)) / float64(done) * float64(total-done)).Round(time.Second)
	}
	fmt.Fprintf(b.out, "\r%s [%s%s] %d of %d, %v left ", b.what, strings.Repeat("█", filled), strings.Repeat("·", barWidth-filled), done, total, left)
}

func (b *bar) done() {
	if b.shown {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}

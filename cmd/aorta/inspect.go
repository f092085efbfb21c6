package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"aorta/node"
	"aorta/process"
)

func newInspect() *cobra.Command {
	var (
		data dataFlags
		last uint64
		js   bool
	)
	c := &cobra.Command{
		Use:   "inspect [PROCESS]",
		Short: "Show the processes of a data directory, or the slots of one",
		Long: `Inspect lists the processes of a data directory. With a process's id, or the
beginning of one, it lists what that process did: for each slot how it ended,
how many instructions it took, how many pages of memory it was the first to
write since the runtime's last mark, and the state's root where a checkpoint
was taken.`,
		Example: `  aorta inspect
  aorta inspect otZ4 --last 20 --json`,
		Args: atMost(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			n, err := data.open(c, process.Options{})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, n.Close(context.WithoutCancel(c.Context()))) }()
			if len(args) == 0 {
				return listProcesses(c.Context(), n, c.OutOrStdout(), js)
			}
			id, err := findProcess(c.Context(), n, args[0])
			if err != nil {
				return err
			}
			return listSlots(c.Context(), n, c.OutOrStdout(), id, last, js)
		},
	}
	data.add(c)
	c.Flags().Uint64Var(&last, "last", 0, "show only this many of the newest slots")
	c.Flags().BoolVar(&js, "json", false, "print one JSON object a line")
	return c
}

// findProcess returns the one process whose id starts with prefix.
func findProcess(ctx context.Context, n *node.Node, prefix string) (string, error) {
	found := ""
	for id, err := range n.Runtime.Processes(ctx) {
		if err != nil {
			return "", err
		}
		if len(id) < len(prefix) || id[:len(prefix)] != prefix {
			continue
		}
		if found != "" {
			return "", fmt.Errorf("%s is the beginning of several processes; give more of it", prefix)
		}
		found = id
	}
	if found == "" {
		return "", fmt.Errorf("there is no process %s; 'aorta inspect' lists those that there are", prefix)
	}
	return found, nil
}

func listProcesses(ctx context.Context, n *node.Node, out io.Writer, js bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	rows := 0
	for id, err := range n.Runtime.Processes(ctx) {
		if err != nil {
			return err
		}
		info, err := n.Runtime.Inspect(ctx, id)
		if err != nil {
			return err
		}
		root := ""
		if info.Checkpoint != nil {
			root = info.Checkpoint.Root.String()
		}
		if js {
			row := map[string]any{"process": id, "name": tagOf(info.Definition.Tags, "Name"), "slots": info.Assigned, "computed": info.Computed, "state": info.State, "root": root, "profile": info.Profile}
			if err := json.NewEncoder(out).Encode(row); err != nil {
				return err
			}
			continue
		}
		if rows++; rows == 1 {
			fmt.Fprintln(w, "PROCESS\tNAME\tSLOTS\tSTATE\tCHECKPOINT\tROOT")
		}
		at := "–"
		if info.Checkpoint != nil {
			at = fmt.Sprintf("slot %d", info.Checkpoint.Next-1)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%.16s\n", id, tagOf(info.Definition.Tags, "Name"), info.Assigned, info.State, at, root)
	}
	if rows == 0 && !js {
		fmt.Fprintln(w, "no processes yet; 'aorta run MODULE.wasm --eval …' makes one")
	}
	return w.Flush()
}

func tagOf(tags []process.Tag, name string) string {
	for _, t := range tags {
		if t.Name == name {
			return t.Value
		}
	}
	return ""
}

func listSlots(ctx context.Context, n *node.Node, out io.Writer, id string, last uint64, js bool) error {
	info, err := n.Runtime.Inspect(ctx, id)
	if err != nil {
		return err
	}
	from := uint64(0)
	if last > 0 && info.Assigned > last {
		from = info.Assigned - last
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if !js {
		fmt.Fprintf(out, "process %s\nmodule  %s\nprofile %s\n\n", id, info.Definition.Module, info.Profile)
		fmt.Fprintln(w, "SLOT\tSTATUS\tFUEL\tPAGES\tMEMORY\tTIME\tRESULT\tROOT")
	}
	for s, err := range n.Runtime.Slots(ctx, id, from) {
		if err != nil {
			return err
		}
		root := ""
		if s.Checkpoint != nil {
			root = hex.EncodeToString(s.Checkpoint.Root[:])
		}
		if js {
			row := map[string]any{"slot": s.Slot, "status": s.Status, "timestamp": s.Timestamp, "ledger": s.Ledger, "result": s.Result.String(), "root": root, "profile": s.Profile}
			if err := json.NewEncoder(out).Encode(row); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%d MiB\t%v\t%.12s\t%.16s\n", s.Slot, s.Status, count(s.Ledger.Fuel), s.Ledger.DirtyPages,
			s.Ledger.MemoryBytes>>20, s.Ledger.Wall.Round(10*time.Microsecond), s.Result, root)
	}
	return w.Flush()
}

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"aorta/node"
	"aorta/process"
	"aorta/store"
	"aorta/vm"
	"aorta/vm/image"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "aorta",
		Short: "Run AO processes",
		Long: `Aorta runs AO processes: long-lived programs whose state is a pure function of
the messages that they were sent.

A process lives in a data directory. Its messages are durable before they are
acknowledged, its state is checkpointed, and everything can be computed again:

  aorta run aos.wasm --eval 'return 1 + 1'     start a process and ask it something
  aorta repl aos.wasm                          talk to it
  aorta inspect                                see what is in the data directory
  aorta replay --verify                        prove that the log leads to the states`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("there is no command %q; see 'aorta --help'", args[0])}
			}
			return nil
		},
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see '%s --help'", err, c.CommandPath())}
	})
	root.AddCommand(newRun(), newRepl(), newInspect(), newReplay(), newVersion(), newDemo())
	return root
}

// oneModule wants the one argument of a command that runs a module.
func oneModule(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("name one WebAssembly module, as in '%s aos.wasm'", c.CommandPath())}
	}
	return nil
}

// atMost wants no more than n arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > n {
			return usageError{fmt.Errorf("%q is one argument too many; see '%s --help'", args[n], c.CommandPath())}
		}
		return nil
	}
}

// dataFlags are the flags of every command that opens a data directory.
type dataFlags struct {
	dir, cache, tracking string
	wall                 time.Duration
	verbose              bool
}

func (f *dataFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.dir, "data", defaultDir(), "data `directory`; made if it isn't there")
	c.Flags().StringVar(&f.cache, "code-cache", os.Getenv("AORTA_CODE_CACHE"), "`directory` of compiled modules, which several nodes may share; in the data directory if left out")
	c.Flags().StringVar(&f.tracking, "tracking", "auto", "how to find written memory: auto, pagemap-scan, pagemap or compare")
	c.Flags().DurationVar(&f.wall, "wall", vm.DefaultWall, "time that a message may take on this node; one that takes longer has no result, and is tried again when it is asked for")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "log what happens to standard error")
}

func defaultDir() string {
	if d := os.Getenv("AORTA_DATA"); d != "" {
		return d
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".aorta")
	}
	return "aorta-data"
}

func (f *dataFlags) open(c *cobra.Command, opts process.Options) (*node.Node, error) {
	mode, err := image.ParseMode(f.tracking)
	if err != nil {
		return nil, usageError{err}
	}
	cfg := node.Config{Dir: f.dir, Cache: f.cache, Tracking: mode, Wall: f.wall, Process: opts}
	if f.verbose {
		cfg.Logger = slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	n, err := node.Open(c.Context(), cfg)
	switch {
	case errors.Is(err, store.ErrLocked):
		return nil, fmt.Errorf("%s is in use by another aorta; stop that one, or choose another directory with --data", f.dir)
	case errors.Is(err, store.ErrNewerFormat):
		return nil, fmt.Errorf("%s was written by a newer aorta; use that version, or choose another directory with --data", f.dir)
	}
	return n, err
}

// limitFlags are the limits of a new process.
type limitFlags struct {
	fuel   uint64
	memory uint64
}

func (f *limitFlags) add(c *cobra.Command) {
	c.Flags().Uint64Var(&f.fuel, "fuel", vm.DefaultFuel, "instructions that a message may take (set when the process is made)")
	c.Flags().Uint64Var(&f.memory, "memory", vm.DefaultMemory>>20, "memory that the process may have, in MiB (set when the process is made)")
}

func (f *limitFlags) limits() vm.Limits {
	return vm.Limits{Fuel: f.fuel, Memory: f.memory << 20}
}

// readModule reads a module from a file.
func readModule(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("there is no file %s", path)
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory; name a WebAssembly module", path)
	case info.Size() > maxModule:
		return nil, fmt.Errorf("%s has %d MiB; modules have at most %d", path, info.Size()>>20, maxModule>>20)
	}
	return os.ReadFile(path)
}

// maxModule is above what the rewriter accepts, so that its word is heard.
const maxModule = 256 << 20

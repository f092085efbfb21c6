// Command aorta runs AO processes.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:])) }

// Exit codes.
const (
	exitOK = iota
	// exitFailed: the command couldn't do what it was asked to.
	exitFailed
	// exitUsage: the command was called wrongly.
	exitUsage
	// exitMessages: everything ran, but some message ended in an error.
	exitMessages
)

// errMessages says that some message ended in an error, which was shown.
var errMessages = errors.New("some messages ended in an error")

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errMessages):
		return exitMessages
	case errors.As(err, &usage):
		fmt.Fprintln(os.Stderr, "aorta: "+oneLine(err))
		return exitUsage
	}
	fmt.Fprintln(os.Stderr, "aorta: "+oneLine(err))
	return exitFailed
}

// usageError is a mistake in the command line.
type usageError struct{ error }

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

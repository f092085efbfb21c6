package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"aorta/vm/image"
	"aorta/vm/wasm"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Say what this is, and what results depend on",
		Example: `  aorta version`,
		Args:    atMost(0),
		RunE: func(c *cobra.Command, _ []string) error {
			e, err := wasm.NewEngine(wasm.Config{Tracking: image.ModeAuto})
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			fmt.Fprintf(out, "aorta           %s\n", version())
			fmt.Fprintf(out, "go              %s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
			fmt.Fprintf(out, "engine profile  %s\n", e.Profile())
			fmt.Fprintf(out, "page tracking   %v\n", e.Tracking())
			return e.Close()
		},
	}
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v += " " + s.Value[:12]
		}
	}
	return v
}

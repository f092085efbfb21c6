// Package node puts a node together: it is the only place that knows every part.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"aorta/device/jsoniface"
	"aorta/process"
	"aorta/store/pebble"
	"aorta/vm/image"
	"aorta/vm/wasm"
)

// Config says what a node is made of.
type Config struct {
	// Dir is the data directory. It is made if it isn't there.
	Dir string
	// Cache is where compiled modules are kept; empty means in Dir. Nodes may
	// share one.
	Cache string
	// Tracking is how written pages are found.
	Tracking image.Mode
	// Wall is how long a message may take on this node; 0 means as long as
	// its process's definition says.
	Wall time.Duration
	// NoFuel turns instruction counting off.
	NoFuel bool
	// Process configures the runtime; its Devices are filled in.
	Process process.Options
	// Logger gets what an operator should know; nil for none.
	Logger *slog.Logger
}

// Node is an open data directory with everything that runs on it.
type Node struct {
	Store   *pebble.Store
	Engine  *wasm.Engine
	Device  *jsoniface.Device
	Runtime *process.Runtime

	closers []func(context.Context) error
}

// Open opens a node. Close releases it, whatever it was doing.
func Open(ctx context.Context, c Config) (n *Node, err error) {
	n = &Node{}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close(ctx))
			n = nil
		}
	}()
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if n.Store, err = pebble.Open(c.Dir, pebble.Options{Logger: c.Logger}); err != nil {
		return n, fmt.Errorf("open data directory %s: %w", c.Dir, err)
	}
	n.closers = append(n.closers, func(context.Context) error { return n.Store.Close() })
	if c.Cache == "" {
		c.Cache = filepath.Join(c.Dir, "code")
	}
	if n.Engine, err = wasm.NewEngine(wasm.Config{CacheDir: c.Cache, Tracking: c.Tracking, NoFuel: c.NoFuel}); err != nil {
		return n, err
	}
	n.closers = append(n.closers, func(context.Context) error { return n.Engine.Close() })
	n.Device = jsoniface.New(n.Engine, n.Store)
	n.Device.Wall = c.Wall
	c.Process.Devices = map[string]process.Device{jsoniface.Name: n.Device}
	c.Process.Logger = c.Logger
	if n.Runtime, err = process.Open(ctx, n.Store, c.Process); err != nil {
		return n, err
	}
	n.closers = append(n.closers, n.Runtime.Close)
	return n, nil
}

// Close ends everything in reverse order: what is dirty is checkpointed, and
// every machine terminated.
func (n *Node) Close(ctx context.Context) error {
	var err error
	for len(n.closers) > 0 {
		last := len(n.closers) - 1
		err = errors.Join(err, n.closers[last](ctx))
		n.closers = n.closers[:last]
	}
	return err
}

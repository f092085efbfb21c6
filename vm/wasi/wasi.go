// Package wasi answers the imports of WASI preview 1 deterministically, over an in-memory file system and a virtual clock.
//
// Nothing comes from the node that runs it. The realtime clock is the call's
// own time (vm.Env.Time) plus what the guest has slept in this call; sleeping
// takes no time. The monotonic clock adds a microsecond each time that it is
// read. Random bytes are a ChaCha8 stream from the call's seed. Arguments,
// environment and files are what the Options say, and what the guest made of
// the files in earlier calls. There is no network.
//
// Every function is there in both memory layouts: with 32-bit pointers and
// sizes, and with 64-bit ones, as Emscripten's wasm64 target has them (an
// iovec is then two u64, a size that is handed back a u64). Lookup tells them
// apart by the import's signature.
package wasi

import (
	"math"
	"math/rand/v2"

	"aorta/vm"
	"aorta/vm/vfs"
	"aorta/vm/wasi/abi"
	"aorta/vm/wasm"
)

// Module is the name that guests import these functions from.
const Module = "wasi_snapshot_preview1"

// Options configure a Host. The zero value has no arguments, no environment,
// and the file system that NewFS makes.
type Options struct {
	// Args are the program's arguments, its name first.
	Args []string
	// Environ is the environment, each "NAME=value".
	Environ []string
	// Files bounds the file system that New makes.
	Files vfs.Options
	// FS is the file system, sealed, if it isn't to be made by New.
	FS *vfs.FS
}

// Host is a wasm.Host with WASI preview 1.
type Host struct {
	opts   Options
	fs     *vfs.FS
	frames abi.Frames

	env    vm.Env
	random *rand.ChaCha8
	slept  uint64 // nanoseconds of this call
	ticks  uint64 // readings of the monotonic clock in this call
}

var _ wasm.Host = (*Host)(nil)

// New returns a host for one instance.
func New(opts Options) *Host {
	h := &Host{opts: opts, fs: opts.FS, random: rand.NewChaCha8([32]byte{})}
	if h.fs == nil {
		h.fs = NewFS(opts.Files)
		h.fs.Now = func() int64 { return int64(min(h.realtime(), math.MaxInt64)) }
	}
	h.fs.Random = h.fill
	return h
}

// preopened is the descriptor of the directory that paths start from.
const preopened = 3

// NewFS returns the file system of a WASI program: /tmp, /dev/null and the
// random devices, descriptors 0 to 2 on terminals, and / open as 3.
func NewFS(opts vfs.Options) *vfs.FS {
	fs := vfs.New(opts)
	root := fs.Root()
	steps := []func() error{
		func() error { return fs.Mkdir(root, "/tmp", 0o777) },
		func() error { return fs.Mkdir(root, "/dev", 0o777) },
		func() error { return fs.Mkdev(root, "/dev/null", 0o666, vfs.NullDevice) },
		func() error { return fs.Mkdev(root, "/dev/random", 0o444, vfs.RandomDevice) },
		func() error { return fs.Mkdev(root, "/dev/urandom", 0o444, vfs.RandomDevice2) },
		func() error { return fs.Mkdev(root, "/dev/stdout", 0o666, vfs.Terminal) },
		func() error { return fs.Mkdev(root, "/dev/stderr", 0o666, vfs.ErrorTerminal) },
		func() error { return fs.Symlink("stdout", root, "/dev/stdin") },
		func() error { return open(fs, "/dev/stdin", vfs.ReadOnly) },
		func() error { return open(fs, "/dev/stdout", vfs.WriteOnly) },
		func() error { return open(fs, "/dev/stderr", vfs.WriteOnly) },
		func() error { return open(fs, "/", vfs.ReadOnly|vfs.Directory) },
	}
	for _, step := range steps {
		if step() != nil {
			break // the options allow no more
		}
	}
	fs.Seal()
	return fs
}

func open(fs *vfs.FS, path string, flags uint32) error {
	_, err := fs.Open(fs.Root(), path, flags, 0)
	return err
}

// FS is the host's file system.
func (h *Host) FS() *vfs.FS { return h.fs }

// Stdout is what the guest wrote to its standard output in the present or
// last call. It is valid until the next call begins.
func (h *Host) Stdout() []byte { return h.fs.Stdout.Bytes() }

// Stderr is Stdout for the standard error stream.
func (h *Host) Stderr() []byte { return h.fs.Stderr.Bytes() }

// Begin implements wasm.Host.
func (h *Host) Begin(env vm.Env, limits vm.Limits) {
	h.env = env
	h.random.Seed(env.Seed)
	h.slept, h.ticks = 0, 0
	h.fs.Begin(limits.WithDefaults().Output)
}

// Snapshot implements wasm.Host. The state is the file system.
func (h *Host) Snapshot() []byte { return h.fs.Snapshot() }

// Restore implements wasm.Host.
func (h *Host) Restore(snapshot []byte) error { return h.fs.Restore(snapshot) }

// fill reads from the random stream.
func (h *Host) fill(p []byte) { _, _ = h.random.Read(p) } // it never fails

// Fill fills p with the next random bytes of this call.
func (h *Host) Fill(p []byte) { h.fill(p) }

// Lookup implements wasm.Host.
func (h *Host) Lookup(module, name string, t wasm.FuncType) wasm.HostFunc {
	if module != Module {
		return nil
	}
	fn, ok := functions[name]
	if !ok {
		return nil
	}
	s, ok := abi.Match(fn.pattern, t)
	if !ok {
		return nil
	}
	return h.frames.Bind(s, func(f *abi.Frame) error {
		err := fn.call(h, f)
		if err == nil && f.Fault {
			err = vfs.EFAULT
		}
		if e, ok := err.(vfs.Errno); ok {
			f.Result = uint64(e)
			return nil
		}
		return err
	})
}

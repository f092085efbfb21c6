// Package emscripten answers the imports of modules built by Emscripten, as its JavaScript runtime does, deterministically and without JavaScript.
//
// What guests observe equals what they observe in the legacy network's loader
// (npm @permaweb/ao-loader 0.0.49, formats wasm32-unknown-emscripten2 to 4 and
// wasm64-unknown-emscripten-draft_2024_02_15) in an instance that is made for
// the message: the same files and devices, error numbers, time zone (UTC), and
// clock. What depends there on how long an instance has lived, on the node's
// clock or on its random source depends here on the message only.
//
// # Clock
//
// The loader replaces Date.now by a counter that starts at 10000 when an
// instance is made and grows by one each time that anything reads it, file
// system included. Making the instance reads it four times. So by default
// emscripten_date_now and emscripten_get_now return 10004, 10005, … in every
// message, and file times are of the same clock, whatever vm.Env.Time is:
// that is what modules of the legacy network have always seen (Lua seeds its
// hashes with it, so even the order of tables depends on it). With
// Options.MessageClock, emscripten_date_now is vm.Env.Time, and
// emscripten_get_now counts its own readings, in milliseconds. The functions
// of WASI (package wasi) go by vm.Env.Time in both cases.
//
// # Exceptions
//
// A module that was built with exceptions in JavaScript throws by calling the
// host. Modules are rewritten before they run (package rewrite), such that
// __cxa_throw, __cxa_rethrow and __resumeException only note the exception
// here, and the module throws when they return. The functions that need a
// JavaScript catch clause (invoke_…, _emscripten_throw_longjmp) are lowered
// into the module; those that are left have no answer here.
//
// # What is unlike the loader
//
// Descriptors, files and their sizes are bounded (package vfs); what is open
// can be described after its path is gone; memory that isn't there is EFAULT,
// or ends the call, where JavaScript reads undefined; nothing runs shell
// commands; standard input is empty.
package emscripten

import (
	"slices"

	"aorta/vm"
	"aorta/vm/vfs"
	"aorta/vm/wasi"
	"aorta/vm/wasi/abi"
	"aorta/vm/wasm"
)

// Options configure a Host. The zero value is the loader's behaviour.
type Options struct {
	// Args and Environ are the program's arguments and environment. The
	// loader has none.
	Args, Environ []string
	// Files bounds the file system.
	Files vfs.Options
	// MessageClock makes the clock the message's, see the package comment.
	MessageClock bool
	// HeapMax is how large emscripten_resize_heap lets memory get, in bytes;
	// 0 is what the loader's format for the module has. The module's own
	// maximum and the limits of the call hold besides.
	HeapMax uint64
	// Gas is how much a module that meters itself (metering.usegas) may use
	// in one call; 0 is the loader's default.
	Gas uint64
}

// The loader's constants.
const (
	clockStart = 10000
	// clockReady is what the clock stands at when an instance is ready: the
	// links of the standard streams and the directory /data were made.
	clockReady = clockStart + 4
	// clockReady3 is the same for the formats that make no /data.
	clockReady3 = clockStart + 3

	defaultGas = 9e15
)

// Host is a wasm.Host for modules of Emscripten. It answers WASI too.
type Host struct {
	wasi   *wasi.Host
	opts   Options
	fs     *vfs.FS
	frames abi.Frames
	env    vm.Env

	ticks int64 // readings of the clock in this call
	gas   uint64
	// generation is the age of the toolchain, as far as the names of the
	// imports tell: 2 and 3 are those of the loader's formats, 0 is later.
	generation int

	exc exceptions
	// zoned says that a module of generation 2 has its time zone. Its
	// runtime hands that out once in an instance's life.
	zoned bool

	lastFiles, lastSnapshot []byte
	lastExc                 []byte
}

var _ wasm.Host = (*Host)(nil)

// New returns a host for one instance.
func New(opts Options) *Host {
	if opts.Gas == 0 {
		opts.Gas = defaultGas
	}
	h := &Host{opts: opts, fs: newFS(opts.Files)}
	h.fs.Now = func() int64 { return nanos(h.dateNow()) }
	h.wasi = wasi.New(wasi.Options{Args: opts.Args, Environ: opts.Environ, FS: h.fs})
	return h
}

// newFS makes the files that an instance starts with. Inode numbers follow
// from the order.
func newFS(opts vfs.Options) *vfs.FS {
	fs := vfs.New(opts)
	root := fs.Root()
	ticks := int64(clockStart)
	counted := func() int64 { ticks++; return nanos(ticks - 1) }
	dir := func(path string) func() error { return func() error { return fs.Mkdir(root, path, 0o777) } }
	dev := func(path string, mode uint32, d vfs.Device) func() error {
		return func() error { return fs.Mkdev(root, path, mode, d) }
	}
	link := func(path, target string) func() error { return func() error { return fs.Symlink(target, root, path) } }
	open := func(path string, flags uint32) func() error {
		return func() error { _, err := fs.Open(root, path, flags, 0); return err }
	}
	for _, step := range []func() error{
		dir("/tmp"), dir("/home"), dir("/home/web_user"), dir("/dev"),
		dev("/dev/null", 0o666, vfs.NullDevice),
		dev("/dev/tty", 0o666, vfs.Terminal),
		dev("/dev/tty1", 0o666, vfs.ErrorTerminal),
		dev("/dev/random", 0o555, vfs.RandomDevice),
		dev("/dev/urandom", 0o555, vfs.RandomDevice2),
		dir("/dev/shm"), dir("/dev/shm/tmp"), dir("/proc"), dir("/proc/self"),
		func() error { return fs.MountOpenFiles(root, "/proc/self/fd") },
		func() error { fs.Now = counted; return nil }, // what came before has no time
		link("/dev/stdin", "/dev/tty"), link("/dev/stdout", "/dev/tty"), link("/dev/stderr", "/dev/tty1"),
		dir("/data"),
		open("/dev/stdin", vfs.ReadOnly), open("/dev/stdout", vfs.WriteOnly), open("/dev/stderr", vfs.WriteOnly),
	} {
		if step() != nil {
			break // the options allow no more
		}
	}
	fs.Seal()
	return fs
}

// FS is the host's file system.
func (h *Host) FS() *vfs.FS { return h.fs }

// Stdout is what the guest wrote to its standard output, and logged, in the
// present or last call. It is valid until the next call begins.
func (h *Host) Stdout() []byte { return h.fs.Stdout.Bytes() }

// Stderr is Stdout for the standard error stream.
func (h *Host) Stderr() []byte { return h.fs.Stderr.Bytes() }

// Gas is what the guest has used in this call by its own metering.
func (h *Host) Gas() uint64 { return h.gas }

// Begin implements wasm.Host.
func (h *Host) Begin(env vm.Env, limits vm.Limits) {
	h.env = env
	h.ticks, h.gas = 0, 0
	h.wasi.Begin(env, limits)
}

// Lookup implements wasm.Host. What it answers for a name depends on the name
// and the type; how functions that come in generations behave depends on
// which of their names were looked up, that is, on the module.
func (h *Host) Lookup(module, name string, t wasm.FuncType) wasm.HostFunc {
	switch module {
	case wasi.Module:
		if fn := h.bind(overrides[name], t); fn != nil {
			return fn
		}
		return h.wasi.Lookup(module, name, t)
	case "metering":
		return h.bind(metering[name], t)
	case "env":
	default:
		return nil
	}
	h.observe(name)
	if fn := h.bind(functions[name], t); fn != nil {
		return fn
	}
	if fn := h.catching(name, t); fn != nil {
		return fn
	}
	if slices.Contains(sockets, name) && slices.Equal(t.Results, []wasm.ValueType{wasm.I32}) {
		return h.answer(abi.Shape{}, noSockets)
	}
	return nil
}

// observe learns the generation from the names that came and went.
func (h *Host) observe(name string) {
	switch name {
	case "_emscripten_date_now", "emscripten_memcpy_big", "_dlinit":
		h.generation = 2
	case "emscripten_memcpy_js":
		if h.generation == 0 {
			h.generation = 3
		}
	}
}

// function is a prototype and what is behind it. What it returns as a
// vfs.Errno is its result, negated; any other error ends the guest's call.
type function struct {
	pattern string
	call    func(*Host, *abi.Frame) error
}

func (h *Host) bind(list []function, t wasm.FuncType) wasm.HostFunc {
	for _, fn := range list {
		if s, ok := abi.Match(fn.pattern, t); ok {
			return h.answer(s, fn.call)
		}
	}
	return nil
}

func (h *Host) answer(s abi.Shape, call func(*Host, *abi.Frame) error) wasm.HostFunc {
	return h.frames.Bind(s, func(f *abi.Frame) error {
		err := call(h, f)
		if err == nil && f.Fault {
			err = vfs.EFAULT
		}
		if e, ok := err.(vfs.Errno); ok {
			f.Result = uint64(-int64(e))
			return nil
		}
		return err
	})
}

package wasm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/bytecodealliance/wasmtime-go/v39"

	"aorta/vm/image"
	"aorta/vm/wasm/internal/wasmtimex"
	"aorta/vm/wasm/rewrite"
)

// EngineVersion names the engine underneath, as its Go module does.
const EngineVersion = "wasmtime-39.0.1"

// fuelVersion names the table of what each instruction costs. It is the
// engine's: one unit for every instruction but nop, drop, block and loop.
const fuelVersion = "1"

const (
	// DefaultStack is how much native stack guest calls may use, in bytes.
	// The threads that Go makes for C have 8 MiB.
	DefaultStack = 1 << 20
	// memoryReservation is the address space set aside for one memory, in
	// bytes: all that 32-bit code can reach, so that growing never moves it.
	memoryReservation = 4 << 30
	// MaxMemory is the largest memory that limits can allow, in bytes.
	MaxMemory = memoryReservation
)

// Config says how an engine runs modules. Its zero value is the default.
type Config struct {
	// CacheDir is where machine code is kept between runs; empty means
	// nowhere. The directory must be the node's alone: what is in it is
	// executed.
	CacheDir string
	// NoFuel leaves fuel uncounted. Results stay deterministic, but nothing
	// then stops an endless loop but the wall-time limit.
	NoFuel bool
	// Stack is how much native stack guest calls may use, in bytes.
	Stack int
	// Tracking is how written pages are found.
	Tracking image.Mode
	// Rewrite bounds the modules that are accepted.
	Rewrite rewrite.Options
}

// Engine compiles and keeps modules.
type Engine struct {
	config  Config
	profile string
	native  *wasmtime.Engine
	space   *image.Space

	mu      sync.Mutex
	modules map[[32]byte]*entry
	closed  bool
}

// entry is a module that is compiled or being compiled.
type entry struct {
	done chan struct{}
	mod  *Module
	err  error
}

// NewEngine returns an engine. Close releases it.
func NewEngine(config Config) (*Engine, error) {
	if config.Stack == 0 {
		config.Stack = DefaultStack
	}
	space, err := image.NewSpace(config.Tracking)
	if err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	c := wasmtime.NewConfig()
	c.SetConsumeFuel(!config.NoFuel)
	c.SetMaxWasmStack(config.Stack)
	c.SetCraneliftNanCanonicalization(true)
	c.SetWasmMemory64(true)
	c.SetWasmSIMD(true)
	c.SetWasmRelaxedSIMD(false)
	c.SetWasmBulkMemory(true)
	c.SetWasmReferenceTypes(true)
	c.SetWasmMultiValue(true)
	c.SetWasmMultiMemory(true) // for the poll page, see rewrite
	c.SetWasmTailCall(true)
	c.SetWasmThreads(false)
	// Guests have no clock, no threads and no shared memory, so they can't
	// time what speculation does to caches; see docs/rationale.md.
	c.SetCraneliftFlag("enable_heap_access_spectre_mitigation", "false")
	c.SetCraneliftFlag("enable_table_access_spectre_mitigation", "false")
	wasmtimex.EnableExceptions(c)
	wasmtimex.SetMemoryReservation(c, memoryReservation)
	wasmtimex.SetMemoryMayMove(c, false)
	return &Engine{
		config:  config,
		profile: profile(config),
		native:  wasmtime.NewEngineWithConfig(c),
		space:   space,
		modules: make(map[[32]byte]*entry),
	}, nil
}

// profile names all that results depend on besides module, state and message.
// The processor is a part of it because the size of native stack frames is.
func profile(c Config) string {
	fuel := "fuel-" + fuelVersion
	if c.NoFuel {
		fuel = "no-fuel"
	}
	return fmt.Sprintf("%s+rewrite-%s+%s+stack-%d+nan+%s", EngineVersion, rewrite.Version, fuel, c.Stack, runtime.GOARCH)
}

// Profile is the engine profile: results and checkpoints are comparable
// between engines of equal profile.
func (e *Engine) Profile() string { return e.profile }

// Tracking is how this engine finds written pages.
func (e *Engine) Tracking() image.Mode { return e.space.Mode() }

// ErrClosed says that the engine was closed.
var ErrClosed = errors.New("engine is closed")

// Compile returns the module with that binary, compiling it unless this
// engine already has or the cache on disk holds it. Concurrent calls for one
// binary compile once. The module lives as long as the engine. A module that
// can't be run is refused with a *rewrite.Error or an error of the engine's.
func (e *Engine) Compile(ctx context.Context, wasm []byte) (*Module, error) {
	id := sha256.Sum256(wasm)
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil, ErrClosed
	}
	en, ok := e.modules[id]
	if !ok {
		en = &entry{done: make(chan struct{})}
		e.modules[id] = en
	}
	e.mu.Unlock()
	if ok {
		select {
		case <-en.done:
			return en.mod, en.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	en.mod, en.err = e.build(id, wasm)
	if en.err != nil {
		e.mu.Lock()
		delete(e.modules, id) // a retry may succeed: the disk may have been full
		e.mu.Unlock()
	}
	close(en.done)
	return en.mod, en.err
}

func (e *Engine) build(id [32]byte, wasm []byte) (*Module, error) {
	name := hex.EncodeToString(id[:])
	info, native := e.load(name)
	if native == nil {
		var err error
		info, err = rewrite.Rewrite(wasm, e.config.Rewrite)
		if err != nil {
			return nil, fmt.Errorf("module %s: %w", name[:12], err)
		}
		native, err = wasmtime.NewModule(e.native, info.Wasm)
		if err != nil {
			return nil, fmt.Errorf("module %s: %w", name[:12], invalid(err))
		}
		info.Wasm = nil
		e.save(name, info, native)
	}
	m, err := newModule(e, id, info, native)
	if err != nil {
		native.Close()
		return nil, fmt.Errorf("module %s: %w", name[:12], err)
	}
	return m, nil
}

// Close releases the engine and its modules. Every instance must be closed
// before; an error says how many states are still in use.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	modules := e.modules
	e.modules = nil
	e.mu.Unlock()
	for _, en := range modules {
		<-en.done
		if en.mod != nil {
			en.mod.close()
		}
	}
	err := e.space.Close()
	e.native.Close()
	return err
}

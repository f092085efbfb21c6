package wasm

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bytecodealliance/wasmtime-go/v39"

	"aorta/vm"
)

// trapCodes are the engine's codes that mean a fault of the guest's.
var trapCodes = map[wasmtime.TrapCode]string{
	wasmtime.MemoryOutOfBounds:      vm.TrapMemory,
	wasmtime.HeapMisaligned:         vm.TrapMisaligned,
	wasmtime.TableOutOfBounds:       vm.TrapTable,
	wasmtime.IndirectCallToNull:     vm.TrapIndirectNull,
	wasmtime.BadSignature:           vm.TrapBadSignature,
	wasmtime.IntegerOverflow:        vm.TrapIntegerOverflow,
	wasmtime.IntegerDivisionByZero:  vm.TrapDivideByZero,
	wasmtime.BadConversionToInteger: vm.TrapBadConversion,
	wasmtime.UnreachableCodeReached: vm.TrapUnreachable,
}

// outOfFuel is the engine's code as its header (wasmtime/trap.h) numbers it;
// the binding's constant is one short.
const outOfFuel wasmtime.TrapCode = 12

// ended turns what ended a call into one of package vm's errors.
func (in *Instance) ended(ctx context.Context, err error) error {
	if in.failure != nil {
		return in.failure
	}
	if in.watch.fired() {
		if ctx.Err() != nil && !in.watch.late() {
			return ctx.Err()
		}
		return &vm.LimitError{Kind: vm.LimitWall, Max: uint64(in.limits.Wall.Milliseconds()), Used: uint64(in.watch.elapsed().Milliseconds())}
	}
	var trap *wasmtime.Trap
	if errors.As(err, &trap) {
		code := trap.Code()
		switch {
		case code == nil:
		case *code == outOfFuel:
			return &vm.LimitError{Kind: vm.LimitFuel, Max: in.limits.Fuel, Used: in.limits.Fuel}
		case *code == wasmtime.StackOverflow:
			stack := uint64(in.mod.engine.config.Stack)
			return &vm.LimitError{Kind: vm.LimitStack, Max: stack, Used: stack}
		}
		if used := in.refusedBytes(); used > in.limits.Memory {
			return &vm.LimitError{Kind: vm.LimitMemory, Max: in.limits.Memory, Used: used}
		}
		out := &vm.TrapError{Code: vm.TrapOther}
		if code != nil {
			if name, ok := trapCodes[*code]; ok {
				out.Code = name
			}
		}
		if frames := trap.Frames(); len(frames) > 0 {
			if name := frames[0].FuncName(); name != nil {
				out.Function = *name
			} else {
				out.Function = fmt.Sprintf("function %d", frames[0].FuncIndex())
			}
		}
		trap.Close()
		return out
	}
	var native *wasmtime.Error
	if !errors.As(err, &native) {
		return err // package vm's or ours already
	}
	if strings.Contains(err.Error(), "GC heap out of memory") {
		return &vm.LimitError{Kind: vm.LimitMemory, Max: in.limits.Memory, Used: in.limits.Memory}
	}
	if strings.Contains(err.Error(), "exception") {
		return &vm.TrapError{Code: vm.TrapException}
	}
	return fmt.Errorf("engine: %s", firstLine(err.Error()))
}

// refusedBytes is the size of memory that the guest asked for in vain during
// the call, in bytes, or 0.
func (in *Instance) refusedBytes() uint64 {
	if in.refusedMemory == 0 && in.refused != nil {
		if pages := uint64(in.refused.Get(in.store).I64()); pages > 0 {
			return uint64(in.Size()) + min(pages, 1<<32)*wasmPage
		}
	}
	return in.refusedMemory
}

// invalid shortens the engine's word on a module that it refuses.
func invalid(err error) error {
	return fmt.Errorf("not a valid WebAssembly module: %s", firstLine(err.Error()))
}

// maxReason bounds what is quoted of the engine, in bytes: a backtrace can have
// hundreds of thousands.
const maxReason = 1 << 10

// firstLine drops the native backtraces that the engine appends.
func firstLine(s string) string {
	if i := strings.Index(s, "\n\nStack backtrace:"); i >= 0 {
		s = s[:i]
	}
	s = s[:min(len(s), maxReason)]
	s = strings.ReplaceAll(strings.TrimSpace(s), "\n\nCaused by:\n", ": ")
	return strings.Join(strings.Fields(s), " ")
}

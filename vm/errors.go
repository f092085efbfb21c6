package vm

import "fmt"

// LimitKind names a limit, in the words of its error and of the metrics.
type LimitKind string

// The limits that can end a call.
const (
	LimitFuel   LimitKind = "fuel"
	LimitWall   LimitKind = "wall-time"
	LimitMemory LimitKind = "memory"
	LimitTable  LimitKind = "table"
	LimitStack  LimitKind = "stack"
	LimitOutput LimitKind = "output"
)

// LimitError says that a call was ended by one of its limits.
type LimitError struct {
	Kind LimitKind
	// Max is the limit, Used what the call had used or asked for when it was
	// ended. Units: instructions for fuel, milliseconds for wall time, bytes
	// for memory, stack and output, entries for tables.
	Max, Used uint64
}

func (e *LimitError) Error() string {
	switch e.Kind {
	case LimitFuel:
		return fmt.Sprintf("out of fuel: used %d of %d instructions", e.Used, e.Max)
	case LimitWall:
		return fmt.Sprintf("out of time: used %d of %d ms", e.Used, e.Max)
	case LimitMemory:
		return fmt.Sprintf("out of memory: asked for %d of %d bytes", e.Used, e.Max)
	case LimitTable:
		return fmt.Sprintf("table too large: asked for %d of %d entries", e.Used, e.Max)
	case LimitStack:
		return fmt.Sprintf("stack overflow: used all of %d bytes", e.Max)
	case LimitOutput:
		return fmt.Sprintf("too much output: %d of %d bytes", e.Used, e.Max)
	}
	return fmt.Sprintf("limit %s exceeded: %d of %d", e.Kind, e.Used, e.Max)
}

// Deterministic reports whether every node that replays the call ends it the
// same way. Only wall time isn't.
func (e *LimitError) Deterministic() bool { return e.Kind != LimitWall }

// TrapError says that the guest did what its instruction set forbids. It is
// deterministic.
type TrapError struct {
	// Code is one of the Trap constants.
	Code string
	// Function is the name or index of the guest's innermost function, if known.
	Function string
}

// Trap codes, as WebAssembly names them.
const (
	TrapUnreachable     = "unreachable"
	TrapMemory          = "out-of-bounds-memory"
	TrapTable           = "out-of-bounds-table"
	TrapIndirectNull    = "indirect-call-to-null"
	TrapBadSignature    = "indirect-call-type-mismatch"
	TrapIntegerOverflow = "integer-overflow"
	TrapDivideByZero    = "integer-divide-by-zero"
	TrapBadConversion   = "bad-conversion-to-integer"
	TrapMisaligned      = "unaligned-atomic"
	TrapException       = "uncaught-exception"
	TrapOther           = "trap"
)

func (e *TrapError) Error() string {
	if e.Function == "" {
		return "the module trapped: " + e.Code
	}
	return "the module trapped: " + e.Code + " in " + e.Function
}

// ExitError says that the guest asked to end (proc_exit, exit). It is
// deterministic. Code 0 still ends the call without a result.
type ExitError struct{ Code int32 }

func (e *ExitError) Error() string { return fmt.Sprintf("the module exited with code %d", e.Code) }

// GuestError says that the guest broke the calling convention: a pointer
// outside its memory, a string without an end, an allocation that failed. It
// is deterministic.
type GuestError struct{ What string }

func (e *GuestError) Error() string { return "the module misbehaved: " + e.What }

// HostError says that a host function failed for a reason of the host's own.
type HostError struct {
	// Function is the host function, "module.name".
	Function string
	Err      error
}

func (e *HostError) Error() string { return fmt.Sprintf("host function %s: %v", e.Function, e.Err) }
func (e *HostError) Unwrap() error { return e.Err }

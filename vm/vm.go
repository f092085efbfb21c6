// Package vm holds the words that all of Aorta's deterministic machines share: limits, ledgers and the typed ways in which a call can end.
//
// It knows nothing of AO and nothing of messages. The machines themselves are
// the packages below it: wasm (calls), image (memory), wasi and emscripten
// (host functions).
package vm

import "time"

// Limits bound one call into a machine. A zero field means "the default";
// Default lists those.
type Limits struct {
	// Fuel is the number of instructions a call may spend, as the engine
	// profile counts them. Deterministic.
	Fuel uint64
	// Wall is how long the call may take on this node's clock. It is a
	// safety net for the node, not a part of the result: a call that ends
	// by it may succeed elsewhere.
	Wall time.Duration
	// Memory is the largest size of linear memory, in bytes.
	Memory uint64
	// Table is the largest number of entries in any one table.
	Table uint64
	// Output is the number of bytes a guest may hand back or print in one
	// call: its result and each of its output streams, separately.
	Output uint64
}

// The defaults, with the reason for each.
const (
	// DefaultFuel lets the heaviest legitimate AOS evaluation seen (loading
	// a large library) pass with two orders of magnitude to spare, and stops
	// an endless loop in tens of seconds.
	DefaultFuel = 30_000_000_000
	// DefaultWall is well above what DefaultFuel takes on slow hardware, so
	// that fuel, which is deterministic, is what normally ends a call.
	DefaultWall = 5 * time.Minute
	// DefaultMemory is what the legacy units allow (execution limits of the
	// legacy compute unit: 1 GiB).
	DefaultMemory = 1 << 30
	// DefaultTable is far above what compilers emit; a table entry costs 8 bytes.
	DefaultTable = 1 << 20
	// DefaultOutput holds the largest result that the network's message size
	// allows, and then some.
	DefaultOutput = 16 << 20
)

// WithDefaults returns l with every zero field replaced by its default.
func (l Limits) WithDefaults() Limits {
	if l.Fuel == 0 {
		l.Fuel = DefaultFuel
	}
	if l.Wall == 0 {
		l.Wall = DefaultWall
	}
	if l.Memory == 0 {
		l.Memory = DefaultMemory
	}
	if l.Table == 0 {
		l.Table = DefaultTable
	}
	if l.Output == 0 {
		l.Output = DefaultOutput
	}
	return l
}

// Ledger is what a call cost, whether it succeeded or not.
type Ledger struct {
	// Fuel is the number of instructions spent. Deterministic.
	Fuel uint64 `json:"fuel"`
	// DirtyPages counts the 4 KiB pages of memory that this call was the
	// first to write since the machine's last mark. It depends on where the
	// marks fall, so it is no part of a result.
	DirtyPages int `json:"dirty-pages"`
	// MemoryBytes is the size of linear memory after the call. Deterministic.
	MemoryBytes uint64 `json:"memory-bytes"`
	// HostCalls counts calls from the guest into the host, by "module.name".
	HostCalls map[string]uint64 `json:"host-calls,omitempty"`
	// Wall is how long the call took on this node.
	Wall time.Duration `json:"wall"`
}

// Env is everything of the outside world that a machine may see during one
// call. Two calls with equal inputs, state and Env have equal outcomes.
type Env struct {
	// Time is the wall clock in milliseconds since the Unix epoch, usually
	// the assignment's timestamp.
	Time int64
	// Seed feeds every random source, usually a hash of (process, slot).
	Seed [32]byte
}

package process

import (
	"context"

	"aorta/store"
	"aorta/vm"
)

// A Device makes machines: it is what executes a process. It is the execution
// contract init, compute, snapshot, normalize and terminate as Go methods.
// A Device is used by many goroutines; a Machine by one at a time.
type Device interface {
	// Init builds the machine of a new process, in the state before slot 0.
	Init(ctx context.Context, def *Definition) (Machine, error)
	// Normalize rebuilds the machine that a Snapshot described. An error
	// means that the snapshot can't be used (damaged, incomplete, another
	// engine profile): the caller tries an older one, or replays.
	Normalize(ctx context.Context, def *Definition, snap *Snapshot) (Machine, error)
	// Profile identifies everything besides state and messages that results
	// depend on. Snapshots of another profile aren't restored.
	Profile() string
}

// A ModuleChecker is a Device that can judge a module by its bytes, so that
// one that can't be executed is refused before anything of it is stored.
type ModuleChecker interface {
	// CheckModule returns why the module can't be executed, or nil.
	CheckModule(ctx context.Context, module []byte) error
}

// A Machine is one process in memory. Panics of a Device or a Machine are
// caught, and treated as errors after which the machine is terminated.
type Machine interface {
	// Compute applies one assignment. Whatever ends badly inside the sandbox
	// is an Outcome whose Result carries the error and whose Failed is true;
	// the machine's state is then undefined until Rollback. An error return
	// is this node's own trouble (cancelled, wall-time limit, out of address
	// space): no result is recorded, and the state is undefined until
	// Rollback too.
	Compute(ctx context.Context, a *Assignment) (*Outcome, error)
	// Mark makes the present state the one that Rollback returns to. A new or
	// restored machine is marked. After an error the machine is terminated.
	Mark() error
	// Rollback returns to the last mark. After an error the machine is
	// terminated.
	Rollback() error
	// Snapshot stores the present state, marking it, and returns what
	// Normalize needs. Only what changed since the machine's last snapshot is
	// written to chunks. It does not sync the store. An error leaves the
	// present state as it was and may or may not mark it: the caller marks
	// again before it computes.
	Snapshot(ctx context.Context, chunks store.Chunks) (*Snapshot, error)
	// Fork returns a machine of its own with the state of the last mark, for
	// reading: it can compute and roll back, but not snapshot. It must be
	// terminated like any other.
	Fork(ctx context.Context) (Machine, error)
	// Dirty is how many bytes changed since the last snapshot, about; what
	// changed since the last mark may be left out. Cheap.
	Dirty() uint64
	// Footprint is how many bytes of this node's memory the machine takes,
	// about. Cheap.
	Footprint() uint64
	// Terminate releases everything, whatever state the machine is in. Twice
	// is harmless.
	Terminate()
}

// Snapshot is a state, as a name: chunks hold its bytes.
type Snapshot struct {
	// Root is the state's fingerprint: equal states have equal roots, however
	// they were reached.
	Root store.Hash
	// Manifest is what Normalize needs besides the chunks; opaque, versioned
	// by the device, at most a few hundred bytes.
	Manifest []byte
	// Profile is the engine profile that made the state.
	Profile string
	// Written is the number of bytes handed to chunks for it, uncompressed.
	Written uint64
}

// Outcome is what one assignment came to.
type Outcome struct {
	// Result is what is recorded for the slot: canonical bytes that depend on
	// state and assignment only. They are the caller's: the machine doesn't
	// use them again.
	Result []byte
	// Failed says that the message must leave no trace in the state.
	Failed bool
	// Ledger is what it cost.
	Ledger vm.Ledger
}

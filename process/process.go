// Package process is the runtime of processes: a durable log, one worker a live process, residency, checkpoints and results.
//
// It is not a scheduler of the network and not a device: it neither verifies
// signatures nor knows what a message means. It gives a process's messages
// their order, applies them through the process's Device, and keeps what
// comes of it in a store.
//
// # What is true when
//
// The log is the truth. Assign returns once the assignment is durable;
// everything after that can be computed again. So results are answered as
// soon as they are known and written in batches later (writer.go), and a crash
// costs the re-execution since the newest good checkpoint (restore.go). What
// is computed again is compared with what was recorded; a difference
// quarantines the process (divergence.go) instead of giving a second answer.
//
// A message is a transaction (executor.go): a failed one is recorded as
// failed and leaves no trace in the state. Trouble of this node's own — a
// store that fails, a wall-time limit, a device that panics — is never
// recorded: the slot is tried again, and then stalls until somebody asks.
//
// # Who runs where
//
// Each live process has one worker, a goroutine that owns the process's
// machine (worker.go). Machines take seats (residency.go); a worker without
// work keeps its machine until somebody else needs the seat, and then
// checkpoints it and ends. One writer goroutine writes results and
// checkpoints of all processes. A Read computes on the caller's goroutine, on
// a fork that the worker made. Runtime.Close waits for all of them.
//
// Locks: Runtime.mu, residency.mu, writer.mu and proc.mu are leaves; none is
// held while another is taken, nor while a device, the store or a listener is
// called. proc.loading and proc.assigning are held across calls to the store,
// and taken in that order.
//
// # Names in the store
//
//	process/<id>                   log of assignments
//	definition/<id>                link to the value that holds the definition
//	result/<id>/<slot>             link: the slot's result, or where it is
//	checkpoint/<id>/<next>         link: a state, named by the first slot it hasn't seen
//	divergence/<id>                link: why the process is quarantined
//
// Ids are 43 characters of base64url; slots are 20 decimal digits, so that
// their order is the order of the names.
package process

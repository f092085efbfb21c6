package process

import "time"

// Events are told what happens; a nil func isn't. They are called on the
// goroutine where it happened, with no lock held, and should return soon. They
// may not call the Runtime.
type Events struct {
	Spawned  func(process string)
	Assigned func(*Assignment)
	// Computed is called for each slot that got its result, failed ones too,
	// and not for slots that are executed again.
	Computed func(*Result)
	// RolledBack is called when a failed message or trouble undid a slot, with
	// the number of earlier slots that had to be executed again.
	RolledBack      func(process string, slot uint64, again int)
	CheckpointTaken func(Checkpoint, time.Duration)
	// Restored is called when a machine is in memory again, at slot next,
	// with checkpoint false if it starts from nothing.
	Restored func(process string, next uint64, checkpoint bool, took time.Duration)
	// CheckpointRefused is called when a checkpoint can't be restored.
	CheckpointRefused func(process string, next uint64, err error)
	// Evicted is called when a machine has left memory.
	Evicted func(process string, next uint64, why EvictReason)
	// Trouble is called for each attempt at a slot that this node failed.
	Trouble func(process string, slot uint64, attempt int, err error)
	// Stalled is called when the attempts are used up.
	Stalled  func(process string, slot uint64, err error)
	Diverged func(Divergence)
	// Written is called after each batch of results and checkpoints, with how
	// long they took; err says that the batch will be tried again.
	Written func(results, checkpoints int, took time.Duration, err error)
}

// EvictReason says why a machine left memory.
type EvictReason string

// Reasons for an eviction.
const (
	EvictedForRoom  EvictReason = "room"
	EvictedIdle     EvictReason = "idle"
	EvictedClosing  EvictReason = "closing"
	EvictedTrouble  EvictReason = "trouble"
	EvictedDiverged EvictReason = "diverged"
)

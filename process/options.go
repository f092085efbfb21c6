package process

import (
	"log/slog"
	"runtime"
	"time"
)

// Options configure a Runtime. The zero value of each field is the default
// that its comment names.
type Options struct {
	// Devices are the execution devices, by "name@version".
	Devices map[string]Device

	// MaxResident is how many machines may be in memory (256). A process that
	// needs one waits until there is room.
	MaxResident int
	// MaxResidentBytes bounds the sum of the machines' footprints (2 GiB),
	// about: what a machine takes is known only once it runs. One machine may
	// always run, however large.
	MaxResidentBytes uint64
	// Parallel is how many machines compute at once (8 a processor): more than
	// processors, so that a message that computes for a minute doesn't hold
	// up the rest; bounded, so that sharing the processors doesn't drive
	// calls into their wall-time limit.
	Parallel int
	// Quantum is how long a process computes while others wait for a seat
	// (250 ms). It is long against the cost of changing seats, some 5 ms.
	Quantum time.Duration
	// IdleTimeout is how long a machine without work stays in memory (10 min).
	IdleTimeout time.Duration

	Checkpoint CheckpointPolicy
	Mark       MarkPolicy

	// QueueDepth is how many assigned slots of one process may wait for
	// their result (1024); beyond it Assign returns a *BusyError. The log
	// itself is the queue, so waiting costs no memory to speak of; the bound
	// says early that the process can't keep up.
	QueueDepth int
	// MaxMessage is the largest message, in bytes (32 MiB).
	MaxMessage int
	// Attempts is how often a slot is tried when this node has trouble with
	// it, before the process stalls (3).
	Attempts int
	// RetryDelay is the pause before the second attempt (50 ms); each further
	// one is four times as long.
	RetryDelay time.Duration
	// StallRetry is how long a stalled process rests (10 s) before a new
	// assignment tries its slot again. Asking for a result tries at once.
	StallRetry time.Duration
	// WriteDelay is how long a result may wait for others to be written with
	// it (5 ms).
	WriteDelay time.Duration

	// Clock gives the timestamps of assignments (time.Now).
	Clock func() time.Time
	// Logger gets what an operator should know (none).
	Logger *slog.Logger
	// Events are told what happens.
	Events Events
}

// CheckpointPolicy says when a machine's state is stored: as soon as one of
// the bounds is reached since the last checkpoint, and always when a changed
// machine leaves memory.
type CheckpointPolicy struct {
	// Slots is how many slots were applied (1000).
	Slots uint64
	// Interval is how long ago it was (60 s).
	Interval time.Duration
	// DirtyBytes is how much memory changed (64 MiB), noticed at marks.
	DirtyBytes uint64
	// Fuel is how many instructions ran (20e9, some 10 to 20 s of replay).
	Fuel uint64
	// Keep is how many checkpoints of a process stay linked (256, at least 2:
	// an older one is the way back if the newest is damaged).
	Keep int
}

// MarkPolicy bounds what a failed message makes the runtime execute again:
// the messages since the last mark.
type MarkPolicy struct {
	// Messages is the most between two marks (32). The distance starts at 1
	// after a failure and doubles with each mark.
	Messages int
	// Wall is how much computing is at stake before a mark is set (20 ms).
	Wall time.Duration
	// Bytes is how many bytes of messages and results are kept for
	// the comparison (4 MiB).
	Bytes int
}

func (o Options) withDefaults() Options {
	orDefault(&o.MaxResident, 256)
	orDefault(&o.MaxResidentBytes, 2<<30)
	orDefault(&o.Parallel, 8*runtime.GOMAXPROCS(0))
	orDefault(&o.Quantum, 250*time.Millisecond)
	orDefault(&o.IdleTimeout, 10*time.Minute)
	orDefault(&o.Checkpoint.Slots, 1000)
	orDefault(&o.Checkpoint.Interval, time.Minute)
	orDefault(&o.Checkpoint.DirtyBytes, 64<<20)
	orDefault(&o.Checkpoint.Fuel, 20_000_000_000)
	orDefault(&o.Checkpoint.Keep, 256)
	o.Checkpoint.Keep = max(o.Checkpoint.Keep, 2)
	orDefault(&o.Mark.Messages, 32)
	orDefault(&o.Mark.Wall, 20*time.Millisecond)
	orDefault(&o.Mark.Bytes, 4<<20)
	orDefault(&o.QueueDepth, 1024)
	orDefault(&o.MaxMessage, 32<<20)
	orDefault(&o.Attempts, 3)
	orDefault(&o.RetryDelay, 50*time.Millisecond)
	orDefault(&o.StallRetry, 10*time.Second)
	orDefault(&o.WriteDelay, 5*time.Millisecond)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

const (
	// ahead is how many records, and how many of their bytes, a worker reads
	// from the log at a time.
	aheadRecords = 256
	aheadBytes   = 4 << 20
	// maxQueued bounds the assignments that all processes together keep in
	// memory between Assign and Compute; what is beyond it is read back
	// from the log.
	maxQueued = 64 << 20
	// turn is how long a worker computes before it lets others compute.
	turn = 10 * time.Millisecond
	// knownProcesses is how many processes without anything to do stay
	// described in memory, at about 1 KiB each.
	knownProcesses = 16384
)

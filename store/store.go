// Package store declares where bytes live: content-addressed values and chunks, links, ordered logs and leases.
//
// The ports are small, and each has a contract that the suite in storetest
// holds every implementation to. Everything handed in may be reused by the
// caller afterwards; everything handed out belongs to the caller. All methods
// may be called concurrently, and from inside the loops and functions that
// the store calls back; only Close may not, since it waits for them. A call
// whose context has ended changes nothing, unless its comment says more.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
)

// Hash is the SHA-256 of what it names.
type Hash [sha256.Size]byte

// Sum returns the hash of data.
func Sum(data []byte) Hash { return sha256.Sum256(data) }

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

var (
	// ErrNotFound says that there is nothing under that name or hash.
	ErrNotFound = errors.New("not found")
	// ErrCorrupt says that stored bytes are not what was stored. The reader
	// gets no bytes with it.
	ErrCorrupt = errors.New("stored bytes are damaged")
	// ErrLocked says that another process has the store open.
	ErrLocked = errors.New("the data directory is in use by another process")
	// ErrNewerFormat says that the store was written by a newer version.
	ErrNewerFormat = errors.New("the data directory has a newer format")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store is closed")
	// ErrFailed says that an earlier write failed in a way that leaves its
	// outcome unknown (a full disk, an I/O error): nothing is acknowledged any
	// more until the store is opened again.
	ErrFailed = errors.New("the store stopped after a failed write")
)

// MaxValue is the largest value, in bytes: it has to fit in memory several
// times.
const MaxValue = 1 << 30

// Values holds immutable bytes under their hash.
type Values interface {
	// PutValues stores each of values and returns their hashes in order.
	// Storing what is there already costs no space. Durable when the store
	// is next synced.
	PutValues(ctx context.Context, values ...[]byte) ([]Hash, error)
	// Value returns the bytes, checked against the hash: ErrNotFound or ErrCorrupt.
	Value(ctx context.Context, h Hash) ([]byte, error)
}

// Chunk is a piece of a checkpoint: at most MaxChunk bytes under a hash that
// the caller computed as Sum(Data).
type Chunk struct {
	Hash Hash
	Data []byte
}

// MaxChunk is the largest chunk, in bytes: one page of WebAssembly memory.
const MaxChunk = 64 << 10

// Chunks holds checkpoint chunks, compressed, in append-only packs.
type Chunks interface {
	// PutChunks stores chunks. It takes a copy, and may compress and write it
	// later; they can be read at once. What goes wrong later is said by Sync.
	// The hashes are trusted on the way in and checked on the way out.
	// Durable when the store is next synced.
	PutChunks(ctx context.Context, chunks []Chunk) error
	// Chunks calls f once for each of hashes, in any order, with its index
	// and bytes that are valid during the call, checked against the hash. The
	// calls come one after another, on the caller's goroutine. The first error
	// (of the store, ErrNotFound or ErrCorrupt, or of f) ends it. Neighbouring
	// chunks of one PutChunks are cheap to read together.
	Chunks(ctx context.Context, hashes []Hash, f func(i int, data []byte) error) error
	// HasChunks reports for each hash whether it is stored and, as far as is
	// known, whole: a chunk that was found damaged is worth putting again.
	HasChunks(ctx context.Context, hashes []Hash) ([]bool, error)
}

// MaxLink is the largest target of a link, in bytes.
const MaxLink = 64 << 10

// A Link is a name and what it points to. Names are non-empty, at most 1 KiB,
// without zero bytes, and ordered bytewise.
type Link struct {
	Name   string
	Target []byte
}

// Links holds mutable names.
type Links interface {
	// SetLinks sets all of links, in order, in one atomic write; a nil target
	// removes the name, an empty one doesn't. Durable when the store is next synced.
	SetLinks(ctx context.Context, links ...Link) error
	// SwapLink sets name to target iff it is now old (nil: absent), and
	// otherwise returns a *ConflictError. Durable on return; others may see it
	// earlier.
	SwapLink(ctx context.Context, name string, old, target []byte) error
	// Link returns the target: ErrNotFound.
	Link(ctx context.Context, name string) ([]byte, error)
	// LinksIn yields the links whose name starts with prefix and is at least
	// from, in order (in reverse: at most from, from the last; an empty from
	// means no bound), as of the call. An error is yielded last.
	LinksIn(ctx context.Context, prefix, from string, reverse bool) iter.Seq2[Link, error]
}

// MaxRecord is the largest record of a log, in bytes.
const MaxRecord = 64 << 20

// A Record is one entry of a log.
type Record struct {
	Slot uint64
	Data []byte
}

// Logs holds ordered logs, each numbered from slot 0 without gaps. Log names
// are as link names. A record that isn't durable yet is shown to nobody.
type Logs interface {
	// Append adds data at slot iff the log's last slot is slot-1 (it has none,
	// for slot 0), and otherwise returns a *ConflictError and changes nothing.
	// On return the record is durable; on ErrFailed its fate is unknown until
	// the store is opened again and LastSlot says it. A call whose context ends
	// while it waits returns at once if nothing was written for it yet, and
	// else with the outcome. Concurrent appends share one sync (group commit).
	Append(ctx context.Context, log string, slot uint64, data []byte) error
	// LastSlot returns the newest slot: ErrNotFound for an empty log. O(1).
	LastSlot(ctx context.Context, log string) (uint64, error)
	// Records yields records from slot from on, in order, as of the call,
	// checked against their checksums (ErrCorrupt, for a gap as well). An error
	// is yielded last.
	Records(ctx context.Context, log string, from uint64) iter.Seq2[Record, error]
	// Logs yields the names of all logs that start with prefix, in order.
	Logs(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// Leases says who may execute what, with a token that only ever grows.
type Leases interface {
	// Acquire takes the lease called name for owner, or returns a
	// *ConflictError while another owner holds it. The token is larger than
	// every token given out for name before. Taking it again renews it under
	// the same token. Owners are named as links are. Durable on return.
	Acquire(ctx context.Context, name, owner string) (token uint64, err error)
	// Release gives the lease back if owner holds it under token, and otherwise
	// returns a *ConflictError. Durable on return.
	Release(ctx context.Context, name, owner string, token uint64) error
}

// Store is everything under one roof.
type Store interface {
	Values
	Chunks
	Links
	Logs
	Leases
	// Sync makes every write that returned before it durable. If it fails, for
	// another reason than its context, that is ErrFailed: any of those writes
	// may be lost, and no later one is taken.
	Sync(ctx context.Context) error
	// Close waits for calls, ends loops at their next step, syncs and releases
	// everything. Calls after it return ErrClosed; closing twice is harmless.
	// It returns ErrFailed if the last writes may be lost.
	Close() error
}

// ConflictError says that a condition on a write did not hold.
type ConflictError struct {
	// What names the link, log or lease.
	What string
	// Have describes what is there.
	Have string
}

func (e *ConflictError) Error() string { return fmt.Sprintf("conflict on %s: have %s", e.What, e.Have) }

// Package pebble is the embedded store: values, links, logs and the index in Pebble, checkpoint chunks in append-only packs beside it.
//
// A data directory holds
//
//	FORMAT   the version of everything below, as text
//	LOCK     locked while the directory is open
//	db/      the Pebble database
//	packs/   chunks and large values, see packs.go
//
// One goroutine, the committer (commit.go), writes logs: it takes what all
// callers want to append and commits and syncs it at once. Another, the packer
// (backlog.go), writes chunks. Everything else is written by whoever calls. The first write that fails stops the store: from
// then on the disk is left as it is, as if the machine had crashed at that
// moment (disk.go), and what is in memory can still be read.
//
// Locks, in the order in which they may be held together: moving.one,
// Store.reuse, Store.placing, moving.mu or backlog.mu, packs.syncing, packs.mu,
// packs.files.mu.
// Store.swaps, Store.leases, committer.mu and slots.mu are held with none of
// them.
package pebble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"aorta/store"
)

// Options configure a store. The zero value is the default.
type Options struct {
	// FS is where the directory is; nil means the operating system's.
	FS vfs.FS
	// CacheBytes is how much of the database is kept in memory (64 MiB).
	CacheBytes int64
	// MemTableBytes is how much is gathered in memory before it is sorted
	// into a file (32 MiB); up to three times as much may wait for that.
	// Half as much makes an append a fifth dearer, in files written anew.
	MemTableBytes int64
	// PackBytes is the size at which a new pack is begun (256 MiB, at most
	// 2 GiB).
	PackBytes int64
	// Workers is how many processors compress and check chunks of one call
	// (as many as there are, at most 4).
	Workers int
	// Logger gets the database's own messages at debug level, and what goes
	// wrong at error level; nil for none.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.CacheBytes <= 0 {
		o.CacheBytes = 64 << 20
	}
	if o.MemTableBytes <= 0 {
		o.MemTableBytes = 32 << 20
	}
	if o.PackBytes <= 0 {
		o.PackBytes = 256 << 20
	}
	o.PackBytes = min(o.PackBytes, 2<<30)
	if o.Workers <= 0 {
		o.Workers = min(runtime.GOMAXPROCS(0), 4)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Store implements store.Store. It is safe for concurrent use. Functions and
// loops that it calls back may call it, except for Close and Compact.
type Store struct {
	opts   Options
	logger *slog.Logger
	disk   *disk
	lock   io.Closer
	cache  *pebble.Cache
	db     *pebble.DB

	packs    *packs
	suspects suspects
	known    known
	backlog  backlog
	workers  *workers
	moving   moving

	commits committer
	slots   *slots

	swaps  sync.Mutex // makes reading and writing a link one step
	leases sync.Mutex // and a lease
	// placing makes looking for large values and indexing them one step.
	placing sync.Mutex
	// reuse is held for reading from looking whether something is in a pack
	// until the index says so, and for writing by Compact, to come between.
	reuse sync.RWMutex

	failure atomic.Pointer[error]
	gate    gate
}

var _ store.Store = (*Store)(nil)

// Open opens the data directory dir, making it if it isn't there:
// store.ErrLocked if it is open already, store.ErrNewerFormat if a newer
// version wrote it. A directory that can't be opened is left as it was.
func Open(dir string, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	s := &Store{opts: opts, logger: opts.Logger, workers: newWorkers(opts.Workers), backlog: newBacklog(), commits: newCommitter(), slots: newSlots()}
	s.disk = newDisk(opts.FS, func(err error) { _ = s.fail(err) })
	if err := s.open(dir); err != nil {
		// A disk that failed is the cause of whatever went wrong after it.
		if failed := s.failed(); failed != nil {
			err = failed
		}
		return nil, errors.Join(err, s.shut())
	}
	s.backlog.packing.Go(s.packLoop)
	s.commits.running.Go(s.commitLoop)
	return s, nil
}

func (s *Store) open(dir string) (err error) {
	if s.lock, err = prepare(s.disk, dir); err != nil {
		return err
	}
	if err := s.failed(); err != nil {
		return err
	}
	if err := s.openDB(s.disk.PathJoin(dir, "db")); err != nil {
		return err
	}
	if s.packs, err = openPacks(s, s.disk.PathJoin(dir, "packs")); err != nil {
		return err
	}
	return s.failed()
}

// shut releases everything that open got hold of, in reverse.
func (s *Store) shut() error {
	s.disk.release()
	s.known.stop()
	var errs []error
	if s.packs != nil {
		errs = append(errs, s.packs.close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.cache != nil {
		s.cache.Unref()
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return plain(errors.Join(errs...))
}

// Close implements store.Store. It waits for the calls that are being
// answered, and for loops over the store until they come to their next step.
func (s *Store) Close() error {
	if !s.gate.close() {
		return nil
	}
	s.commits.stop()
	failed := s.failed()
	if failed == nil {
		failed = s.sync(context.Background())
	}
	s.backlog.stop()
	err := s.shut()
	if failed != nil {
		return fmt.Errorf("close store: %w", failed)
	}
	if err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Sync implements store.Store.
func (s *Store) Sync(ctx context.Context) error {
	leave, err := s.enterToWrite(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return s.sync(ctx)
}

func (s *Store) sync(ctx context.Context) error {
	if err := s.backlog.drain(ctx); err != nil {
		return err
	}
	return s.write("sync", func() error {
		if err := s.syncPacks(); err != nil {
			return err
		}
		return s.db.LogData(nil, pebble.Sync)
	})
}

// syncPacks makes the packs durable, and then the marks that say so, up to the
// next sync of the database.
func (s *Store) syncPacks() error {
	s.packs.syncing.Lock()
	defer s.packs.syncing.Unlock()
	marks, err := s.packs.sync()
	if err != nil || len(marks) == 0 {
		return err
	}
	b := s.db.NewBatch()
	defer b.Close()
	for _, m := range marks {
		if err := b.Set(m.key(), m.encode(), nil); err != nil {
			return err
		}
	}
	return b.Commit(pebble.NoSync)
}

// enter begins a call that reads; leave ends it.
func (s *Store) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !s.gate.enter() {
		return nil, store.ErrClosed
	}
	return s.gate.leave, nil
}

// enterToWrite begins a call that writes; leave ends it.
func (s *Store) enterToWrite(ctx context.Context) (leave func(), err error) {
	leave, err = s.enter(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.failed(); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// going says why a loop over the store has to end, if it has to.
func (s *Store) going(ctx context.Context) error {
	if s.gate.closing.Load() {
		return store.ErrClosed
	}
	return ctx.Err()
}

// write runs f, after whose failure nothing is known of what is on disk,
// unless it is unwritten. The disk says itself when it fails, maybe on another
// goroutine, so f's word isn't enough.
func (s *Store) write(what string, f func() error) error {
	err := f()
	var nothing unwritten
	if errors.As(err, &nothing) {
		return nothing.error
	}
	if err != nil {
		return s.fail(fmt.Errorf("%s: %w", what, err))
	}
	return s.failed()
}

// unwritten is an error that came before anything was written.
type unwritten struct{ error }

func (s *Store) failed() error {
	if err := s.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// fail stops all writing from now on, and says what first made it stop.
func (s *Store) fail(err error) error {
	err = plain(err)
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("the disk is full; make room and start again: %w", err)
	}
	err = fmt.Errorf("%w: %w", store.ErrFailed, err)
	if s.failure.CompareAndSwap(nil, &err) {
		s.disk.freeze()
		s.logger.Error("store stopped", "error", err)
	}
	return s.failed()
}

// A gate lets calls in until it is closed, and counts them. Unlike a
// read-write lock it may be entered again by who is in already.
type gate struct {
	mu      sync.Mutex
	inside  int
	closing atomic.Bool
	empty   chan struct{} // made by close, closed by the last one out
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing.Load() {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.empty != nil {
		close(g.empty)
	}
}

// close waits until nobody is inside any more. Only the first call reports
// true; the others wait as well.
func (g *gate) close() bool {
	g.mu.Lock()
	first := g.closing.CompareAndSwap(false, true)
	if first {
		g.empty = make(chan struct{})
		if g.inside == 0 {
			close(g.empty)
		}
	}
	g.mu.Unlock()
	<-g.empty
	return first
}

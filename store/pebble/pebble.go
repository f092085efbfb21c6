// Package pebble is the embedded store: values, links, logs and the index in Pebble, checkpoint chunks in append-only packs beside it.
//
// A data directory holds
//
//	FORMAT   the version of everything below, as text
//	LOCK     locked while the directory is open
//	db/      the Pebble database
//	packs/   chunks, see packs.go
//
// One goroutine, the committer, writes logs: it takes what all callers want
// to append, and commits and syncs it at once. Everything else is written by
// whoever calls. Store is safe for concurrent use.
package pebble

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"aorta/store"
)

// format is the version of the data directory. It only ever grows.
const format = 1

const formatPrefix = "aorta data format "

// Options configure a store. The zero value is the default.
type Options struct {
	// FS is where the directory is; nil means the operating system's.
	FS vfs.FS
	// CacheBytes is how much of the database is kept in memory (64 MiB).
	CacheBytes int64
	// PackBytes is the size at which a new pack is begun (256 MiB).
	PackBytes int64
	// Logger gets the database's own messages at debug level, and what goes
	// wrong at error level; nil for none.
	Logger *slog.Logger
}

// Store implements store.Store.
type Store struct {
	fs     vfs.FS
	dir    string
	db     *pebble.DB
	cache  *pebble.Cache
	lock   *pebble.Lock
	packs  *packs
	logger *slog.Logger

	appends   chan *appendRequest
	committer sync.WaitGroup
	lasts     *lastSlots

	swaps sync.Mutex // serializes reads and writes of conditional writes

	failed  atomic.Pointer[error]
	closing sync.RWMutex // held for reading by calls, for writing by Close
	closed  bool
}

var _ store.Store = (*Store)(nil)

// Open opens the data directory dir, making it if it isn't there:
// store.ErrLocked if it is open already, store.ErrNewerFormat if a newer
// version wrote it. A directory that can't be opened is left as it was.
func Open(dir string, opts Options) (*Store, error) {
	if opts.FS == nil {
		opts.FS = vfs.Default
	}
	if opts.CacheBytes == 0 {
		opts.CacheBytes = 64 << 20
	}
	if opts.PackBytes == 0 {
		opts.PackBytes = 256 << 20
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{fs: opts.FS, dir: dir, logger: opts.Logger, appends: make(chan *appendRequest, 1024), lasts: newLastSlots()}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	s.cache = pebble.NewCache(opts.CacheBytes)
	if err := s.openDB(); err != nil {
		s.cache.Unref()
		return nil, errors.Join(err, s.lock.Close())
	}
	var err error
	if s.packs, err = openPacks(s, opts.FS.PathJoin(dir, "packs"), opts.PackBytes); err != nil {
		return nil, errors.Join(err, s.db.Close(), s.lock.Close())
	}
	s.committer.Go(s.commitLoop)
	return s, nil
}

// prepare checks the format, makes what is missing and takes the lock.
func (s *Store) prepare() error {
	if err := s.checkFormat(); err != nil {
		return err
	}
	for _, d := range []string{s.dir, s.fs.PathJoin(s.dir, "db"), s.fs.PathJoin(s.dir, "packs")} {
		if err := s.fs.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("make data directory: %w", plain(err))
		}
	}
	lock, err := pebble.LockDirectory(s.dir, s.fs)
	if err != nil {
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || strings.Contains(err.Error(), "lock held") {
			return store.ErrLocked
		}
		return fmt.Errorf("lock data directory: %w", plain(err))
	}
	s.lock = lock
	if err := s.writeFormat(); err != nil {
		return errors.Join(err, lock.Close())
	}
	return nil
}

func (s *Store) formatPath() string { return s.fs.PathJoin(s.dir, "FORMAT") }

func (s *Store) checkFormat() error {
	f, err := s.fs.Open(s.formatPath())
	if errors.Is(err, os.ErrNotExist) {
		return s.checkEmpty()
	}
	if err != nil {
		return fmt.Errorf("read data format: %w", plain(err))
	}
	defer f.Close()
	buf := make([]byte, 64)
	n, _ := f.ReadAt(buf, 0)
	text, ok := strings.CutPrefix(strings.TrimSpace(string(buf[:n])), formatPrefix)
	version, err := strconv.Atoi(text)
	switch {
	case !ok || err != nil || version < 1:
		return fmt.Errorf("%s doesn't say a data format; this is no data directory of aorta, or it is damaged", filepath.Base(s.formatPath()))
	case version > format:
		return fmt.Errorf("%w: %d, this version reads up to %d", store.ErrNewerFormat, version, format)
	}
	return nil
}

// checkEmpty refuses a directory with other things in it.
func (s *Store) checkEmpty() error {
	names, err := s.fs.List(s.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read data directory: %w", plain(err))
	}
	for _, n := range names {
		switch n {
		case "db", "packs", "LOCK", "FORMAT.tmp", "code": // an opening that was cut short
		default:
			return fmt.Errorf("the directory has other files in it (%s); choose an empty one", n)
		}
	}
	return nil
}

func (s *Store) writeFormat() error {
	if _, err := s.fs.Stat(s.formatPath()); err == nil {
		return nil
	}
	tmp := s.formatPath() + ".tmp"
	f, err := s.fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("write data format: %w", plain(err))
	}
	_, err = f.Write([]byte(formatPrefix + strconv.Itoa(format) + "\n"))
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = s.fs.Rename(tmp, s.formatPath())
	}
	if err == nil {
		err = s.syncDir(s.dir)
	}
	if err != nil {
		return fmt.Errorf("write data format: %w", plain(err))
	}
	return nil
}

func (s *Store) syncDir(dir string) error {
	d, err := s.fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *Store) openDB() error {
	opts := &pebble.Options{
		FS:                          s.fs,
		Cache:                       s.cache,
		MemTableSize:                16 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		MaxOpenFiles:                1000,
		Logger:                      logger{s},
		FormatMajorVersion:          pebble.FormatNewest,
	}
	opts.Levels[0].FilterPolicy = bloom.FilterPolicy(10)
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	err := s.guard(func() (err error) {
		s.db, err = pebble.Open(s.fs.PathJoin(s.dir, "db"), opts)
		return err
	})
	if err != nil {
		return fmt.Errorf("open database: %w", plain(err))
	}
	return nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.appends)
	s.committer.Wait()
	err := s.packs.close()
	if s.failed.Load() == nil {
		err = errors.Join(err, s.guard(func() error { return s.db.LogData(nil, pebble.Sync) }))
	}
	err = errors.Join(err, s.guard(s.db.Close))
	s.cache.Unref()
	err = errors.Join(err, s.lock.Close())
	if f := s.failed.Load(); f != nil {
		return nil // said already
	}
	if err != nil {
		return fmt.Errorf("close store: %w", plain(err))
	}
	return nil
}

// enter begins a call; done ends it.
func (s *Store) enter(ctx context.Context, write bool) (done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.closing.RLock()
	switch {
	case s.closed:
		err = store.ErrClosed
	case write && s.failed.Load() != nil:
		err = *s.failed.Load()
	default:
		return s.closing.RUnlock, nil
	}
	s.closing.RUnlock()
	return nil, err
}

// write runs f, after whose failure nothing is known of what is on disk.
func (s *Store) write(what string, f func() error) error {
	err := s.guard(f)
	if err == nil {
		if failed := s.failed.Load(); failed != nil {
			return *failed
		}
		return nil
	}
	return s.fail(fmt.Errorf("%s: %w", what, plain(err)))
}

// fail stops all writing from now on.
func (s *Store) fail(err error) error {
	wrapped := fmt.Errorf("%w: %w", store.ErrFailed, err)
	if errors.Is(err, syscall.ENOSPC) {
		wrapped = fmt.Errorf("%w: the disk is full; make room and start again: %w", store.ErrFailed, err)
	}
	if s.failed.CompareAndSwap(nil, &wrapped) {
		s.logger.Error("store stopped", "error", wrapped)
	}
	return *s.failed.Load()
}

// guard runs f and returns what Pebble calls fatal as an error.
func (s *Store) guard(f func() error) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case fatal:
			err = s.fail(p.err)
		default:
			panic(p)
		}
	}()
	return f()
}

// fatal is what the database panics with where it would end the program.
type fatal struct{ err error }

// logger is what Pebble writes to.
type logger struct{ s *Store }

func (l logger) Infof(f string, args ...any)  { l.s.logger.Debug(fmt.Sprintf(f, args...)) }
func (l logger) Errorf(f string, args ...any) { l.s.logger.Error(fmt.Sprintf(f, args...)) }

// Fatalf is called where the database can't go on. It may not return: on a
// goroutine that came through guard it unwinds to there; one of the
// database's own ends.
func (l logger) Fatalf(f string, args ...any) {
	err := fmt.Errorf(f, args...)
	for _, a := range args {
		if e, ok := a.(error); ok {
			err = e
		}
	}
	if guarded() {
		panic(fatal{err})
	}
	_ = l.s.fail(err)
	runtime.Goexit()
}

// guarded reports whether the calling goroutine came through guard.
func guarded() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "store/pebble.(*Store).guard") {
			return true
		}
		if !more {
			return false
		}
	}
}

// plain drops the stack traces that the database's errors carry when printed
// in detail, and the names of the host's directories.
func plain(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("%s %s: %w", path.Op, filepath.Base(path.Path), path.Err)
	}
	return err
}

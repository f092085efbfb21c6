package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"aorta/store"
)

// The first byte of a key says what it is.
const (
	keyValue  = 'v' // + hash: a value
	keyLarge  = 'w' // + hash: where a large value is, see large.go
	keyChunk  = 'c' // + hash: where a chunk is, see chunks.go
	keyLink   = 'l' // + name: a link's target
	keyLog    = 'g' // + name + 0 + slot (8 bytes): a record, see logs.go
	keyLease  = 'e' // + name: a lease, see leases.go
	keyPack   = 'p' // + number (4 bytes): how much of a pack is whole, see packs.go
	keyNumber = 'n' // + the first byte of other keys: how many of them there are
)

func key(kind byte, name string) []byte { return append([]byte{kind}, name...) }

func hashKey(kind byte, h store.Hash) []byte { return append([]byte{kind}, h[:]...) }

// end is the first key after all keys that start with prefix.
func end(prefix []byte) []byte {
	out := bytes.Clone(prefix)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			return out[:i+1]
		}
	}
	return nil
}

// databaseFormat is Pebble's format. It only ever goes up, together with a
// line in the tests: no version of Pebble that knows less can read it.
const databaseFormat = pebble.FormatValueSeparation

func (s *Store) openDB(dir string) error {
	s.cache = pebble.NewCache(s.opts.CacheBytes)
	opts := &pebble.Options{
		FS:                          s.disk,
		Cache:                       s.cache,
		FormatMajorVersion:          databaseFormat,
		Merger:                      sums,
		MemTableSize:                uint64(s.opts.MemTableBytes),
		MemTableStopWritesThreshold: 3,
		L0CompactionThreshold:       4,
		MaxOpenFiles:                1000,
		Logger:                      logger{s.logger},
		EventListener:               s.listener(),
	}
	// Most hashes that are asked for before a write are not there.
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	s.disk.opening.Store(true)
	defer s.disk.opening.Store(false)
	var err error
	if s.db, err = pebble.Open(dir, opts); err != nil {
		return fmt.Errorf("open database: %w", plain(err))
	}
	return nil
}

// get returns a copy of what is under k.
func (s *Store) get(k []byte) ([]byte, error) {
	v, c, err := s.db.Get(k)
	if err != nil {
		return nil, readError(err)
	}
	out := bytes.Clone(v)
	if out == nil {
		out = []byte{}
	}
	return out, plain(c.Close())
}

// has reports whether there is anything under k.
func (s *Store) has(k []byte) (bool, error) {
	_, c, err := s.db.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, readError(err)
	}
	return true, plain(c.Close())
}

func readError(err error) error {
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return store.ErrNotFound
	case pebble.IsCorruptionError(err) && !errors.Is(err, store.ErrCorrupt):
		return fmt.Errorf("%w: %w", store.ErrCorrupt, plain(err))
	}
	return plain(err)
}

// plain drops the names of the host's directories, and the stack traces that
// Pebble's errors carry when printed in detail.
func plain(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("%s %s: %w", path.Op, filepath.Base(path.Path), path.Err)
	}
	return err
}

// count notes in b that there are n more things of a kind.
func count(b *pebble.Batch, kind byte, n int) error {
	return b.Merge([]byte{keyNumber, kind}, binary.BigEndian.AppendUint64(nil, uint64(int64(n))), nil)
}

// counted returns how many things of a kind there are.
func (s *Store) counted(kind byte) (int64, error) {
	v, err := s.get([]byte{keyNumber, kind})
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, store.ErrCorrupt
	}
	return int64(binary.BigEndian.Uint64(v)), nil
}

// sums adds numbers up. Its name is part of the format.
var sums = &pebble.Merger{
	Name: "aorta.sum",
	Merge: func(_, value []byte) (pebble.ValueMerger, error) {
		s := new(sum)
		return s, s.add(value)
	},
}

type sum struct{ total int64 }

func (s *sum) add(value []byte) error {
	if len(value) != 8 {
		return fmt.Errorf("a number of %d bytes", len(value))
	}
	s.total += int64(binary.BigEndian.Uint64(value))
	return nil
}

func (s *sum) MergeNewer(value []byte) error { return s.add(value) }
func (s *sum) MergeOlder(value []byte) error { return s.add(value) }

func (s *sum) Finish(bool) ([]byte, io.Closer, error) {
	return binary.BigEndian.AppendUint64(nil, uint64(s.total)), nil, nil
}

// listener hands the database's events to the log.
func (s *Store) listener() *pebble.EventListener {
	l := &pebble.EventListener{}
	if s.logger.Enabled(context.Background(), slog.LevelDebug) {
		all := pebble.MakeLoggingEventListener(logger{s.logger})
		l = &all
	}
	l.BackgroundError = func(err error) { s.logger.Error("database", "error", plain(err)) }
	l.DataCorruption = func(info pebble.DataCorruptionInfo) {
		s.logger.Error("database: damaged file", "file", filepath.Base(info.Path), "error", plain(info.Details))
	}
	return l
}

// logger is what Pebble writes to.
type logger struct{ to *slog.Logger }

func (l logger) Infof(f string, args ...any)  { l.to.Debug("database: " + fmt.Sprintf(f, args...)) }
func (l logger) Errorf(f string, args ...any) { l.to.Error("database: " + fmt.Sprintf(f, args...)) }

// Fatalf may not return. Since no error of the disk gets this far (disk.go),
// only a violated invariant of the database does, and after that the one safe
// thing is to end the program: what is on disk is as after any crash.
func (l logger) Fatalf(f string, args ...any) {
	l.Errorf(f, args...)
	panic("database: " + fmt.Sprintf(f, args...))
}

package pebble

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// A disk is a file system that stops at its first failed write.
//
// Pebble has no way to go on after a write to its log or its manifest failed:
// it ends the program, or keeps a lock that Close waits for. And what a failed
// sync left on disk can't be known. So at the first failure the disk freezes:
// nothing is written to it any more, as if the machine had crashed there, and
// opening it again is what opening after a crash is. Until then Pebble
// believes that it can go on: what it writes to its log is dropped, and the
// few files that it makes are kept in memory. Nobody is told that anything
// was written, because the store asks after every write whether the disk is
// still whole.
type disk struct {
	vfs.FS
	private bool // on the operating system's file system, whose files get mode 0600
	report  func(error)

	frozen   atomic.Bool
	opening  atomic.Bool // the database is being opened
	memory   *vfs.MemFS  // files made after freezing
	released chan struct{}
	once     sync.Once
}

func newDisk(fs vfs.FS, report func(error)) *disk {
	d := &disk{FS: fs, report: report, memory: vfs.NewMem(), released: make(chan struct{})}
	if fs == nil {
		d.FS, d.private = vfs.Default, true
	}
	return d
}

var errFrozen = errors.New("the disk stopped at an earlier error")

func (d *disk) freeze() { d.frozen.Store(true) }

// fail reports err, the cause, and then freezes: who finds the disk frozen
// finds the cause reported.
func (d *disk) fail(err error) {
	d.report(err)
	d.freeze()
}

// release lets go of compactions that were stopped by freezing.
func (d *disk) release() { d.once.Do(func() { close(d.released) }) }

// failed notes that a write failed, unless err only says that something is or
// isn't there.
func (d *disk) failed(err error) error {
	if err == nil || errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrExist) {
		return err
	}
	d.fail(err)
	return err
}

// expendable says of which files the writer handles errors by itself: tables
// are made anew, and packs are ours.
func expendable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, packSuffix)
}

// make runs create on the disk or, once that is frozen, in memory.
func (d *disk) make(name string, category vfs.DiskWriteCategory, create func() (vfs.File, error)) (vfs.File, error) {
	if !d.frozen.Load() {
		f, err := create()
		if err == nil && d.private {
			if err = os.Chmod(name, 0o600); err != nil {
				err = errors.Join(err, f.Close())
			}
		}
		if err == nil {
			return &diskFile{File: f, disk: d, expendable: expendable(name)}, nil
		}
		if d.failed(err); !d.frozen.Load() {
			return nil, err
		}
	}
	if category == compactionCategory {
		// Rewriting in memory what is on disk would help nobody, and failing
		// would only make Pebble try again at once. While it opens, it waits
		// for compactions, and then doesn't try again.
		if !d.opening.Load() {
			<-d.released
		}
		return nil, errFrozen
	}
	if err := d.memory.MkdirAll(d.memory.PathDir(name), 0o700); err != nil {
		return nil, err
	}
	return d.memory.Create(name, category)
}

// compactionCategory is what Pebble calls files that it makes from other files.
const compactionCategory = "pebble-compaction"

func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(d.PathBase(name), "marker.") {
		// A marker is a file whose name names another file, the manifest, and
		// Pebble makes both names durable with one sync of the directory. A
		// crash before that may keep the marker and lose the manifest, unless
		// the manifest's name is durable first.
		if err := syncDir(d, d.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return d.make(name, category, func() (vfs.File, error) { return d.FS.Create(name, category) })
}

func (d *disk) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.make(name, category, func() (vfs.File, error) { return d.FS.ReuseForWrite(old, name, category) })
}

func (d *disk) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.make(name, category, func() (vfs.File, error) { return d.FS.OpenReadWrite(name, category, opts...) })
}

// change runs an operation that changes directories.
func (d *disk) change(f func() error) error {
	if d.frozen.Load() {
		return nil
	}
	if err := d.failed(f()); err != nil && !d.frozen.Load() {
		return err
	}
	return nil
}

func (d *disk) Link(old, name string) error {
	return d.change(func() error { return d.FS.Link(old, name) })
}

func (d *disk) Rename(old, name string) error {
	return d.change(func() error { return d.FS.Rename(old, name) })
}

func (d *disk) RemoveAll(name string) error {
	return d.change(func() error { return d.FS.RemoveAll(name) })
}

func (d *disk) Remove(name string) error {
	if d.frozen.Load() {
		_ = d.memory.Remove(name) // gives the memory back if it is there
		return nil
	}
	return d.change(func() error { return d.FS.Remove(name) })
}

func (d *disk) MkdirAll(name string, perm os.FileMode) error {
	return d.change(func() error { return d.FS.MkdirAll(name, perm) })
}

func (d *disk) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if d.frozen.Load() {
		if f, err := d.memory.Open(name); err == nil {
			return f, nil
		}
	}
	f, err := d.FS.Open(name, opts...)
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, disk: d, readOnly: true, expendable: expendable(name)}, nil
}

func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, disk: d, readOnly: true}, nil
}

func (d *disk) Stat(name string) (vfs.FileInfo, error) {
	if d.frozen.Load() {
		if info, err := d.memory.Stat(name); err == nil {
			return info, nil
		}
	}
	return d.FS.Stat(name)
}

func (d *disk) Unwrap() vfs.FS { return d.FS }

func (d *disk) Lock(name string) (io.Closer, error) {
	lock, err := d.tryLock(name)
	if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
		err = d.failed(err)
	}
	return lock, err
}

// tryLock takes a lock that excludes this process as well as others, by
// whatever path they come to the file: locks of fcntl don't.
func (d *disk) tryLock(name string) (io.Closer, error) {
	if !d.private {
		return d.FS.Lock(name)
	}
	f, err := os.OpenFile(filepath.Clean(name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", filepath.Base(name), err), f.Close())
	}
	return f, nil
}

// A diskFile is a file on a disk, or a directory.
type diskFile struct {
	vfs.File
	disk       *disk
	expendable bool // its errors may be shown to the writer
	readOnly   bool // closing it loses nothing
}

// change runs an operation of size n on the file.
func (f *diskFile) change(n int, op func() (int, error)) (int, error) {
	err := errFrozen
	if !f.disk.frozen.Load() {
		var done int
		if done, err = op(); err == nil {
			return done, nil
		}
		f.disk.fail(err)
	}
	if f.expendable {
		return 0, err
	}
	return n, nil
}

func (f *diskFile) Write(p []byte) (int, error) {
	return f.change(len(p), func() (int, error) { return f.File.Write(p) })
}

func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	return f.change(len(p), func() (int, error) { return f.File.WriteAt(p, off) })
}

func (f *diskFile) Sync() error {
	_, err := f.change(0, func() (int, error) { return 0, f.File.Sync() })
	return err
}

func (f *diskFile) SyncData() error {
	_, err := f.change(0, func() (int, error) { return 0, f.File.SyncData() })
	return err
}

func (f *diskFile) SyncTo(length int64) (full bool, err error) {
	_, err = f.change(0, func() (int, error) {
		full, err = f.File.SyncTo(length)
		return 0, err
	})
	return full, err
}

func (f *diskFile) Close() error {
	err := f.File.Close()
	if err == nil || f.readOnly || f.disk.frozen.Load() {
		return nil
	}
	f.disk.fail(err)
	return nil
}

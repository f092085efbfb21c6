package pebble

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aorta/store"
)

// format is the version of the data directory. It only ever grows.
const format = 1

const (
	formatFile   = "FORMAT"
	formatPrefix = "aorta data format "
	lockFile     = "LOCK"
)

// prepare checks the format of dir, makes what is missing, and locks it.
func prepare(fs vfs.FS, dir string) (lock io.Closer, err error) {
	// Before anything is made, so that a directory of something else stays
	// as it is.
	if _, err := checkFormat(fs, dir); err != nil {
		return nil, err
	}
	if err := makeDir(fs, dir); err != nil {
		return nil, fmt.Errorf("make data directory: %w", plain(err))
	}
	lock, err = fs.Lock(fs.PathJoin(dir, lockFile))
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES) && lockIsThere(fs, dir):
		return nil, store.ErrLocked
	case err != nil:
		return nil, fmt.Errorf("lock data directory: %w", plain(err))
	}
	// And again, because another process may have made it meanwhile.
	there, err := checkFormat(fs, dir)
	if err == nil {
		err = makeParts(fs, dir, there)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// lockIsThere tells a lock that is refused from a file that can't be made.
func lockIsThere(fs vfs.FS, dir string) bool {
	f, err := fs.Open(fs.PathJoin(dir, lockFile))
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// checkFormat reports whether dir says its format, and fails if that is none
// that this version reads.
func checkFormat(fs vfs.FS, dir string) (there bool, err error) {
	text, err := readFormat(fs, fs.PathJoin(dir, formatFile))
	if errors.Is(err, os.ErrNotExist) {
		return false, checkEmpty(fs, dir)
	}
	if err != nil {
		return false, fmt.Errorf("read data format: %w", plain(err))
	}
	text, ok := strings.CutPrefix(text, formatPrefix)
	text, whole := strings.CutSuffix(text, "\n")
	version, err := strconv.ParseUint(text, 10, 64)
	switch {
	case !ok || !whole || version == 0 || err != nil:
		return false, fmt.Errorf("%s doesn't say a data format: the directory is damaged or not aorta's; choose another one", formatFile)
	case version > format:
		return false, fmt.Errorf("%w, %d where this version knows up to %d; run a newer version of aorta, or choose another directory",
			store.ErrNewerFormat, version, format)
	}
	return true, nil
}

func readFormat(fs vfs.FS, path string) (string, error) {
	f, err := fs.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	// A format is much shorter; what fills this is none.
	buf := make([]byte, 128)
	n, err := io.ReadFull(f, buf)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	return string(buf[:n]), nil
}

// checkEmpty refuses a directory that has anything in it but what an opening
// that was cut short leaves: the format is written before the database is made.
func checkEmpty(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read data directory: %w", plain(err))
	}
	slices.Sort(names)
	for _, name := range names {
		if name == lockFile || name == formatFile+".tmp" {
			continue
		}
		if inside, err := fs.List(fs.PathJoin(dir, name)); err == nil && len(inside) == 0 {
			continue
		}
		return fmt.Errorf("the directory holds something else (%s) and no %s; choose an empty one", name, formatFile)
	}
	return nil
}

// makeDir makes dir and the directories above it that are missing, durably.
func makeDir(fs vfs.FS, dir string) error {
	var missing []string
	for d := dir; ; {
		_, err := fs.Stat(d)
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		missing = append(missing, d)
		up := fs.PathDir(d)
		if up == d || up == "." && !filepath.IsAbs(d) {
			break
		}
		d = up
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, d := range missing {
		if err := syncDir(fs, fs.PathDir(d)); err != nil {
			return err
		}
	}
	return nil
}

func makeParts(fs vfs.FS, dir string, formatThere bool) error {
	for _, name := range []string{"db", "packs"} {
		if err := fs.MkdirAll(fs.PathJoin(dir, name), 0o700); err != nil {
			return fmt.Errorf("make data directory: %w", plain(err))
		}
	}
	if formatThere {
		return nil
	}
	if err := writeFormat(fs, dir); err != nil {
		return fmt.Errorf("write data format: %w", plain(err))
	}
	return nil
}

func writeFormat(fs vfs.FS, dir string) error {
	path := fs.PathJoin(dir, formatFile)
	f, err := fs.Create(path+".tmp", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(formatPrefix + strconv.Itoa(format) + "\n"))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(path+".tmp", path); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

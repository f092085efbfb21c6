//go:build !linux

package image

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// file is an unlinked temporary file: the nearest that these systems have to
// a file in memory.
type file struct{ f *os.File }

func newFile(size int) (*file, error) {
	f, err := os.CreateTemp("", "aorta-image-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	out := &file{f: f}
	if err := out.truncate(size); err != nil {
		out.close()
		return nil, err
	}
	return out, nil
}

func (f *file) truncate(size int) error { return f.f.Truncate(int64(size)) }

func (f *file) mapShared(size int) ([]byte, error) { return f.mmap(size, unix.MAP_SHARED) }

func (f *file) mapScratch(size int) ([]byte, error) { return f.mmap(size, unix.MAP_PRIVATE) }

func (f *file) mmap(size, flags int) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	data, err := unix.Mmap(int(f.f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, flags)
	return data, os.NewSyscallError("mmap", err)
}

func (f *file) unmap(data []byte) {
	if data != nil {
		_ = unix.Munmap(data)
	}
}

func (f *file) close() { f.f.Close() }

func mapPrivate(base unsafe.Pointer, f *file, offset, length int) error {
	_, err := unix.MmapPtr(int(f.f.Fd()), int64(offset), unsafe.Add(base, offset), uintptr(length),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED)
	return os.NewSyscallError("mmap", err)
}

// discard drops the private copies of the length bytes at base, a private
// mapping of f.
func discard(base unsafe.Pointer, f *file, length int) error {
	if length == 0 {
		return nil
	}
	return mapPrivate(base, f, 0, length)
}

// pagemap is nothing here: these kernels don't say what was written.
type pagemap struct{}

func openPagemap() (*pagemap, error) {
	return nil, errors.New("this system doesn't say which pages were written")
}

func (*pagemap) close() error { return nil }

func newTracker(Mode, *pagemap) tracker { return comparer{} }

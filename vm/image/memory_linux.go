package image

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// file is a file that exists in memory only.
type file struct{ fd int }

func newFile(size int) (*file, error) {
	fd, err := unix.MemfdCreate("aorta-image", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := &file{fd: fd}
	if err := f.truncate(size); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *file) truncate(size int) error {
	return os.NewSyscallError("ftruncate", unix.Ftruncate(f.fd, int64(size)))
}

func (f *file) mapShared(size int) ([]byte, error) { return f.mmap(size, unix.MAP_SHARED) }

func (f *file) mapScratch(size int) ([]byte, error) { return f.mmap(size, unix.MAP_PRIVATE) }

func (f *file) mmap(size, flags int) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	data, err := unix.Mmap(f.fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_NORESERVE)
	return data, os.NewSyscallError("mmap", err)
}

func (f *file) unmap(data []byte) {
	if data != nil {
		_ = unix.Munmap(data) // can only fail for arguments that we didn't get from mmap
	}
}

func (f *file) close() { _ = unix.Close(f.fd) }

// mapPrivate makes length bytes at base+offset a private mapping of the same
// bytes of f.
func mapPrivate(base unsafe.Pointer, f *file, offset, length int) error {
	_, err := unix.MmapPtr(f.fd, int64(offset), unsafe.Add(base, offset), uintptr(length),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
	return os.NewSyscallError("mmap", err)
}

// discard drops the private copies of the length bytes at base, a private
// mapping of f.
func discard(base unsafe.Pointer, _ *file, length int) error {
	if length == 0 {
		return nil
	}
	return os.NewSyscallError("madvise", unix.Madvise(unsafe.Slice((*byte)(base), length), unix.MADV_DONTNEED))
}

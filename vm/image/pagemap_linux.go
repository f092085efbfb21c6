package image

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A page of a private file mapping that was written is anonymous memory:
// present or swapped out, but not a page of the file, and not the kernel's
// shared page of zeros. The words below are those of the kernel's
// Documentation/admin-guide/mm/pagemap.rst.

// pagemap is /proc/self/pagemap. Its methods are safe for concurrent use.
type pagemap struct {
	f  *os.File
	fd uintptr
}

func openPagemap() (*pagemap, error) {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return nil, err
	}
	return &pagemap{f: f, fd: f.Fd()}, nil
}

func (k *pagemap) close() error {
	if k == nil {
		return nil
	}
	return k.f.Close()
}

func newTracker(m Mode, k *pagemap) tracker {
	switch m {
	case ModeScan:
		return &scanner{pagemap: k}
	case ModePagemap:
		return &reader{pagemap: k}
	}
	return comparer{}
}

// scanner is ModeScan.
type scanner struct {
	pagemap *pagemap
	regions [512]pageRegion
}

// scanArg is the kernel's struct pm_scan_arg.
type scanArg struct {
	size, flags, start, end, walkEnd    uint64
	vec, vecLen, maxPages               uint64
	inverted, mask, anyOf, returnedMask uint64
}

// pageRegion is the kernel's struct page_region.
type pageRegion struct {
	start, end uint64
	_          uint64 // categories
}

const (
	pagemapScan = 0xc0606610 // _IOWR('f', 16, struct pm_scan_arg)

	pageIsFile    = 1 << 2
	pageIsPresent = 1 << 3
	pageIsSwapped = 1 << 4
	pageIsZero    = 1 << 5
)

func (s *scanner) written(dst []span, base pointer, size int) ([]span, error) {
	start := uint64(uintptr(base))
	end := start + uint64(size)
	for at := start; at < end; {
		arg := scanArg{
			size: uint64(unsafe.Sizeof(scanArg{})), start: at, end: end,
			vec: uint64(uintptr(unsafe.Pointer(&s.regions))), vecLen: uint64(len(s.regions)),
			inverted: pageIsFile | pageIsZero, mask: pageIsFile | pageIsZero,
			anyOf: pageIsPresent | pageIsSwapped, returnedMask: pageIsPresent | pageIsSwapped,
		}
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, s.pagemap.fd, pagemapScan, uintptr(unsafe.Pointer(&arg)))
		runtime.KeepAlive(s)
		if errno != 0 {
			return dst, os.NewSyscallError("ioctl PAGEMAP_SCAN", errno)
		}
		for _, r := range s.regions[:n] {
			dst = appendSpan(dst, int((r.start-start)/PageSize), int((r.end-start)/PageSize))
		}
		if arg.walkEnd <= at {
			return dst, fmt.Errorf("ioctl PAGEMAP_SCAN made no progress")
		}
		at = arg.walkEnd
	}
	return dst, nil
}

func (s *scanner) precise() bool { return true }

// reader is ModePagemap.
type reader struct {
	pagemap *pagemap
	buf     [64 << 10]byte
}

const (
	entryPresent = 1 << 63
	entrySwapped = 1 << 62
	entryFile    = 1 << 61 // or shared memory
)

func (r *reader) written(dst []span, base pointer, size int) ([]span, error) {
	system := os.Getpagesize()
	first, count := int64(uintptr(base))/int64(system), size/system
	for done := 0; done < count; {
		n := min(count-done, len(r.buf)/8)
		buf := r.buf[:n*8]
		if _, err := r.pagemap.f.ReadAt(buf, (first+int64(done))*8); err != nil {
			return dst, fmt.Errorf("read /proc/self/pagemap: %w", err)
		}
		for k := range n {
			e := binary.NativeEndian.Uint64(buf[k*8:])
			if e&(entryPresent|entrySwapped) != 0 && e&entryFile == 0 {
				p := (done + k) * system / PageSize
				dst = appendSpan(dst, p, p+system/PageSize)
			}
		}
		done += n
	}
	return dst, nil
}

func (r *reader) precise() bool { return true }

func appendSpan(dst []span, start, end int) []span {
	if n := len(dst); n > 0 && dst[n-1].end == start {
		dst[n-1].end = end
		return dst
	}
	return append(dst, span{start, end})
}

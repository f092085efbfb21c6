package image

import (
	"fmt"
	"unsafe"
)

type pointer = unsafe.Pointer

// Mode is a way to find the pages that a guest has written.
type Mode int

const (
	// ModeAuto is the first of the others that a probe finds working.
	ModeAuto Mode = iota
	// ModeScan asks the kernel for runs of written pages (the PAGEMAP_SCAN
	// request of Linux 6.7 and later).
	ModeScan
	// ModePagemap reads the kernel's word on each page (/proc/self/pagemap,
	// Linux).
	ModePagemap
	// ModeCompare compares all of memory. It works everywhere.
	ModeCompare
)

func (m Mode) String() string {
	switch m {
	case ModeAuto:
		return "auto"
	case ModeScan:
		return "pagemap-scan"
	case ModePagemap:
		return "pagemap"
	case ModeCompare:
		return "compare"
	}
	return fmt.Sprintf("Mode(%d)", int(m))
}

// ParseMode is the inverse of Mode.String.
func ParseMode(s string) (Mode, error) {
	for m := ModeAuto; m <= ModeCompare; m++ {
		if m.String() == s {
			return m, nil
		}
	}
	return 0, fmt.Errorf("unknown way to track pages %q: want auto, pagemap-scan, pagemap or compare", s)
}

// resolve returns the mode to use for what was asked for, with the kernel's
// word that it needs, or an error if what was asked for doesn't work here.
func resolve(asked Mode) (Mode, *pagemap, error) {
	if asked == ModeCompare {
		return asked, nil, nil
	}
	k, err := openPagemap()
	for _, m := range []Mode{ModeScan, ModePagemap} {
		if asked != ModeAuto && asked != m {
			continue
		}
		if err == nil {
			err = probe(newTracker(m, k))
			if err == nil {
				return m, k, nil
			}
		}
		if asked == m {
			_ = k.close()
			return 0, nil, fmt.Errorf("track pages by %v: %w", m, err)
		}
		if k != nil {
			err = nil // the next mode may still work
		}
	}
	_ = k.close()
	if asked != ModeAuto {
		return 0, nil, fmt.Errorf("no such way to track pages: %v", asked)
	}
	return ModeCompare, nil, nil
}

// probe tries a mode on a small mapping: it must name the one page that was
// written, and nothing that was only read.
func probe(t tracker) error {
	const pages = 32
	f, err := newFile(pages * WasmPage)
	if err != nil {
		return err
	}
	defer f.close()
	size := pages * WasmPage
	mem, err := f.mapScratch(size)
	if err != nil {
		return err
	}
	defer f.unmap(mem)
	base := unsafe.Pointer(unsafe.SliceData(mem))
	var read byte
	for at := 0; at < size; at += PageSize {
		read |= mem[at]
	}
	mem[5*WasmPage] = read + 1
	got, err := t.written(nil, base, size)
	if err != nil {
		return err
	}
	const want = 5 * WasmPage / PageSize
	if len(got) != 1 || got[0].start != want || got[0].end > want+WasmPage/PageSize {
		return fmt.Errorf("the kernel names pages %v as written, not page %d", got, want)
	}
	return nil
}

// comparer is ModeCompare.
type comparer struct{}

func (comparer) written(dst []span, _ pointer, size int) ([]span, error) {
	return append(dst, span{0, size / PageSize}), nil
}
func (comparer) precise() bool { return false }

package image

import "bytes"

// span is a run of pages, by number: start up to but without end.
type span struct{ start, end int }

// tracker finds the pages of a private mapping that were written.
type tracker interface {
	// written appends to dst the pages of the size bytes at base that may
	// differ from what is mapped there, in order, without overlaps.
	written(dst []span, base pointer, size int) ([]span, error)
	// precise reports whether written names (almost) only pages that are
	// private copies, so that dropping those makes it name fewer.
	precise() bool
}

var zeroPage [PageSize]byte

func isZero(page []byte) bool { return bytes.Equal(page, zeroPage[:len(page)]) }

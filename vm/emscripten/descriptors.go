package emscripten

import (
	"math"

	"aorta/vm/vfs"
	"aorta/vm/wasi/abi"
)

func dup(h *Host, f *abi.Frame) error {
	fd, err := h.fs.Dup(f.Int(0), 0)
	f.Result = uint64(fd)
	return err
}

func dup3(h *Host, f *abi.Frame) error {
	fd, to := f.Int(0), f.Int(1)
	if _, err := h.fs.Flags(fd); err != nil {
		return err
	}
	if fd == to {
		return vfs.EINVAL
	}
	f.Result = uint64(to)
	return h.fs.DupTo(fd, to)
}

func fchmod(h *Host, f *abi.Frame) error {
	mode := f.Word(1)
	return h.fs.SetAttr(f.Int(0), vfs.Attr{Mode: &mode})
}

func fchown(h *Host, f *abi.Frame) error { return h.fs.SetAttr(f.Int(0), vfs.Attr{}) }

func ftruncate(h *Host, f *abi.Frame) error { return h.fs.Resize(f.Int(0), int64(f.Args[1])) }

func fallocate(h *Host, f *abi.Frame) error {
	if f.Word(1) != 0 {
		return vfs.ENOTSUP
	}
	if f.Args[2] > math.MaxInt64 || f.Args[3] > math.MaxInt64 {
		return vfs.EINVAL
	}
	return h.fs.Allocate(f.Int(0), int64(f.Args[2]), int64(f.Args[3]))
}

func fadvise(*Host, *abi.Frame) error { return nil } // advice may be passed over

func fdatasync(h *Host, f *abi.Frame) error {
	_, err := h.fs.Flags(f.Int(0))
	return err
}

// Commands of fcntl. Locks have one number in each width.
const (
	dupFD    = 0
	getFD    = 1
	setFD    = 2
	getFL    = 3
	setFL    = 4
	getLK    = 5
	setLK    = 6
	setLKW   = 7
	getLK64  = 12
	setLK64  = 13
	setLKW64 = 14

	unlocked = 2
)

func fcntl(h *Host, f *abi.Frame) error {
	fd, args := f.Int(0), f.Args[2]
	flags, err := h.fs.Flags(fd)
	if err != nil {
		return err
	}
	switch f.Word(1) {
	case dupFD:
		to, err := h.fs.Dup(fd, int(f.I32(args)))
		f.Result = uint64(to)
		return err
	case getFD, setFD, setLK, setLKW, setLK64, setLKW64:
		return nil // there is nothing to inherit, and nobody to lock out
	case getFL:
		f.Result = uint64(flags)
		return nil
	case setFL:
		more := f.U32(args)
		if f.Fault {
			return vfs.EFAULT
		}
		return h.fs.SetFlags(fd, flags|more)
	case getLK, getLK64:
		f.PutU16(f.Ptr(args), unlocked)
		return nil
	}
	return vfs.EINVAL
}

// Operations of ioctl. All but bytesReady are for terminals.
const (
	getAttrs   = 0x5401
	setAttrs   = 0x5402
	setAttrsW  = 0x5403
	setAttrsF  = 0x5404
	getAttrs1  = 0x5405
	setAttrs1  = 0x5406
	setAttrsW1 = 0x5407
	setAttrsF1 = 0x5408
	flush      = 0x540b
	getGroup   = 0x540f
	setGroup   = 0x5410
	getSize    = 0x5413
	setSize    = 0x5414
	bytesReady = 0x541b
)

// The terminal's attributes.
const (
	inputFlags   = 0x6500
	outputFlags  = 5
	controlFlags = 0xbf
	localFlags   = 0x8a3b
	rows, cols   = 24, 80
)

var controlChars = [32]byte{3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22}

func ioctl(h *Host, f *abi.Frame) error {
	s, err := h.fs.Stat(f.Int(0))
	if err != nil {
		return err
	}
	op := f.Word(1)
	switch op {
	case getAttrs, setAttrs, setAttrsW, setAttrsF, getAttrs1, setAttrs1, setAttrsW1, setAttrsF1, flush, getGroup, setGroup,
		getSize, setSize:
		if !s.Device.Terminal() {
			return vfs.ENOTTY
		}
	case bytesReady:
		return vfs.ENOTTY
	default:
		return vfs.EINVAL
	}
	// The terminal of the error stream has no attributes of its own.
	if s.Device == vfs.ErrorTerminal && (op == getAttrs || op == getSize) {
		return nil
	}
	switch op {
	case getAttrs:
		at := f.Ptr(f.Args[2])
		f.PutU32(at, inputFlags)
		f.PutU32(at+4, outputFlags)
		f.PutU32(at+8, controlFlags)
		f.PutU32(at+12, localFlags)
		copy(f.Slice(at+17, uint64(len(controlChars))), controlChars[:])
	case getSize:
		at := f.Ptr(f.Args[2])
		f.PutU16(at, rows)
		f.PutU16(at+2, cols)
	case getGroup:
		f.PutU32(f.Ptr(f.Args[2]), 0)
	case setGroup:
		return vfs.EINVAL
	}
	return nil
}

// entrySize is the size of a struct dirent, in bytes. Directories' offsets
// count in it.
const (
	entrySize = 280
	entryName = 19
)

func getdents(h *Host, f *abi.Frame) error {
	fd, buf, size := f.Int(0), f.Args[1], f.Args[2]
	at, err := h.fs.Seek(fd, 0, vfs.SeekCurrent)
	if err != nil {
		return err
	}
	if at == 0 {
		if err := h.fs.Rewind(fd); err != nil {
			return err
		}
	}
	list, err := h.fs.List(fd)
	if err != nil {
		return err
	}
	i := min(int(at/entrySize), len(list))
	room := min(int(min(size, math.MaxInt32)/entrySize), len(list)-i)
	for _, e := range list[i : i+room] {
		i++
		clear(f.Slice(buf, entrySize))
		f.PutU64(buf, e.Ino)
		f.PutU64(buf+8, uint64(i)*entrySize)
		f.PutU16(buf+16, entrySize)
		f.PutU8(buf+18, entryType(e.Kind))
		copy(f.Slice(buf+entryName, uint64(len(e.Name))), e.Name)
		buf += entrySize
	}
	if f.Fault {
		return vfs.EFAULT
	}
	f.Result = uint64(room) * entrySize
	_, err = h.fs.Seek(fd, int64(i)*entrySize, vfs.SeekStart)
	return err
}

func entryType(k vfs.Kind) uint8 {
	switch k {
	case vfs.Char:
		return 2
	case vfs.Dir:
		return 4
	case vfs.Link:
		return 10
	}
	return 8
}

// poll says that whatever is open can be read and written.
func poll(h *Host, f *abi.Frame) error {
	const ready, invalid, size = 5, 0x20, 8
	n := f.Int(1)
	if n < 0 || f.Slice(f.Args[0], uint64(n)*size) == nil && n > 0 {
		return vfs.EINVAL
	}
	for i := range n {
		at := f.Args[0] + uint64(i)*size
		events := uint16(invalid)
		if _, err := h.fs.Flags(int(f.I32(at))); err == nil {
			events = f.U16(at+4) & ready
		}
		f.PutU16(at+6, events)
		if events != 0 {
			f.Result++
		}
	}
	return nil
}

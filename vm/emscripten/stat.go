package emscripten

import (
	"math"

	"aorta/vm/vfs"
	"aorta/vm/wasi/abi"
)

// Flags of the calls that describe or change what is at a path.
const (
	statNoFollow   = 0x100
	statEmptyPath  = 0x1000
	statNoAutoload = 0x800
)

// Types of files, in the mode that stat tells.
const (
	modeChar = 0o020000
	modeDir  = 0o040000
	modeFile = 0o100000
	modeLink = 0o120000

	blockSize = 4096
)

func modeOf(s vfs.Stat) uint32 {
	switch s.Kind {
	case vfs.Dir:
		return modeDir | s.Mode
	case vfs.Link:
		return modeLink | s.Mode
	case vfs.Char:
		return modeChar | s.Mode
	}
	return modeFile | s.Mode
}

// putStat writes a struct stat. A file has one time here, that of its last
// change, and parts of a second are a thousandth of what they should be: so
// they are in the loader.
func (h *Host) putStat(f *abi.Frame, buf uint64, s vfs.Stat) {
	dev := uint32(1)
	if s.Kind == vfs.Char {
		dev = uint32(s.Ino)
	}
	ms := s.Ctime / 1_000_000
	sec := floorDiv(ms, 1000)
	sub := uint64(ms-sec*1000) * 1000
	blocks := uint32((s.Size + blockSize - 1) / blockSize)
	switch {
	case f.Wide:
		clear(f.Slice(buf, 104))
		f.PutU32(buf, dev)
		f.PutU32(buf+4, modeOf(s))
		f.PutU64(buf+8, 1)
		f.PutU32(buf+24, s.Number)
		f.PutU64(buf+32, uint64(s.Size))
		f.PutU32(buf+40, blockSize)
		f.PutU32(buf+44, blocks)
		for at := buf + 48; at < buf+96; at += 16 {
			f.PutU64(at, uint64(sec))
			f.PutU64(at+8, sub)
		}
		f.PutU64(buf+96, s.Ino)
	case h.generation == 2:
		clear(f.Slice(buf, 88))
		f.PutU32(buf, dev)
		f.PutU32(buf+8, uint32(s.Ino))
		f.PutU32(buf+12, modeOf(s))
		f.PutU32(buf+16, 1)
		f.PutU32(buf+28, s.Number)
		f.PutU64(buf+40, uint64(s.Size))
		f.PutU32(buf+48, blockSize)
		f.PutU32(buf+52, blocks)
		for at := buf + 56; at < buf+80; at += 8 {
			f.PutU32(at, uint32(sec))
		}
		f.PutU64(buf+80, s.Ino)
	default:
		clear(f.Slice(buf, 96))
		f.PutU32(buf, dev)
		f.PutU32(buf+4, modeOf(s))
		f.PutU32(buf+8, 1)
		f.PutU32(buf+20, s.Number)
		f.PutU64(buf+24, uint64(s.Size))
		f.PutU32(buf+32, blockSize)
		f.PutU32(buf+36, blocks)
		for at := buf + 40; at < buf+88; at += 16 {
			f.PutU64(at, uint64(sec))
			f.PutU32(at+8, uint32(sub))
		}
		f.PutU64(buf+88, s.Ino)
	}
}

func (h *Host) statPath(f *abi.Frame, path string, buf uint64, follow bool) error {
	s, err := h.fs.StatPath(h.fs.Root(), path, follow)
	if err != nil {
		return err
	}
	h.putStat(f, buf, s)
	return nil
}

func stat(h *Host, f *abi.Frame) error {
	path, err := h.absolute(f, 0)
	if err != nil {
		return err
	}
	return h.statPath(f, path, f.Args[1], true)
}

func lstat(h *Host, f *abi.Frame) error {
	path, err := h.absolute(f, 0)
	if err != nil {
		return err
	}
	return h.statPath(f, path, f.Args[1], false)
}

func fstat(h *Host, f *abi.Frame) error {
	s, err := h.fs.Stat(f.Int(0))
	if err != nil {
		return err
	}
	h.putStat(f, f.Args[1], s)
	return nil
}

// empty reports whether a path argument is the empty string.
func empty(f *abi.Frame, arg int) bool { return f.Args[arg] == 0 || f.U8(f.Args[arg]) == 0 }

func newfstatat(h *Host, f *abi.Frame) error {
	fd, flags := f.Int(0), f.Word(3)
	if flags&^(statNoFollow|statEmptyPath|statNoAutoload) != 0 {
		return vfs.EINVAL
	}
	if flags&statEmptyPath != 0 && empty(f, 1) {
		if fd == atCwd {
			return h.statPath(f, h.fs.Getcwd(), f.Args[2], true)
		}
		s, err := h.fs.Stat(fd)
		if err != nil {
			return err
		}
		h.putStat(f, f.Args[2], s)
		return nil
	}
	path, err := h.at(f, fd, 1)
	if err != nil {
		return err
	}
	return h.statPath(f, path, f.Args[2], flags&statNoFollow == 0)
}

// utimensat sets a file's time to the later of the two that it is given.
func utimensat(h *Host, f *abi.Frame) error {
	fd, times, flags := f.Int(0), f.Args[2], f.Word(3)
	if flags&^statNoFollow != 0 {
		return vfs.EINVAL
	}
	var t int64
	if times == 0 {
		t = h.fs.Now()
	} else {
		second := uint64(16)
		if h.generation == 2 && !f.Wide {
			second = 8
		}
		a, aSet := h.timespec(f, times)
		m, mSet := h.timespec(f, times+second)
		switch {
		case f.Fault:
			return vfs.EFAULT
		case !aSet && !mSet:
			return nil
		case !aSet:
			a = m
		case !mSet:
			m = a
		}
		t = max(a, m)
	}
	set := vfs.Attr{Atime: &t, Mtime: &t, Ctime: &t}
	if empty(f, 1) && fd != atCwd {
		return h.fs.SetAttr(fd, set)
	}
	path, err := h.at(f, fd, 1)
	if err != nil {
		return err
	}
	return h.fs.SetAttrPath(h.fs.Root(), path, true, set)
}

// timespec reads a time in nanoseconds, and whether it is one to set.
func (h *Host) timespec(f *abi.Frame, at uint64) (int64, bool) {
	const now, omit = 0x3fffffff, 0x3ffffffe
	var sec, nsec int64
	if h.generation == 2 && !f.Wide {
		sec, nsec = int64(f.I32(at)), int64(f.I32(at+4))
	} else {
		sec, nsec = int64(f.U64(at)), int64(f.I32(at+8))
	}
	switch nsec {
	case now:
		return h.fs.Now(), true
	case omit:
		return 0, false
	}
	const perSecond = 1_000_000_000
	sec = max(min(sec, math.MaxInt64/perSecond-3), math.MinInt64/perSecond+3) // nsec is a few seconds at most
	return sec*perSecond + nsec, true
}

// fdstat tells the type of a file as the runtime does: everything that isn't
// a terminal is a file.
func fdstat(h *Host, f *abi.Frame) error {
	const terminal, file = 2, 4
	s, err := h.fs.Stat(f.Int(0))
	if err != nil {
		f.Result = uint64(vfs.EBADF)
		return nil
	}
	clear(f.Slice(f.Args[1], 24))
	if s.Device.Terminal() {
		f.PutU8(f.Args[1], terminal)
	} else {
		f.PutU8(f.Args[1], file)
	}
	if f.Fault {
		f.Fault, f.Result = false, uint64(vfs.EFAULT)
	}
	return nil
}

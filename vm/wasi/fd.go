package wasi

import (
	"math"

	"aorta/vm/vfs"
	"aorta/vm/wasi/abi"
)

// Types of files.
const (
	typeUnknown = 0
	typeChar    = 2
	typeDir     = 3
	typeFile    = 4
	typeLink    = 7
)

func fileType(k vfs.Kind) uint8 {
	switch k {
	case vfs.File:
		return typeFile
	case vfs.Dir:
		return typeDir
	case vfs.Link:
		return typeLink
	case vfs.Char:
		return typeChar
	}
	return typeUnknown
}

// Flags of descriptors, and what they are in the file system.
const (
	flagAppend   = 1
	flagDsync    = 2
	flagNonblock = 4
	flagRsync    = 8
	flagSync     = 16

	openNonblock = 0o4000
	openDsync    = 0o10000
	openSync     = 0o4000000
	openRsync    = 0o40000000 // the C library has no number of its own for it
)

var flagPairs = [...]struct{ wasi, open uint32 }{
	{flagAppend, vfs.Append},
	{flagDsync, openDsync},
	{flagNonblock, openNonblock},
	{flagRsync, openRsync},
	{flagSync, openSync},
}

func toOpen(flags uint32) uint32 {
	var out uint32
	for _, p := range flagPairs {
		if flags&p.wasi != 0 {
			out |= p.open
		}
	}
	return out
}

func fromOpen(flags uint32) uint32 {
	var out uint32
	for _, p := range flagPairs {
		if flags&p.open != 0 {
			out |= p.wasi
		}
	}
	return out
}

// Rights. They say what a descriptor can do; guests can't give them up.
const (
	rightRead  = 1 << 1
	rightSeek  = 1 << 2
	rightTell  = 1 << 5
	rightWrite = 1 << 6
	// rightsFile are those of files: data, size, times, polling.
	rightsFile = 1<<0 | rightSeek | 1<<3 | 1<<4 | rightTell | 1<<7 | 1<<8 | 1<<21 | 1<<22 | 1<<23 | 1<<27
	// rightsDir are those of directories: what is done with paths, listing.
	rightsDir = 0x3fffe00 | 1<<26 | 1<<0 | 1<<3 | 1<<4 | 1<<27
	rightsAll = rightsFile | rightsDir | rightRead | rightWrite
)

func fdStat(h *Host, f *abi.Frame) error {
	s, err := h.fs.Stat(f.Int(0))
	if err != nil {
		return err
	}
	flags, err := h.fs.Flags(f.Int(0))
	if err != nil {
		return err
	}
	var base, inherit uint64
	if s.Kind == vfs.Dir {
		base, inherit = rightsDir, rightsAll
	} else {
		base = rightsFile
		if flags&3 != vfs.WriteOnly {
			base |= rightRead
		}
		if flags&3 != vfs.ReadOnly {
			base |= rightWrite
		}
		if s.Kind == vfs.Char {
			base &^= rightSeek | rightTell
		}
	}
	buf := f.Args[1]
	clear(f.Slice(buf, 24))
	f.PutU8(buf, fileType(s.Kind))
	f.PutU16(buf+2, uint16(fromOpen(flags)))
	f.PutU64(buf+8, base)
	f.PutU64(buf+16, inherit)
	return nil
}

func fdSetFlags(h *Host, f *abi.Frame) error {
	if f.Word(1) > flagAppend|flagDsync|flagNonblock|flagRsync|flagSync {
		return vfs.EINVAL
	}
	return h.fs.SetFlags(f.Int(0), toOpen(f.Word(1)))
}

func fdSetRights(h *Host, f *abi.Frame) error {
	if _, err := h.fs.Flags(f.Int(0)); err != nil {
		return err
	}
	return vfs.ENOTSUP
}

func fdClose(h *Host, f *abi.Frame) error { return h.fs.Close(f.Int(0)) }

// fdSync is right as it is: what was written is in memory.
func fdSync(h *Host, f *abi.Frame) error {
	_, err := h.fs.Flags(f.Int(0))
	return err
}

func fdAdvise(h *Host, f *abi.Frame) error {
	if f.Word(3) > 5 {
		return vfs.EINVAL
	}
	s, err := h.fs.Stat(f.Int(0))
	if err == nil && s.Kind == vfs.Char {
		return vfs.ESPIPE
	}
	return err
}

func fdAllocate(h *Host, f *abi.Frame) error {
	if f.Args[1] > math.MaxInt64 || f.Args[2] > math.MaxInt64 {
		return vfs.EINVAL
	}
	return h.fs.Allocate(f.Int(0), int64(f.Args[1]), int64(f.Args[2]))
}

func fdFilestat(h *Host, f *abi.Frame) error {
	s, err := h.fs.Stat(f.Int(0))
	if err != nil {
		return err
	}
	putFilestat(f, f.Args[1], s)
	return nil
}

func putFilestat(f *abi.Frame, buf uint64, s vfs.Stat) {
	clear(f.Slice(buf, 64))
	f.PutU64(buf, 1) // the device that the file is on
	f.PutU64(buf+8, s.Ino)
	f.PutU8(buf+16, fileType(s.Kind))
	f.PutU64(buf+24, uint64(s.Links))
	f.PutU64(buf+32, uint64(s.Size))
	f.PutU64(buf+40, uint64(s.Atime))
	f.PutU64(buf+48, uint64(s.Mtime))
	f.PutU64(buf+56, uint64(s.Ctime))
}

func fdSetSize(h *Host, f *abi.Frame) error {
	return h.fs.Resize(f.Int(0), int64(f.Args[1]))
}

func fdSetTimes(h *Host, f *abi.Frame) error {
	a, err := h.times(f.Args[1], f.Args[2], f.Word(3))
	if err != nil {
		return err
	}
	return h.fs.SetAttr(f.Int(0), a)
}

// times reads which times to set to what.
func (h *Host) times(atime, mtime uint64, flags uint32) (vfs.Attr, error) {
	const setA, nowA, setM, nowM = 1, 2, 4, 8
	if flags > setA|nowA|setM|nowM || flags&(setA|nowA) == setA|nowA || flags&(setM|nowM) == setM|nowM {
		return vfs.Attr{}, vfs.EINVAL
	}
	var a vfs.Attr
	pick := func(set, now bool, t uint64) *int64 {
		v := int64(min(t, math.MaxInt64))
		if now {
			v = h.fs.Now()
		}
		if set || now {
			return &v
		}
		return nil
	}
	a.Atime = pick(flags&setA != 0, flags&nowA != 0, atime)
	a.Mtime = pick(flags&setM != 0, flags&nowM != 0, mtime)
	return a, nil
}

// isPreopen reports whether fd is still the directory that was open at first.
func (h *Host) isPreopen(fd int) bool {
	path, err := h.fs.PathOf(fd)
	return fd == preopened && err == nil && path == "/"
}

func fdPrestat(h *Host, f *abi.Frame) error {
	if !h.isPreopen(f.Int(0)) {
		return vfs.EBADF
	}
	buf := f.Args[1]
	clear(f.Slice(buf, 2*f.PtrSize()))
	f.PutPtr(buf+f.PtrSize(), uint64(len("/")))
	return nil
}

func fdPrestatName(h *Host, f *abi.Frame) error {
	if !h.isPreopen(f.Int(0)) {
		return vfs.EBADF
	}
	if f.Args[2] < uint64(len("/")) {
		return vfs.ENAMETOOLONG
	}
	f.PutU8(f.Args[1], '/')
	return nil
}

func fdRenumber(h *Host, f *abi.Frame) error {
	from, to := f.Int(0), f.Int(1)
	if _, err := h.fs.Flags(to); err != nil {
		return err // only what is open can be replaced
	}
	if err := h.fs.DupTo(from, to); err != nil || from == to {
		return err
	}
	return h.fs.Close(from)
}

func fdSeek(h *Host, f *abi.Frame) error {
	at, err := h.fs.Seek(f.Int(0), int64(f.Args[1]), f.Int(2))
	if err != nil {
		return err
	}
	if at == 0 {
		if err := h.fs.Rewind(f.Int(0)); err != nil {
			return err
		}
	}
	f.PutU64(f.Args[3], uint64(at))
	return nil
}

func fdTell(h *Host, f *abi.Frame) error {
	at, err := h.fs.Seek(f.Int(0), 0, vfs.SeekCurrent)
	if err != nil {
		return err
	}
	f.PutU64(f.Args[1], uint64(at))
	return nil
}

// maxVectors is how many pieces one transfer may have, as on Linux.
const maxVectors = 1024

// vectors calls do for each piece of guest memory that a list names, until
// one isn't used up, and hands back the sum.
func vectors(f *abi.Frame, list, count, sum uint64, do func(p []byte) (int, error)) error {
	if count > maxVectors {
		return vfs.EINVAL
	}
	total := uint64(0)
	for i := range count {
		at := list + i*2*f.PtrSize()
		p := f.Slice(f.Ptr(at), f.Ptr(at+f.PtrSize()))
		if f.Fault {
			return vfs.EFAULT
		}
		n, err := do(p)
		if err != nil {
			return err
		}
		total += uint64(n)
		if n < len(p) {
			break
		}
	}
	f.PutPtr(sum, total)
	return nil
}

func fdRead(h *Host, f *abi.Frame) error {
	fd := f.Int(0)
	if _, err := h.fs.Flags(fd); err != nil {
		return err
	}
	return vectors(f, f.Args[1], f.Args[2], f.Args[3], func(p []byte) (int, error) { return h.fs.Read(fd, p) })
}

func fdWrite(h *Host, f *abi.Frame) error {
	fd := f.Int(0)
	if _, err := h.fs.Flags(fd); err != nil {
		return err
	}
	return vectors(f, f.Args[1], f.Args[2], f.Args[3], func(p []byte) (int, error) { return h.fs.Write(fd, p) })
}

func fdPread(h *Host, f *abi.Frame) error {
	fd, at := f.Int(0), int64(f.Args[3])
	if _, err := h.fs.Flags(fd); err != nil {
		return err
	}
	return vectors(f, f.Args[1], f.Args[2], f.Args[4], func(p []byte) (int, error) {
		n, err := h.fs.ReadAt(fd, p, at)
		at += int64(n)
		return n, err
	})
}

func fdPwrite(h *Host, f *abi.Frame) error {
	fd, at := f.Int(0), int64(f.Args[3])
	if _, err := h.fs.Flags(fd); err != nil {
		return err
	}
	return vectors(f, f.Args[1], f.Args[2], f.Args[4], func(p []byte) (int, error) {
		n, err := h.fs.WriteAt(fd, p, at)
		at += int64(n)
		return n, err
	})
}

// fdReaddir fills a buffer with entries, the last of which may be cut off.
// Cookies count entries.
func fdReaddir(h *Host, f *abi.Frame) error {
	fd, cookie := f.Int(0), f.Args[3]
	buf := f.Slice(f.Args[1], f.Args[2])
	if f.Fault {
		return vfs.EFAULT
	}
	if cookie == 0 {
		if err := h.fs.Rewind(fd); err != nil {
			return err
		}
	}
	list, err := h.fs.List(fd)
	if err != nil {
		return err
	}
	used := 0
	for i := min(cookie, uint64(len(list))); i < uint64(len(list)) && used < len(buf); i++ {
		e := list[i]
		var head [24]byte
		m := abi.Mem{Bytes: head[:]}
		m.PutU64(0, i+1)
		m.PutU64(8, e.Ino)
		m.PutU32(16, uint32(len(e.Name)))
		m.PutU8(20, fileType(e.Kind))
		used += copy(buf[used:], head[:])
		used += copy(buf[used:], e.Name)
	}
	f.PutPtr(f.Args[4], uint64(used))
	return nil
}

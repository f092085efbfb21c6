package wasi

import (
	"math"
	"slices"
	"unicode/utf8"

	"aorta/vm/vfs"
	"aorta/vm/wasi/abi"
)

// path reads a path argument: a pointer, and the length after it.
func path(f *abi.Frame, i int) (string, error) {
	if f.Args[i+1] > vfs.MaxPath {
		return "", vfs.ENAMETOOLONG
	}
	p := f.Slice(f.Args[i], f.Args[i+1])
	switch {
	case f.Fault:
		return "", vfs.EFAULT
	case slices.Contains(p, 0):
		return "", vfs.EINVAL
	case !utf8.Valid(p):
		return "", vfs.EILSEQ
	}
	return string(p), nil
}

// at reads a directory's descriptor and a path that starts there.
func (h *Host) at(f *abi.Frame, fd, i int) (vfs.Base, string, error) {
	base, err := h.fs.Below(f.Int(fd))
	if err != nil {
		return base, "", err
	}
	p, err := path(f, i)
	return base, p, err
}

// follows says whether lookup flags ask to follow a link at the path's end.
func follows(flags uint32) bool { return flags&1 != 0 }

func pathMkdir(h *Host, f *abi.Frame) error {
	base, p, err := h.at(f, 0, 1)
	if err != nil {
		return err
	}
	return h.fs.Mkdir(base, p, 0o777)
}

func pathRmdir(h *Host, f *abi.Frame) error {
	base, p, err := h.at(f, 0, 1)
	if err != nil {
		return err
	}
	return h.fs.Rmdir(base, p)
}

func pathUnlink(h *Host, f *abi.Frame) error {
	base, p, err := h.at(f, 0, 1)
	if err != nil {
		return err
	}
	return h.fs.Unlink(base, p)
}

func pathRename(h *Host, f *abi.Frame) error {
	from, old, err := h.at(f, 0, 1)
	if err != nil {
		return err
	}
	to, p, err := h.at(f, 3, 4)
	if err != nil {
		return err
	}
	return h.fs.Rename(from, old, to, p)
}

func pathLink(h *Host, f *abi.Frame) error {
	from, old, err := h.at(f, 0, 2)
	if err != nil {
		return err
	}
	to, p, err := h.at(f, 4, 5)
	if err != nil {
		return err
	}
	return h.fs.Link(from, old, follows(f.Word(1)), to, p)
}

func pathSymlink(h *Host, f *abi.Frame) error {
	target, err := path(f, 0)
	if err != nil {
		return err
	}
	base, p, err := h.at(f, 2, 3)
	if err != nil {
		return err
	}
	if target != "" && target[0] == '/' {
		return vfs.ENOTCAPABLE // it would lead out of what the guest can name
	}
	return h.fs.Symlink(target, base, p)
}

func pathReadlink(h *Host, f *abi.Frame) error {
	base, p, err := h.at(f, 0, 1)
	if err != nil {
		return err
	}
	target, _, err := h.fs.Readlink(base, p)
	if err != nil {
		return err
	}
	n := copy(f.Slice(f.Args[3], f.Args[4]), target)
	f.PutPtr(f.Args[5], uint64(n))
	return nil
}

func pathFilestat(h *Host, f *abi.Frame) error {
	base, p, err := h.at(f, 0, 2)
	if err != nil {
		return err
	}
	s, err := h.fs.StatPath(base, p, follows(f.Word(1)))
	if err != nil {
		return err
	}
	putFilestat(f, f.Args[4], s)
	return nil
}

func pathSetTimes(h *Host, f *abi.Frame) error {
	base, p, err := h.at(f, 0, 2)
	if err != nil {
		return err
	}
	a, err := h.times(f.Args[4], f.Args[5], f.Word(6))
	if err != nil {
		return err
	}
	return h.fs.SetAttrPath(base, p, follows(f.Word(1)), a)
}

func pathOpen(h *Host, f *abi.Frame) error {
	const create, directory, exclusive, truncate = 1, 2, 4, 8
	base, p, err := h.at(f, 0, 2)
	if err != nil {
		return err
	}
	how, rights, fdFlags := f.Word(4), f.Args[5], f.Word(7)
	if how > create|directory|exclusive|truncate || fdFlags > math.MaxUint16 || how&create != 0 && how&directory != 0 {
		return vfs.EINVAL
	}
	if f.Slice(f.Args[8], 4) == nil {
		return vfs.EFAULT // before there is a descriptor that nobody knows
	}
	flags := toOpen(fdFlags)
	switch {
	case rights&rightWrite != 0 && rights&rightRead != 0:
		flags |= vfs.ReadWrite
	case rights&rightWrite != 0:
		flags |= vfs.WriteOnly
	}
	for _, o := range [...]struct{ wasi, open uint32 }{
		{create, vfs.Create}, {directory, vfs.Directory}, {exclusive, vfs.Exclusive}, {truncate, vfs.Truncate},
	} {
		if how&o.wasi != 0 {
			flags |= o.open
		}
	}
	if !follows(f.Word(1)) {
		flags |= vfs.NoFollow
	}
	// Guests ask for all rights, with directories too.
	if flags&vfs.Directory != 0 {
		flags &^= 3
	}
	fd, err := h.fs.Open(base, p, flags, 0o666)
	if err != nil {
		return err
	}
	f.PutU32(f.Args[8], uint32(fd))
	return nil
}

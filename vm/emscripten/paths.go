package emscripten

import (
	"strings"

	"aorta/vm/vfs"
	"aorta/vm/wasi/abi"
)

// atCwd stands for the working directory where a directory's descriptor goes.
const atCwd = -100

// normal resolves the dots of an absolute path by its text alone, as
// Emscripten does: links don't matter, and a slash at the end is dropped.
func normal(path string) string {
	simple := path == "/" || !strings.HasSuffix(path, "/")
	if simple && !strings.Contains(path, "//") && !strings.Contains(path, "/.") {
		return path
	}
	var parts []string
	for part := range strings.SplitSeq(path, "/") {
		switch part {
		case "", ".":
		case "..":
			parts = parts[:max(0, len(parts)-1)]
		default:
			parts = append(parts, part)
		}
	}
	return "/" + strings.Join(parts, "/")
}

// absolute reads a path argument that is relative to the working directory.
func (h *Host) absolute(f *abi.Frame, arg int) (string, error) {
	return h.at(f, atCwd, arg)
}

// at reads a path argument that is relative to a directory's descriptor.
func (h *Host) at(f *abi.Frame, fd, arg int) (string, error) {
	path := f.CString(f.Args[arg], maxText)
	switch {
	case f.Fault:
		return "", vfs.EFAULT
	case strings.HasPrefix(path, "/"):
		return normal(path), nil
	}
	dir := h.fs.Getcwd()
	if fd != atCwd {
		var err error
		if dir, err = h.fs.PathOf(fd); err != nil {
			return "", err
		}
	}
	if path == "" {
		return "", vfs.ENOENT
	}
	return normal(dir + "/" + path), nil
}

func openat(h *Host, f *abi.Frame) error {
	path, err := h.at(f, f.Int(0), 1)
	if err != nil {
		return err
	}
	flags := f.Word(2)
	mode := uint32(0)
	if flags&vfs.Create != 0 && f.Args[3] != 0 {
		mode = f.U32(f.Args[3])
	}
	if flags&vfs.Create == 0 {
		// Whatever keeps a file from being found, it isn't there.
		if _, err := h.fs.StatPath(h.fs.Root(), path, flags&vfs.NoFollow == 0); err != nil {
			return vfs.ENOENT
		}
	}
	fd, err := h.fs.Open(h.fs.Root(), path, flags, mode)
	f.Result = uint64(fd)
	return err
}

func unlinkat(h *Host, f *abi.Frame) error {
	const directory = 0x200
	path, err := h.at(f, f.Int(0), 1)
	if err != nil {
		return err
	}
	switch f.Word(2) {
	case 0:
		return h.fs.Unlink(h.fs.Root(), path)
	case directory:
		return h.fs.Rmdir(h.fs.Root(), path)
	}
	return vfs.EINVAL
}

func rmdir(h *Host, f *abi.Frame) error {
	path, err := h.absolute(f, 0)
	if err != nil {
		return err
	}
	return h.fs.Rmdir(h.fs.Root(), path)
}

func mkdirat(h *Host, f *abi.Frame) error {
	path, err := h.at(f, f.Int(0), 1)
	if err != nil {
		return err
	}
	return h.fs.Mkdir(h.fs.Root(), path, f.Word(2))
}

func renameat(h *Host, f *abi.Frame) error {
	old, err := h.at(f, f.Int(0), 1)
	if err != nil {
		return err
	}
	path, err := h.at(f, f.Int(2), 3)
	if err != nil {
		return err
	}
	return h.fs.Rename(h.fs.Root(), old, h.fs.Root(), path)
}

// readlinkat gives the target as an absolute path.
func readlinkat(h *Host, f *abi.Frame) error {
	path, err := h.at(f, f.Int(0), 1)
	if err != nil {
		return err
	}
	if f.Args[3] == 0 {
		return vfs.EINVAL
	}
	target, dir, err := h.fs.Readlink(h.fs.Root(), path)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(target, "/") {
		target = dir + "/" + target
	}
	target = normal(target)
	target = target[:min(uint64(len(target)), f.Args[3])]
	copy(f.Slice(f.Args[2], uint64(len(target))), target)
	f.Result = uint64(len(target))
	return nil
}

func symlink(h *Host, f *abi.Frame) error {
	path, err := h.absolute(f, 1)
	if err != nil {
		return err
	}
	return h.fs.Symlink(f.CString(f.Args[0], maxText), h.fs.Root(), path)
}

func symlinkat(h *Host, f *abi.Frame) error {
	path, err := h.at(f, f.Int(1), 2)
	if err != nil {
		return err
	}
	return h.fs.Symlink(f.CString(f.Args[0], maxText), h.fs.Root(), path)
}

// linkat says that files have one name, as Emscripten's do.
func linkat(*Host, *abi.Frame) error { return vfs.EMLINK }

func faccessat(h *Host, f *abi.Frame) error {
	const x, w, r = 1, 2, 4
	path, err := h.at(f, f.Int(0), 1)
	if err != nil {
		return err
	}
	mode := f.Word(2)
	if mode > r|w|x {
		return vfs.EINVAL
	}
	return h.fs.Access(h.fs.Root(), path, mode&r != 0, mode&w != 0, mode&x != 0)
}

func chmod(h *Host, f *abi.Frame) error {
	path, err := h.absolute(f, 0)
	if err != nil {
		return err
	}
	mode := f.Word(1)
	return h.fs.SetAttrPath(h.fs.Root(), path, true, vfs.Attr{Mode: &mode})
}

func fchmodat(h *Host, f *abi.Frame) error {
	path, err := h.at(f, f.Int(0), 1)
	if err != nil {
		return err
	}
	mode := f.Word(2)
	nofollow := len(f.Args) == 4 && f.Word(3)&statNoFollow != 0
	return h.fs.SetAttrPath(h.fs.Root(), path, !nofollow, vfs.Attr{Mode: &mode})
}

// fchownat changes no owner, as there is only one user, but the time.
func fchownat(h *Host, f *abi.Frame) error {
	path, err := h.at(f, f.Int(0), 1)
	if err != nil {
		return err
	}
	return h.fs.SetAttrPath(h.fs.Root(), path, f.Word(4)&statNoFollow == 0, vfs.Attr{})
}

func truncate(h *Host, f *abi.Frame) error {
	path, err := h.absolute(f, 0)
	if err != nil {
		return err
	}
	return h.fs.ResizePath(h.fs.Root(), path, int64(f.Args[1]))
}

func chdir(h *Host, f *abi.Frame) error {
	path, err := h.absolute(f, 0)
	if err != nil {
		return err
	}
	return h.fs.Chdir(h.fs.Root(), path)
}

func fchdir(h *Host, f *abi.Frame) error {
	path, err := h.fs.PathOf(f.Int(0))
	if err != nil {
		return err
	}
	return h.fs.Chdir(h.fs.Root(), path)
}

func getcwd(h *Host, f *abi.Frame) error {
	buf, size := f.Args[0], f.Args[1]
	cwd := h.fs.Getcwd()
	n := uint64(len(cwd))
	switch {
	case size == 0:
		return vfs.EINVAL
	case size < n+1:
		return vfs.ERANGE
	}
	copy(f.Slice(buf, n), cwd)
	f.PutU8(buf+n, 0)
	f.Result = n + 1
	return nil
}

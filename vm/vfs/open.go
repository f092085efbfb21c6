package vfs

import "slices"

// Flags of open files, numbered as in Emscripten's C library.
const (
	ReadOnly  = 0
	WriteOnly = 1
	ReadWrite = 2
	Create    = 0o100
	Exclusive = 0o200
	Truncate  = 0o1000
	Append    = 0o2000
	Directory = 0o200000
	NoFollow  = 0o400000
	PathOnly  = 0o10000000

	accessMode = PathOnly | 3
	// Flags beyond these are kept, for the guest to ask for, and mean nothing.
	momentary = Exclusive | Truncate | NoFollow
)

// file is an open file; descriptors that were duplicated share it.
type file struct {
	node   *node
	flags  uint32
	offset int64
	path   string
	refs   int
	// list is what the directory held when its listing began. It lasts for
	// the call at most, so it is no state.
	list []Entry
}

func (o *file) readable() bool {
	return o.flags&accessMode == ReadOnly || o.flags&accessMode == ReadWrite
}

func (o *file) writable() bool {
	return o.flags&accessMode == WriteOnly || o.flags&accessMode == ReadWrite
}

// file is the open file behind a descriptor, or EBADF.
func (f *FS) file(fd int) (*file, error) {
	if fd < 0 || fd >= len(f.files) || f.files[fd] == nil {
		return nil, EBADF
	}
	return f.files[fd], nil
}

// free is the lowest free descriptor that is at least from, or EMFILE.
func (f *FS) free(from int) (int, error) {
	for fd := from; fd < f.opts.Open; fd++ {
		if fd >= len(f.files) || f.files[fd] == nil {
			return fd, nil
		}
	}
	return 0, EMFILE
}

// set puts an open file behind a free descriptor.
func (f *FS) set(fd int, o *file) {
	if more := fd + 1 - len(f.files); more > 0 {
		f.files = append(f.files, make([]*file, more)...)
	}
	f.files[fd] = o
	o.refs++
	f.changed()
}

// Open opens a file, with the permissions mode if it makes one, and returns
// the lowest free descriptor.
func (f *FS) Open(base Base, path string, flags, mode uint32) (int, error) {
	if flags&3 == 3 {
		return 0, EINVAL
	}
	fd, err := f.free(0)
	if err != nil {
		return 0, err
	}
	p, err := f.find(base, path, flags&NoFollow == 0)
	if err != nil {
		return 0, err
	}
	created := p.node == nil
	switch {
	case created && flags&Create == 0:
		return 0, ENOENT
	case created && p.slash:
		return 0, EISDIR
	case !created && flags&(Create|Exclusive) == Create|Exclusive:
		return 0, EEXIST
	case !created:
		if err := openable(p, flags); err != nil {
			return 0, err
		}
	}
	o := &file{node: p.node, flags: flags &^ momentary, path: joined(f.pathOf(p.dir), p.name)}
	if err := f.charge(openCost + len(o.path)); err != nil {
		return 0, err
	}
	if created {
		o.node = &node{kind: File, mode: mode & 0o7777}
		if err := f.create(p.dir, p.name, o.node); err != nil {
			f.used -= openCost + len(o.path)
			return 0, err
		}
	} else if flags&Truncate != 0 && o.node.kind == File {
		if err := f.resize(o.node, 0); err != nil {
			f.used -= openCost + len(o.path)
			return 0, err
		}
	}
	o.node.opens++
	f.set(fd, o)
	return fd, nil
}

// openable reports why what is there can't be opened.
func openable(p place, flags uint32) error {
	n := p.node
	write := flags&3 != ReadOnly || flags&Truncate != 0 && n.kind != Char
	switch {
	case (flags&Directory != 0 || p.slash) && !n.isDir():
		return ENOTDIR
	case n.kind == Link:
		return ELOOP
	case n.isDir() && write:
		return EISDIR
	case !n.allows(flags&3 != WriteOnly, write, false):
		return EACCES
	}
	return nil
}

// Close closes a descriptor.
func (f *FS) Close(fd int) error {
	o, err := f.file(fd)
	if err != nil {
		return err
	}
	f.files[fd] = nil
	for len(f.files) > 0 && f.files[len(f.files)-1] == nil {
		f.files = f.files[:len(f.files)-1]
	}
	if o.refs--; o.refs == 0 {
		f.used -= openCost + len(o.path)
		o.node.opens--
		f.release(o.node)
	}
	f.changed()
	return nil
}

// Dup gives an open file another descriptor, the lowest free one that is at
// least from.
func (f *FS) Dup(fd, from int) (int, error) {
	o, err := f.file(fd)
	if err != nil {
		return 0, err
	}
	if from < 0 {
		return 0, EINVAL
	}
	to, err := f.free(from)
	if err != nil {
		return 0, err
	}
	f.set(to, o)
	return to, nil
}

// DupTo makes the descriptor to mean what fd means, closing what it meant.
func (f *FS) DupTo(fd, to int) error {
	o, err := f.file(fd)
	if err != nil {
		return err
	}
	if to < 0 || to >= f.opts.Open {
		return EBADF
	}
	if fd == to {
		return nil
	}
	if to < len(f.files) && f.files[to] != nil {
		if err := f.Close(to); err != nil {
			return err
		}
	}
	f.set(to, o)
	return nil
}

// Flags are the flags that fd was opened with, and those set since.
func (f *FS) Flags(fd int) (uint32, error) {
	o, err := f.file(fd)
	if err != nil {
		return 0, err
	}
	return o.flags, nil
}

// SetFlags replaces the flags of fd; its access mode stays.
func (f *FS) SetFlags(fd int, flags uint32) error {
	o, err := f.file(fd)
	if err != nil {
		return err
	}
	o.flags = o.flags&accessMode | flags&^accessMode
	f.changed()
	return nil
}

// PathOf is the path that fd had when it was opened.
func (f *FS) PathOf(fd int) (string, error) {
	o, err := f.file(fd)
	if err != nil {
		return "", err
	}
	return o.path, nil
}

// Entry is a name in a directory.
type Entry struct {
	Name string
	Ino  uint64
	Kind Kind
}

// List is what the open directory holds: itself as ".", its parent as "..",
// and the rest in byte order. It stays as it is until the directory is
// rewound or the call ends, whatever becomes of the directory.
func (f *FS) List(fd int) ([]Entry, error) {
	o, err := f.file(fd)
	if err != nil {
		return nil, err
	}
	n := o.node
	if n.kind != Dir {
		return nil, ENOTDIR
	}
	if o.list == nil {
		up := n
		if n.parent != nil {
			up = n.parent
		}
		o.list = append(make([]Entry, 0, 2+len(n.entries)), Entry{".", n.ino, Dir}, Entry{"..", up.ino, Dir})
		for _, name := range n.names() {
			c := n.entries[name]
			kind := c.kind
			if c.isDir() {
				kind = Dir
			}
			o.list = append(o.list, Entry{name, c.ino, kind})
		}
	}
	return slices.Clip(o.list), nil
}

// Rewind makes the next List of the directory a new one.
func (f *FS) Rewind(fd int) error {
	o, err := f.file(fd)
	if err != nil {
		return err
	}
	o.list = nil
	return nil
}

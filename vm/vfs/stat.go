package vfs

// Stat is what can be known of a node. Times are in nanoseconds since the
// Unix epoch. Reading changes no time.
type Stat struct {
	Ino    uint64
	Kind   Kind
	Device Device
	// Mode is the permission bits.
	Mode uint32
	// Links is how many names it has.
	Links int
	// Size is in bytes: of a file its contents, of a link its target, of a
	// directory a constant.
	Size                int64
	Atime, Mtime, Ctime int64
	// Number is the major and minor number of a device.
	Number uint32
}

// dirSize is what Linux file systems say of a small directory.
const dirSize = 4096

func (n *node) stat() Stat {
	s := Stat{
		Ino: n.ino, Kind: n.kind, Device: n.device, Mode: n.mode, Links: n.links, Size: int64(len(n.data)),
		Atime: n.atime, Mtime: n.mtime, Ctime: n.ctime, Number: n.device.number(),
	}
	if n.isDir() {
		s.Kind, s.Size = Dir, dirSize
	}
	return s
}

// Stat describes what is open as fd.
func (f *FS) Stat(fd int) (Stat, error) {
	o, err := f.file(fd)
	if err != nil {
		return Stat{}, err
	}
	return o.node.stat(), nil
}

// StatPath describes what is at path. follow says whether that is what a
// symbolic link leads to.
func (f *FS) StatPath(base Base, path string, follow bool) (Stat, error) {
	p, err := f.existing(base, path, follow)
	if err != nil {
		return Stat{}, err
	}
	return p.node.stat(), nil
}

// Attr is a change of what Stat tells. Nil fields stay.
type Attr struct {
	Mode         *uint32
	Atime, Mtime *int64
	// Ctime is when the change took place; nil is now.
	Ctime *int64
}

func (f *FS) setAttr(n *node, a Attr) error {
	if n.ino == 0 {
		return EPERM
	}
	if a.Mode != nil {
		n.mode = *a.Mode & 0o7777
	}
	if a.Atime != nil {
		n.atime = *a.Atime
	}
	if a.Mtime != nil {
		n.mtime = *a.Mtime
	}
	if a.Ctime != nil {
		n.ctime = *a.Ctime
	} else {
		n.ctime = f.Now()
	}
	f.changed()
	return nil
}

// SetAttr changes what is open as fd.
func (f *FS) SetAttr(fd int, a Attr) error {
	o, err := f.file(fd)
	if err != nil {
		return err
	}
	return f.setAttr(o.node, a)
}

// SetAttrPath changes what is at path.
func (f *FS) SetAttrPath(base Base, path string, follow bool, a Attr) error {
	p, err := f.existing(base, path, follow)
	if err != nil {
		return err
	}
	return f.setAttr(p.node, a)
}

// Access reports whether what is at path may be read, written and executed
// (for directories: passed through), as far as is asked for.
func (f *FS) Access(base Base, path string, r, w, x bool) error {
	p, err := f.existing(base, path, true)
	if err != nil {
		return err
	}
	if !p.node.allows(r, w, x) {
		return EACCES
	}
	return nil
}

package vfs

// named resolves a path to a name in a directory, there or not.
func (f *FS) named(base Base, path string) (place, error) {
	p, err := f.find(base, path, false)
	if err != nil {
		return place{}, err
	}
	if p.dir.kind != Dir {
		return place{}, EACCES
	}
	return p, nil
}

// absent resolves a path to a name that is free.
func (f *FS) absent(base Base, path string) (place, error) {
	p, err := f.named(base, path)
	switch {
	case err != nil:
		return place{}, err
	case p.node != nil:
		return place{}, EEXIST
	}
	return p, nil
}

// Mkdir makes a directory.
func (f *FS) Mkdir(base Base, path string, mode uint32) error {
	p, err := f.absent(base, path)
	if err != nil {
		return err
	}
	return f.create(p.dir, p.name, &node{kind: Dir, mode: mode & 0o1777, entries: map[string]*node{}})
}

// Symlink makes a symbolic link.
func (f *FS) Symlink(target string, base Base, path string) error {
	switch {
	case target == "":
		return ENOENT
	case len(target) > MaxPath:
		return ENAMETOOLONG
	}
	p, err := f.absent(base, path)
	switch {
	case err != nil:
		return err
	case p.slash:
		return ENOENT
	}
	return f.create(p.dir, p.name, &node{kind: Link, mode: 0o777, data: []byte(target)})
}

// Mkdev makes a character device.
func (f *FS) Mkdev(base Base, path string, mode uint32, d Device) error {
	p, err := f.absent(base, path)
	if err != nil {
		return err
	}
	return f.create(p.dir, p.name, &node{kind: Char, mode: mode & 0o7777, device: d})
}

// MountOpenFiles makes a directory whose entries are links to the paths of
// the open files.
func (f *FS) MountOpenFiles(base Base, path string) error {
	p, err := f.absent(base, path)
	if err != nil {
		return err
	}
	return f.create(p.dir, p.name, &node{kind: openFiles, mode: 0o777})
}

// Link gives a file another name. follow says whether it is the one behind a
// symbolic link.
func (f *FS) Link(base Base, old string, follow bool, newBase Base, path string) error {
	from, err := f.existing(base, old, follow)
	if err != nil {
		return err
	}
	to, err := f.absent(newBase, path)
	switch {
	case err != nil:
		return err
	case from.node.isDir():
		return EPERM
	case from.node.ino == 0:
		return EXDEV
	case to.slash:
		return ENOENT
	case len(to.name) > MaxName:
		return ENAMETOOLONG
	case to.dir.parent == nil:
		return ENOENT
	case !to.dir.allows(false, true, true):
		return EACCES
	}
	if err := f.charge(entryCost + len(to.name)); err != nil {
		return err
	}
	from.node.links++
	from.node.ctime = f.Now()
	to.dir.modified(from.node.ctime)
	to.dir.put(to.name, from.node)
	f.changed()
	return nil
}

// Readlink is the target of a symbolic link, and the directory that it is
// relative to.
func (f *FS) Readlink(base Base, path string) (target, dir string, err error) {
	p, err := f.existing(base, path, false)
	if err != nil {
		return "", "", err
	}
	if p.node.kind != Link {
		return "", "", EINVAL
	}
	return string(p.node.data), f.pathOf(p.dir), nil
}

// deletable reports why a name can't be taken away.
func (f *FS) deletable(p place, dir bool) error {
	n := p.node
	switch {
	case n == nil:
		return ENOENT
	case n == f.root:
		return EBUSY
	case p.name == "":
		return EINVAL
	case !p.dir.allows(false, true, true):
		return EACCES
	case dir && !n.isDir():
		return ENOTDIR
	case !dir && n.isDir():
		return EISDIR
	case dir && (n == f.cwd || n.kind == openFiles):
		return EBUSY
	}
	return nil
}

// Unlink removes a name of what is no directory.
func (f *FS) Unlink(base Base, path string) error {
	p, err := f.named(base, path)
	if err != nil {
		return err
	}
	if err := f.deletable(p, false); err != nil {
		return err
	}
	if p.slash {
		return ENOTDIR
	}
	f.remove(p.dir, p.name, p.node)
	p.dir.modified(f.Now())
	return nil
}

// Rmdir removes an empty directory.
func (f *FS) Rmdir(base Base, path string) error {
	p, err := f.named(base, path)
	if err != nil {
		return err
	}
	if err := f.deletable(p, true); err != nil {
		return err
	}
	if len(p.node.entries) > 0 {
		return ENOTEMPTY
	}
	f.remove(p.dir, p.name, p.node)
	p.dir.modified(f.Now())
	return nil
}

// Rename moves what is at a path, replacing what is at the other if both are
// directories and that one is empty, or neither is.
func (f *FS) Rename(base Base, old string, newBase Base, path string) error {
	from, err := f.named(base, old)
	if err != nil {
		return err
	}
	to, err := f.named(newBase, path)
	if err != nil {
		return err
	}
	switch {
	case from.node == nil:
		return ENOENT
	case from.node == f.root || from.name == "" || to.name == "" && to.node == f.root:
		return EBUSY
	case to.name == "":
		return EINVAL
	case from.node == to.node:
		return nil
	case !from.node.isDir() && (from.slash || to.slash):
		return ENOTDIR
	case len(to.name) > MaxName:
		return ENAMETOOLONG
	}
	for d := to.dir; ; d = d.parent {
		if d == nil {
			return ENOENT // the directory was removed
		}
		if d == from.node {
			return EINVAL
		}
		if d == f.root {
			break
		}
	}
	if to.node != nil && to.node.isDir() && to.node.contains(from.dir) {
		return ENOTEMPTY
	}
	dir := from.node.isDir()
	if err := f.deletable(from, dir); err != nil {
		return err
	}
	if to.node != nil {
		if err := f.deletable(to, dir); err != nil {
			return err
		}
		if len(to.node.entries) > 0 {
			return ENOTEMPTY
		}
	} else if !to.dir.allows(false, true, true) {
		return EACCES
	}
	n := from.node
	if more := len(to.name) - len(from.name); to.node == nil && more > f.opts.Bytes-f.used {
		return ENOSPC
	}
	if to.node != nil {
		f.remove(to.dir, to.name, to.node)
	}
	from.dir.put(from.name, nil)
	to.dir.put(to.name, n)
	f.used += len(to.name) - len(from.name)
	if dir {
		n.parent = to.dir
	}
	t := f.Now()
	from.dir.modified(t)
	to.dir.modified(t)
	f.changed()
	return nil
}

// contains reports whether d is n or below it.
func (n *node) contains(d *node) bool {
	for ; d != nil; d = d.parent {
		if d == n {
			return true
		}
		if d.parent == d {
			return false
		}
	}
	return false
}

// Chdir makes the directory at path the working directory.
func (f *FS) Chdir(base Base, path string) error {
	p, err := f.existing(base, path, true)
	switch {
	case err != nil:
		return err
	case p.node.kind != Dir:
		return ENOTDIR
	case !p.node.allows(false, false, true):
		return EACCES
	}
	old := f.cwd
	p.node.opens++
	old.opens--
	f.cwd = p.node
	f.release(old)
	f.changed()
	return nil
}

// Getcwd is the path of the working directory.
func (f *FS) Getcwd() string { return f.pathOf(f.cwd) }

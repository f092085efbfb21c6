package vfs

import "strings"

// Base is where paths start.
type Base struct {
	dir *node
	// confined says that paths must stay below dir.
	confined bool
}

// Root is the base of absolute paths, for guests that see the whole tree.
func (f *FS) Root() Base { return Base{dir: f.root} }

// Below is the directory that is open as fd, for guests that may name only
// what is below it: absolute paths, and those that climb out of it, are
// ENOTCAPABLE.
func (f *FS) Below(fd int) (Base, error) {
	file, err := f.file(fd)
	if err != nil {
		return Base{}, err
	}
	if file.node.kind != Dir {
		return Base{}, ENOTDIR
	}
	return Base{dir: file.node, confined: true}, nil
}

// place is what a path leads to.
type place struct {
	dir   *node  // the directory that it is in
	name  string // its name there; empty if the path ends in . or .. or is the base
	node  *node  // nil if there is none
	slash bool   // the path ends in a slash
}

// find resolves a path. follow says whether a symbolic link at its end is
// followed. What's missing at the end of the path is no error.
func (f *FS) find(base Base, path string, follow bool) (place, error) {
	if path == "" {
		return place{}, ENOENT
	}
	if len(path) > MaxPath {
		return place{}, ENAMETOOLONG
	}
	p := place{dir: base.dir, node: base.dir, slash: path[len(path)-1] == '/'}
	followed := 0
	rest := path
walk:
	for {
		if rest[0] == '/' { // the path, or the link that led here
			if base.confined {
				return place{}, ENOTCAPABLE
			}
			p.dir, p.node, p.name = f.root, f.root, ""
		}
		for {
			rest = strings.TrimLeft(rest, "/")
			if rest == "" {
				return p, nil
			}
			var name string
			name, rest, _ = strings.Cut(rest, "/")
			if err := f.step(base, &p, name); err != nil {
				return place{}, err
			}
			if p.node == nil || p.node.kind != Link {
				continue
			}
			if last := strings.Trim(rest, "/") == ""; last && !follow && !p.slash {
				return p, nil
			}
			if followed++; followed > maxFollow {
				return place{}, ELOOP
			}
			rest = string(p.node.data) + "/" + rest
			p.node, p.name = p.dir, ""
			continue walk
		}
	}
}

// step goes from p.node to its entry of that name.
func (f *FS) step(base Base, p *place, name string) error {
	switch {
	case p.node == nil:
		return ENOENT
	case !p.node.isDir():
		return ENOTDIR
	case !p.node.allows(false, false, true):
		return EACCES
	case len(name) > MaxName:
		return ENAMETOOLONG
	}
	p.dir, p.name = p.node, ""
	switch name {
	case ".":
		return nil
	case "..":
		if base.confined && p.node == base.dir {
			return ENOTCAPABLE
		}
		if p.node.parent == nil {
			return ENOENT
		}
		p.node = p.node.parent
		p.dir = p.node
		return nil
	}
	n, err := f.child(p.dir, name)
	p.node, p.name = n, name
	return err
}

// existing resolves a path to what has to be there.
func (f *FS) existing(base Base, path string, follow bool) (place, error) {
	p, err := f.find(base, path, follow)
	switch {
	case err != nil:
		return place{}, err
	case p.node == nil:
		return place{}, ENOENT
	case p.slash && !p.node.isDir():
		return place{}, ENOTDIR
	}
	return p, nil
}

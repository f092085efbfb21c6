package vfs

import (
	"maps"
	"slices"
	"strconv"
)

// Kind is what a node is.
type Kind uint8

// The kinds of nodes.
const (
	File Kind = 1 + iota
	Dir
	Link
	Char
	// openFiles is a directory of links to the open files, as /proc/self/fd is.
	openFiles
)

// Device is what is behind a character device.
type Device uint8

// The devices.
const (
	// NullDevice swallows and gives nothing.
	NullDevice Device = 1 + iota
	// Terminal writes to Stdout; its input is at its end.
	Terminal
	// ErrorTerminal writes to Stderr; it has no input.
	ErrorTerminal
	// RandomDevice gives random bytes.
	RandomDevice
	// RandomDevice2 is another node for the same.
	RandomDevice2
	lastDevice = RandomDevice2
)

// number is the device's major and minor number, as Emscripten gives them out.
func (d Device) number() uint32 {
	switch d {
	case NullDevice:
		return 1<<8 | 3
	case Terminal:
		return 5 << 8
	case ErrorTerminal:
		return 6 << 8
	case RandomDevice:
		return 64 << 8
	case RandomDevice2:
		return 65 << 8
	}
	return 0
}

// Terminal reports whether the device is one.
func (d Device) Terminal() bool { return d == Terminal || d == ErrorTerminal }

// node is a file, directory, link or device.
type node struct {
	kind   Kind
	device Device
	ino    uint64
	mode   uint32 // permissions
	links  int    // names in directories
	opens  int    // open files, and being the working directory

	atime, mtime, ctime int64

	data    []byte // contents, or a link's target
	entries map[string]*node
	sorted  []string // names of entries, nil if they have to be sorted
	parent  *node    // of a directory; nil once removed
}

func (n *node) isDir() bool { return n.kind == Dir || n.kind == openFiles }

// names lists the entries in byte order.
func (n *node) names() []string {
	if n.sorted == nil {
		n.sorted = slices.Sorted(maps.Keys(n.entries))
	}
	return n.sorted
}

func (n *node) nameOf(child *node) string {
	for name, c := range n.entries {
		if c == child {
			return name // a directory has one name only
		}
	}
	return ""
}

// put adds, replaces or, if child is nil, removes an entry.
func (n *node) put(name string, child *node) {
	n.sorted = nil
	if child == nil {
		delete(n.entries, name)
		return
	}
	n.entries[name] = child
}

// allows reports whether the permissions have one of the bits r, w and x for
// each that is asked for. Everybody is the same user.
func (n *node) allows(r, w, x bool) bool {
	return (!r || n.mode&0o444 != 0) && (!w || n.mode&0o222 != 0) && (!x || n.mode&0o111 != 0)
}

// touch sets all times.
func (n *node) touch(t int64) { n.atime, n.mtime, n.ctime = t, t, t }

// modified sets the times that a change of contents sets.
func (n *node) modified(t int64) { n.mtime, n.ctime = t, t }

// create adds a node to a directory.
func (f *FS) create(dir *node, name string, n *node) error {
	if len(name) > MaxName {
		return ENAMETOOLONG
	}
	if dir.parent == nil {
		return ENOENT // the directory was removed
	}
	if dir.kind != Dir || !dir.allows(false, true, true) {
		return EACCES
	}
	if f.nodes >= f.opts.Nodes {
		return ENOSPC
	}
	if err := f.charge(nodeCost + len(n.data) + entryCost + len(name)); err != nil {
		return err
	}
	f.nodes++
	f.number(n)
	n.links = 1
	if n.isDir() {
		n.parent = dir
	}
	n.touch(f.Now())
	dir.modified(n.mtime)
	dir.put(name, n)
	f.changed()
	return nil
}

// remove takes a name out of a directory.
func (f *FS) remove(dir *node, name string, n *node) {
	dir.put(name, nil)
	f.used -= entryCost + len(name)
	n.links--
	if n.isDir() {
		n.parent = nil
	}
	f.release(n)
	f.changed()
}

// child is the entry of that name, or nil.
func (f *FS) child(dir *node, name string) (*node, error) {
	if dir.kind == openFiles {
		fd, err := strconv.ParseUint(name, 10, 16)
		if err != nil || int(fd) >= len(f.files) || f.files[fd] == nil {
			return nil, EBADF
		}
		return &node{kind: Link, mode: 0o777, links: 1, data: []byte(f.files[fd].path)}, nil
	}
	return dir.entries[name], nil
}

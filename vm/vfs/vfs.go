// Package vfs is an in-memory file system whose whole state is a value: equal operations give equal states, down to inode numbers and times.
//
// It serves the system interfaces of guests (WASI, Emscripten): directories,
// files, symbolic and hard links, character devices, open files. It reads no
// clock and no random source but those that it was handed, and it touches no
// file of the host. Numbers are handed out lowest first (inodes, descriptors)
// and directories list in byte order, so that the state depends on what is
// there and not on the way there.
//
// An FS belongs to one goroutine at a time.
package vfs

import "slices"

// The limits, with the reason for each.
const (
	// DefaultBytes bounds the encoded state: file contents, and what names,
	// nodes and open files cost. It leaves room in the 64 MiB that an
	// instance's state besides memory may take.
	DefaultBytes = 60 << 20
	// DefaultNodes bounds files and directories; databases and script
	// libraries use a few dozen.
	DefaultNodes = 16 << 10
	// DefaultOpen bounds descriptors. It is what Unix systems allow by default.
	DefaultOpen = 1 << 10
	// MaxPath is the longest path in bytes, as on Linux.
	MaxPath = 4 << 10
	// MaxName is the longest name in a directory in bytes, as on Linux.
	MaxName = 255
	// maxFollow is how many symbolic links one path may lead through, as on Linux.
	maxFollow = 40

	// What things cost besides their contents. Each is no less than the
	// thing's encoding in a snapshot.
	nodeCost  = 80
	entryCost = 24
	openCost  = 48
)

// Options bound a file system. A zero field means its default.
type Options struct {
	Bytes int
	Nodes int
	Open  int
}

// FS is a file system and the open files of one process.
type FS struct {
	// Now is the time in nanoseconds since the Unix epoch. It is asked once
	// for each change of a node, and for each transfer to or from a terminal.
	Now func() int64
	// Random fills a slice for those who read the random devices.
	Random func([]byte)
	// Stdout and Stderr are what was written to the terminals.
	Stdout, Stderr Output

	opts   Options
	root   *node
	cwd    *node
	inodes []*node // by number; 0 is nobody's
	low    int     // no number below is free
	nodes  int
	files  []*file // by descriptor
	used   int

	initial []byte // the encoded state at Seal
	encoded []byte // the encoded state, nil if it has changed since
}

// New returns a file system with an empty root directory and nothing open,
// for whose clock and random source the caller provides. Seal ends its making.
func New(opts Options) *FS {
	if opts.Bytes == 0 {
		opts.Bytes = DefaultBytes
	}
	if opts.Nodes == 0 {
		opts.Nodes = DefaultNodes
	}
	if opts.Open == 0 {
		opts.Open = DefaultOpen
	}
	f := &FS{
		Now:    func() int64 { return 0 },
		Random: func(p []byte) { clear(p) },
		opts:   opts,
		inodes: make([]*node, 1),
		low:    1,
	}
	f.root = &node{kind: Dir, mode: 0o777, entries: map[string]*node{}, links: 1}
	f.root.parent = f.root
	f.number(f.root)
	f.cwd = f.root
	f.root.opens = 1
	f.nodes, f.used = 1, nodeCost
	return f
}

// Seal makes the present state the initial one.
func (f *FS) Seal() {
	f.initial = f.encode()
	f.encoded = f.initial
}

// Begin starts a call in which each output may take max bytes.
func (f *FS) Begin(max uint64) {
	f.Stdout.begin(max)
	f.Stderr.begin(max)
	for _, file := range f.files {
		if file != nil {
			file.list = nil
		}
	}
}

// changed notes that the state isn't what it was.
func (f *FS) changed() { f.encoded = nil }

// number gives n the lowest free inode number.
func (f *FS) number(n *node) {
	for f.low < len(f.inodes) && f.inodes[f.low] != nil {
		f.low++
	}
	if f.low == len(f.inodes) {
		f.inodes = append(f.inodes, nil)
	}
	n.ino = uint64(f.low)
	f.inodes[f.low] = n
}

// charge takes bytes from the budget, or ENOSPC.
func (f *FS) charge(bytes int) error {
	if bytes > f.opts.Bytes-f.used {
		return ENOSPC
	}
	f.used += bytes
	return nil
}

// release gives up n's number and budget if nothing refers to it any more.
func (f *FS) release(n *node) {
	if n.links > 0 || n.opens > 0 || n == f.root || n.ino == 0 {
		return
	}
	f.inodes[n.ino] = nil
	f.low = min(f.low, int(n.ino))
	f.nodes--
	f.used -= nodeCost + len(n.data)
	n.ino = 0
}

// Used is how much of the budget is taken, in bytes.
func (f *FS) Used() int { return f.used }

// pathOf is the absolute path of a directory, empty if it was removed.
func (f *FS) pathOf(n *node) string {
	if n == f.root {
		return "/"
	}
	var names []string
	for n != f.root {
		if n.parent == nil {
			return ""
		}
		names = append(names, n.parent.nameOf(n))
		n = n.parent
	}
	size := 0
	for _, s := range names {
		size += 1 + len(s)
	}
	out := make([]byte, 0, size)
	for _, s := range slices.Backward(names) {
		out = append(append(out, '/'), s...)
	}
	return string(out)
}

func joined(dir, name string) string {
	if name == "" {
		return dir
	}
	if dir == "/" {
		return dir + name
	}
	return dir + "/" + name
}

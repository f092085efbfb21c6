package vfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// The state is encoded as a version byte, 1, then the root node, then the
// working directory's inode number, then the descriptors. Integers are
// uvarints, times varints, strings a length and bytes.
//
// A node is: kind, inode number, permissions, atime, mtime, ctime, and by kind
//   - File, Link: the contents
//   - Dir: the number of entries, and in byte order of their names each name
//     with either 0 and the node, or the inode number of a node that came
//     before (a hard link)
//   - Char: the device
//
// The descriptors are: their number, and in their order each descriptor with
// either the number (from 1) of the open file in the order of their first
// descriptors, if it came before, or 0 and the open file: the inode number of
// its node, or 0 and the node if it has no name any more; flags; offset; path.
//
// Equal states have equal encodings: what decodes but encodes to something
// else is refused.
const snapshotVersion = 1

// Snapshot encodes the state: the tree and the open files. It is nil if that
// is as it was at Seal. The caller must not change it.
func (f *FS) Snapshot() []byte {
	if f.encoded == nil {
		f.encoded = f.encode()
		if bytes.Equal(f.encoded, f.initial) {
			f.encoded = f.initial
		}
	}
	if bytes.Equal(f.encoded, f.initial) {
		return nil
	}
	return f.encoded
}

// Restore replaces the state by what Snapshot returned, which it keeps; nil is
// the state at Seal. After an error the state is as it was.
func (f *FS) Restore(snapshot []byte) error {
	if snapshot == nil {
		snapshot = f.initial
	}
	if f.encoded != nil && bytes.Equal(f.encoded, snapshot) {
		return nil
	}
	g, err := decode(f.opts, snapshot)
	if err != nil {
		return fmt.Errorf("restore files: %w", err)
	}
	f.root, f.cwd, f.inodes, f.low, f.nodes, f.files, f.used = g.root, g.cwd, g.inodes, g.low, g.nodes, g.files, g.used
	f.encoded = snapshot
	if bytes.Equal(snapshot, f.initial) {
		f.encoded = f.initial
	}
	return nil
}

type encoder struct {
	out  []byte
	seen map[*node]bool
}

func (e *encoder) int(v uint64)   { e.out = binary.AppendUvarint(e.out, v) }
func (e *encoder) time(v int64)   { e.out = binary.AppendVarint(e.out, v) }
func (e *encoder) bytes(p []byte) { e.int(uint64(len(p))); e.out = append(e.out, p...) }
func (e *encoder) text(s string)  { e.int(uint64(len(s))); e.out = append(e.out, s...) }

func (e *encoder) node(n *node) {
	e.seen[n] = true
	e.out = append(e.out, byte(n.kind))
	e.int(n.ino)
	e.int(uint64(n.mode))
	e.time(n.atime)
	e.time(n.mtime)
	e.time(n.ctime)
	switch n.kind {
	case File, Link:
		e.bytes(n.data)
	case Char:
		e.out = append(e.out, byte(n.device))
	case Dir:
		e.int(uint64(len(n.entries)))
		for _, name := range n.names() {
			e.text(name)
			c := n.entries[name]
			if e.seen[c] {
				e.int(c.ino)
				continue
			}
			e.int(0)
			e.node(c)
		}
	}
}

func (f *FS) encode() []byte {
	e := &encoder{out: make([]byte, 0, f.used), seen: make(map[*node]bool, f.nodes)}
	e.out = append(e.out, snapshotVersion)
	e.node(f.root)
	e.int(f.cwd.ino)
	open := 0
	for _, o := range f.files {
		if o != nil {
			open++
		}
	}
	e.int(uint64(open))
	before := make(map[*file]uint64)
	for fd, o := range f.files {
		if o == nil {
			continue
		}
		e.int(uint64(fd))
		if i := before[o]; i != 0 {
			e.int(i)
			continue
		}
		before[o] = uint64(len(before) + 1)
		e.int(0)
		if e.seen[o.node] {
			e.int(o.node.ino)
		} else {
			e.int(0)
			e.node(o.node)
		}
		e.int(uint64(o.flags))
		e.int(uint64(o.offset))
		e.text(o.path)
	}
	return e.out
}

// decoder reads what an encoder wrote. The first error sticks, and what is
// read after it is zero.
type decoder struct {
	fs  *FS
	in  []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
	d.in = nil
}

func (d *decoder) byte() byte {
	if len(d.in) == 0 {
		d.fail("it ends early")
		return 0
	}
	b := d.in[0]
	d.in = d.in[1:]
	return b
}

func (d *decoder) int(max uint64) uint64 {
	v, n := binary.Uvarint(d.in)
	if n <= 0 || v > max {
		d.fail("a number is malformed or too large")
		return 0
	}
	d.in = d.in[n:]
	return v
}

func (d *decoder) time() int64 {
	v, n := binary.Varint(d.in)
	if n <= 0 {
		d.fail("a time is malformed")
		return 0
	}
	d.in = d.in[n:]
	return v
}

func (d *decoder) bytes(max int) []byte {
	n := int(d.int(uint64(max)))
	if n > len(d.in) {
		d.fail("it ends early")
		return nil
	}
	b := d.in[:n]
	d.in = d.in[n:]
	return b
}

// node reads a node that is nobody's child yet. depth bounds the recursion:
// directories within directories are no more than there are nodes.
func (d *decoder) node() *node {
	f := d.fs
	n := &node{kind: Kind(d.byte())}
	n.ino = d.int(uint64(f.opts.Nodes))
	n.mode = uint32(d.int(0o7777))
	n.atime, n.mtime, n.ctime = d.time(), d.time(), d.time()
	if d.err != nil {
		return nil
	}
	if n.ino == 0 {
		d.fail("a node has no number")
		return nil
	}
	if more := int(n.ino) + 1 - len(f.inodes); more > 0 {
		f.inodes = append(f.inodes, make([]*node, more)...)
	}
	if f.inodes[n.ino] != nil {
		d.fail("two nodes have the number %d", n.ino)
		return nil
	}
	f.inodes[n.ino] = n
	f.nodes++
	if f.nodes > f.opts.Nodes {
		d.fail("there are more than %d nodes", f.opts.Nodes)
		return nil
	}
	switch n.kind {
	case File:
		n.data = bytes.Clone(d.bytes(f.opts.Bytes))
	case Link:
		n.data = bytes.Clone(d.bytes(MaxPath))
		if len(n.data) == 0 {
			d.fail("a link leads nowhere")
		}
	case Char:
		n.device = Device(d.byte())
		if n.device == 0 || n.device > lastDevice {
			d.fail("there is no device %d", n.device)
		}
	case Dir:
		d.entries(n)
	case openFiles:
	default:
		d.fail("there is no kind %d of nodes", n.kind)
	}
	d.charge(nodeCost + len(n.data))
	if d.err != nil {
		return nil
	}
	return n
}

func (d *decoder) charge(bytes int) {
	if err := d.fs.charge(bytes); err != nil {
		d.fail("it takes more than %d bytes", d.fs.opts.Bytes)
	}
}

func (d *decoder) entries(n *node) {
	n.entries = map[string]*node{}
	previous := ""
	for count := d.int(uint64(d.fs.opts.Bytes)); count > 0 && d.err == nil; count-- {
		name := string(d.bytes(MaxName))
		if name <= previous || name == "." || name == ".." || bytes.ContainsAny([]byte(name), "/\x00") {
			d.fail("a name is malformed or out of order")
			return
		}
		previous = name
		d.charge(entryCost + len(name))
		c := d.reference()
		if c == nil {
			return
		}
		if c.isDir() {
			if c.parent != nil || c == n {
				d.fail("a directory has two names")
				return
			}
			c.parent = n
		}
		c.links++
		n.entries[name] = c
	}
}

// reference reads the number of a node that came before, or 0 and a node.
func (d *decoder) reference() *node {
	ino := d.int(uint64(d.fs.opts.Nodes))
	if d.err != nil {
		return nil
	}
	if ino == 0 {
		return d.node()
	}
	if ino >= uint64(len(d.fs.inodes)) || d.fs.inodes[ino] == nil {
		d.fail("there is no node %d", ino)
		return nil
	}
	return d.fs.inodes[ino]
}

func (d *decoder) descriptors() {
	f := d.fs
	var opened []*file
	for count := d.int(uint64(f.opts.Open)); count > 0 && d.err == nil; count-- {
		fd := int(d.int(uint64(f.opts.Open - 1)))
		if fd < len(f.files) && d.err == nil {
			d.fail("descriptors are out of order")
		}
		i := d.int(uint64(len(opened)))
		if d.err != nil {
			return
		}
		if i > 0 {
			f.set(fd, opened[i-1])
			continue
		}
		n := d.reference()
		o := &file{node: n, flags: uint32(d.int(1<<32 - 1)), offset: int64(d.int(1<<63 - 1))}
		o.path = string(d.bytes(MaxPath * 2))
		if d.err != nil {
			return
		}
		if n.kind == Link {
			d.fail("a link is open")
			return
		}
		if n.isDir() && n.parent == nil && len(n.entries) > 0 {
			d.fail("a removed directory isn't empty")
			return
		}
		d.charge(openCost + len(o.path))
		n.opens++
		opened = append(opened, o)
		f.set(fd, o)
	}
}

func decode(opts Options, data []byte) (*FS, error) {
	f := &FS{opts: opts, inodes: make([]*node, 1), low: 1}
	d := &decoder{fs: f, in: data}
	if v := d.byte(); v != snapshotVersion && d.err == nil {
		return nil, fmt.Errorf("they are encoded in an unknown version, %d", v)
	}
	f.root = d.node()
	if d.err == nil && f.root.kind != Dir {
		d.fail("the root is no directory")
	}
	if d.err == nil {
		if f.root.parent != nil {
			d.fail("the root has a parent")
		}
		f.root.parent = f.root
		f.root.links++
	}
	if cwd := d.int(uint64(len(f.inodes) - 1)); d.err == nil {
		if f.cwd = f.inodes[cwd]; f.cwd == nil || f.cwd.kind != Dir {
			d.fail("there is no working directory")
		} else {
			f.cwd.opens++
		}
	}
	d.descriptors()
	if d.err == nil && len(d.in) > 0 {
		d.fail("something follows it")
	}
	if d.err != nil {
		return nil, d.err
	}
	if !bytes.Equal(f.encode(), data) {
		return nil, fmt.Errorf("it isn't the canonical encoding")
	}
	return f, nil
}

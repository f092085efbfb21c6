package vfs

import "slices"

// Read reads from the open file's offset on and moves it. Zero bytes are the
// end of the file.
func (f *FS) Read(fd int, p []byte) (int, error) {
	o, err := f.file(fd)
	if err != nil {
		return 0, err
	}
	n, err := f.read(o, p, o.offset)
	if n > 0 && o.node.kind == File {
		o.offset += int64(n)
		f.changed()
	}
	return n, err
}

// ReadAt reads from an offset on.
func (f *FS) ReadAt(fd int, p []byte, offset int64) (int, error) {
	o, err := f.file(fd)
	if err != nil {
		return 0, err
	}
	if err := positioned(o, offset); err != nil {
		return 0, err
	}
	return f.read(o, p, offset)
}

func positioned(o *file, offset int64) error {
	switch {
	case offset < 0:
		return EINVAL
	case o.node.kind == Char:
		return ESPIPE
	}
	return nil
}

func (f *FS) read(o *file, p []byte, offset int64) (int, error) {
	switch n := o.node; {
	case !o.readable():
		return 0, EBADF
	case n.isDir():
		return 0, EISDIR
	case n.kind == Char:
		return f.readDevice(n.device, p)
	case offset >= int64(len(n.data)):
		return 0, nil
	default:
		return copy(p, n.data[offset:]), nil
	}
}

func (f *FS) readDevice(d Device, p []byte) (int, error) {
	switch d {
	case RandomDevice, RandomDevice2:
		f.Random(p)
		if len(p) > 0 {
			f.Now() // a transfer, as with a terminal
		}
		return len(p), nil
	case ErrorTerminal:
		return 0, ENXIO
	}
	return 0, nil
}

// Write writes all of p at the open file's offset, or at the file's end if it
// was opened to append, and moves the offset. More output than a terminal may
// take is a *vm.LimitError.
func (f *FS) Write(fd int, p []byte) (int, error) {
	o, err := f.file(fd)
	if err != nil {
		return 0, err
	}
	if o.node.kind == File && o.flags&Append != 0 && o.writable() {
		o.offset = int64(len(o.node.data))
		f.changed()
	}
	n, err := f.write(o, p, o.offset)
	if n > 0 && o.node.kind == File {
		o.offset += int64(n)
	}
	return n, err
}

// WriteAt writes all of p at an offset.
func (f *FS) WriteAt(fd int, p []byte, offset int64) (int, error) {
	o, err := f.file(fd)
	if err != nil {
		return 0, err
	}
	if err := positioned(o, offset); err != nil {
		return 0, err
	}
	return f.write(o, p, offset)
}

func (f *FS) write(o *file, p []byte, offset int64) (int, error) {
	n := o.node
	switch {
	case !o.writable():
		return 0, EBADF
	case n.isDir():
		return 0, EISDIR
	case n.kind == Char:
		return f.writeDevice(n.device, p)
	case len(p) == 0:
		return 0, nil
	}
	end := offset + int64(len(p))
	if end < offset {
		return 0, EFBIG
	}
	if end > int64(len(n.data)) {
		if err := f.stretch(n, end); err != nil {
			return 0, err
		}
	}
	copy(n.data[offset:], p)
	n.modified(f.Now())
	f.changed()
	return len(p), nil
}

func (f *FS) writeDevice(d Device, p []byte) (int, error) {
	switch d {
	case RandomDevice, RandomDevice2:
		return 0, EIO
	case Terminal, ErrorTerminal:
		out := &f.Stdout
		if d == ErrorTerminal {
			out = &f.Stderr
		}
		if err := out.Write(p); err != nil {
			return 0, err
		}
		if len(p) > 0 {
			f.Now() // terminals note it; theirs is no state here
		}
	}
	return len(p), nil
}

// stretch makes a file longer, with zeros.
func (f *FS) stretch(n *node, size int64) error {
	old := len(n.data)
	if size > int64(f.opts.Bytes) {
		return ENOSPC
	}
	if err := f.charge(int(size) - old); err != nil {
		return err
	}
	n.data = slices.Grow(n.data, int(size)-old)[:size]
	clear(n.data[old:]) // there may be remains of what was truncated
	return nil
}

// resize sets a file's length.
func (f *FS) resize(n *node, size int64) error {
	switch {
	case size > int64(len(n.data)):
		if err := f.stretch(n, size); err != nil {
			return err
		}
	case size == 0:
		f.used -= len(n.data)
		n.data = nil
	default:
		f.used -= len(n.data) - int(size)
		n.data = n.data[:size]
	}
	n.modified(f.Now())
	f.changed()
	return nil
}

// Resize sets the length of the open file.
func (f *FS) Resize(fd int, size int64) error {
	o, err := f.file(fd)
	switch {
	case err != nil:
		return err
	case size < 0, !o.writable(), o.node.kind != File:
		return EINVAL
	case !o.node.allows(false, true, false):
		return EACCES
	}
	return f.resize(o.node, size)
}

// ResizePath sets the length of the file at path.
func (f *FS) ResizePath(base Base, path string, size int64) error {
	p, err := f.existing(base, path, true)
	switch {
	case err != nil:
		return err
	case p.node.isDir():
		return EISDIR
	case size < 0, p.node.kind != File:
		return EINVAL
	case !p.node.allows(false, true, false):
		return EACCES
	}
	return f.resize(p.node, size)
}

// Allocate makes the open file at least offset+length bytes long.
func (f *FS) Allocate(fd int, offset, length int64) error {
	o, err := f.file(fd)
	switch {
	case err != nil:
		return err
	case offset < 0 || length <= 0 || offset+length < 0:
		return EINVAL
	case !o.writable():
		return EBADF
	case o.node.kind != File:
		return ENODEV
	case offset+length <= int64(len(o.node.data)):
		return nil
	}
	if err := f.stretch(o.node, offset+length); err != nil {
		return err
	}
	f.changed()
	return nil
}

// Where an offset counts from.
const (
	SeekStart   = 0
	SeekCurrent = 1
	SeekEnd     = 2
)

// Seek moves the open file's offset and returns it.
func (f *FS) Seek(fd int, offset int64, whence int) (int64, error) {
	o, err := f.file(fd)
	if err != nil {
		return 0, err
	}
	if o.node.kind == Char {
		return 0, ESPIPE
	}
	at := offset
	switch whence {
	case SeekStart:
	case SeekCurrent:
		at += o.offset
	case SeekEnd:
		at += int64(len(o.node.data))
	default:
		return 0, EINVAL
	}
	if at < 0 {
		return 0, EINVAL // or the sum is too large
	}
	if at != o.offset {
		o.offset = at
		f.changed()
	}
	return at, nil
}

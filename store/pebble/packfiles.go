package pebble

import (
	"container/list"
	"errors"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// maxPackFiles is how many packs are kept open for reading. One file is worth
// keeping if it saves an open, some 10 µs; the limits of the system start at
// 1,024.
const maxPackFiles = 128

// packFiles keeps packs open for reading. A file in use stays open, whatever
// else happens to the pack, even when its name is gone.
type packFiles struct {
	fs  vfs.FS
	dir string

	mu   sync.Mutex
	open map[uint32]*packFile
	idle list.List // of *packFile that nobody uses, least recently used first
}

type packFile struct {
	vfs.File
	number uint32
	users  int
	gone   bool          // close it when nobody uses it any more
	idle   *list.Element // nil while in use
}

func (p *packFiles) init(fs vfs.FS, dir string) {
	p.fs, p.dir, p.open = fs, dir, make(map[uint32]*packFile)
}

// acquire returns a pack's file, which is to be given back: errPackGone.
func (p *packFiles) acquire(number uint32) (*packFile, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.open[number]
	if f == nil {
		file, err := p.fs.Open(packPath(p.fs, p.dir, number), vfs.RandomReadsOption)
		if errors.Is(err, os.ErrNotExist) {
			return nil, errPackGone
		}
		if err != nil {
			return nil, err
		}
		f = &packFile{File: file, number: number}
		p.open[number] = f
	}
	if f.idle != nil {
		p.idle.Remove(f.idle)
		f.idle = nil
	}
	f.users++
	return f, nil
}

func (p *packFiles) release(f *packFile) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.users--; f.users > 0 {
		return
	}
	if f.gone {
		_ = f.Close() // it was only read
		return
	}
	f.idle = p.idle.PushBack(f)
	for p.idle.Len() > maxPackFiles {
		p.drop(p.idle.Front().Value.(*packFile))
	}
}

// forget closes a pack's file as soon as nobody uses it.
func (p *packFiles) forget(number uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.open[number]; f != nil {
		p.drop(f)
	}
}

func (p *packFiles) drop(f *packFile) {
	delete(p.open, f.number)
	if f.users > 0 {
		f.gone = true
		return
	}
	p.idle.Remove(f.idle)
	_ = f.Close() // it was only read
}

func (p *packFiles) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.open {
		p.drop(f)
	}
	return nil
}

package pebble

import (
	"sync"
	"sync/atomic"
)

// workers lend processors to calls that have much to compress or to check.
// Callers work themselves; a worker joins them if one is free, so that the
// number of goroutines is bounded by callers plus workers.
type workers struct {
	free chan struct{}
	// buffers are of *scratch.
	buffers sync.Pool
}

// scratch is memory that is worth keeping between frames.
type scratch struct{ raw, packed []byte }

func newWorkers(n int) *workers {
	// The caller is one of n.
	return &workers{free: make(chan struct{}, n-1), buffers: sync.Pool{New: func() any { return new(scratch) }}}
}

func (w *workers) get() *scratch  { return w.buffers.Get().(*scratch) }
func (w *workers) put(s *scratch) { w.buffers.Put(s) }

// hire runs f on as many goroutines as are free, but at most n. The caller
// waits for them with the returned function.
func (w *workers) hire(n int, f func()) (wait func()) {
	var wg sync.WaitGroup
	for range n {
		select {
		case w.free <- struct{}{}:
			wg.Go(func() {
				defer func() { <-w.free }()
				f()
			})
		default:
			return wg.Wait
		}
	}
	return wg.Wait
}

// each calls f with 0 to n-1, in any order, some at once.
func (w *workers) each(n int, f func(i int)) {
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			f(i)
		}
	}
	wait := w.hire(n-1, work)
	work()
	wait()
}

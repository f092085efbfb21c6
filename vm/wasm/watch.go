package wasm

import (
	"context"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watchdog interrupts a guest from outside.
//
// The rewriter adds a memory of one page to every module, which the guest
// reads at each loop and function, and nothing else ever touches. Taking the
// page away makes the next of these reads fault, which the engine turns into
// a trap. So being interruptible costs a load, where the engine's own epochs
// cost a load, a comparison and a branch; docs/benchmarks.md has the figures.
type watchdog struct {
	page []byte // the poll page

	mu      sync.Mutex
	running bool
	hit     bool // the page is taken away
	wall    bool // because of the wall-time limit
	start   time.Time
	took    time.Duration
}

// watchPage is how much of the poll memory is taken away, in bytes.
const watchPage = 64 << 10

func (w *watchdog) attach(base unsafe.Pointer) {
	w.page = unsafe.Slice((*byte)(base), watchPage)
}

// begin arms the watchdog until end is called.
func (w *watchdog) begin(ctx context.Context, wall time.Duration) (end func()) {
	w.mu.Lock()
	w.running, w.hit, w.wall, w.start = true, false, false, time.Now()
	w.mu.Unlock()
	timer := time.AfterFunc(wall, func() { w.interrupt(true) })
	stop := func() bool { return true }
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, func() { w.interrupt(false) })
	}
	return func() {
		timer.Stop()
		stop()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.running = false
		w.took = time.Since(w.start)
		if w.hit {
			if err := unix.Mprotect(w.page, unix.PROT_READ|unix.PROT_WRITE); err != nil {
				// The page is ours, whole and mapped: there is nothing that
				// the kernel could object to but a lack of its own memory.
				panic(fmt.Sprintf("wasm: give the poll page back: %v", err))
			}
		}
	}
}

func (w *watchdog) interrupt(wall bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.running || w.hit || w.page == nil {
		return
	}
	if unix.Mprotect(w.page, unix.PROT_NONE) == nil {
		w.hit, w.wall = true, wall
	}
}

func (w *watchdog) fired() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hit
}

// late reports whether it was the wall-time limit that fired.
func (w *watchdog) late() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wall
}

func (w *watchdog) elapsed() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		return time.Since(w.start)
	}
	return w.took
}

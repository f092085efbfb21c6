package process

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"aorta/store"
)

// Bounds of the writer.
const (
	// maxBatch is how many entries one write takes at most.
	maxBatch = 1024
	// maxUnwritten and maxUnwrittenBytes are how much may wait to be written
	// before workers wait too.
	maxUnwritten      = 16384
	maxUnwrittenBytes = 128 << 20
	// writeRetry is the pause after a failed write, and grows to maxWriteRetry.
	writeRetry    = 20 * time.Millisecond
	maxWriteRetry = 2 * time.Second
)

// entry is a result or a checkpoint to write.
type entry struct {
	p          *proc
	result     *Result
	checkpoint *Checkpoint
}

func (e entry) size() int {
	if e.result != nil {
		return len(e.result.Data) + 256
	}
	return len(e.checkpoint.Manifest) + 256
}

// writer writes results and checkpoints in batches, in the order in which they
// came, so that what is durable is a prefix of it:
//
//	results → sync (which covers the chunks of the checkpoints too) → checkpoints
//
// A checkpoint is thus never there without its chunks, nor without the results
// of the slots before it.
type writer struct {
	r *Runtime

	mu      sync.Mutex
	queue   []entry
	bytes   int
	taken   uint64        // entries ever put
	written uint64        // and ever written
	tries   uint64        // batches ever begun
	failing error         // why the last write failed; nil if it didn't
	tried   chan struct{} // closed and replaced after each batch
	ending  bool

	wake   chan struct{} // there are entries
	urgent chan struct{} // somebody waits for them
	done   chan struct{}
}

func newWriter(r *Runtime) *writer {
	return &writer{
		r:      r,
		tried:  make(chan struct{}),
		wake:   make(chan struct{}, 1),
		urgent: make(chan struct{}, 1),
		done:   make(chan struct{}),
	}
}

// ready waits while too much is unwritten, and fails if that is because
// writing fails. Workers ask before they compute.
func (w *writer) ready(ctx context.Context) error {
	for {
		w.mu.Lock()
		room, tried, failing := len(w.queue) < maxUnwritten && w.bytes < maxUnwrittenBytes, w.tried, w.failing
		w.mu.Unlock()
		switch {
		case room:
			return nil
		case failing != nil:
			return failing
		}
		select {
		case <-tried:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// put hands over an entry. What is computed is always taken; ready is what
// bounds it.
func (w *writer) put(e entry) {
	w.r.retain(e.p)
	w.mu.Lock()
	w.queue = append(w.queue, e)
	w.bytes += e.size()
	w.taken++
	w.mu.Unlock()
	signal(w.wake)
}

// signal wakes who waits on c, which has room for one signal.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// flush waits until everything that was put before is written and synced. It
// fails as soon as a write that began later fails.
func (w *writer) flush(ctx context.Context) error {
	w.mu.Lock()
	upTo, tries := w.taken, w.tries
	w.mu.Unlock()
	for {
		w.mu.Lock()
		done, tried := w.written >= upTo, w.tried
		var failing error
		if w.tries > tries {
			failing = w.failing
		}
		w.mu.Unlock()
		if done {
			return w.r.store.Sync(ctx)
		}
		if failing != nil {
			return failing
		}
		signal(w.urgent)
		select {
		case <-tried:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// run writes until end, and then what is left, once.
func (w *writer) run(ctx context.Context) {
	defer close(w.done)
	delay := time.NewTimer(time.Hour)
	defer delay.Stop()
	pause := writeRetry
	for {
		w.mu.Lock()
		waiting, ending := len(w.queue), w.ending
		w.mu.Unlock()
		switch {
		case waiting == 0 && ending:
			return
		case waiting == 0:
			<-w.wake
			// Others will follow soon: let them share the write.
			w.pause(delay, w.r.opts.WriteDelay)
			continue
		}
		err := w.writeBatch(ctx)
		switch {
		case err == nil:
			pause = writeRetry
		case ending:
			return
		default:
			w.pause(delay, pause)
			pause = min(2*pause, maxWriteRetry)
		}
	}
}

// pause waits for d, or less if somebody waits for the writer.
func (w *writer) pause(t *time.Timer, d time.Duration) {
	t.Reset(d)
	select {
	case <-t.C:
	case <-w.urgent:
		t.Stop()
	}
}

// end makes run write what is left, and waits for it. Nothing is put any more.
func (w *writer) end() error {
	w.mu.Lock()
	w.ending = true
	w.mu.Unlock()
	signal(w.wake)
	signal(w.urgent)
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) > 0 {
		return w.failing
	}
	return nil
}

// writeBatch writes the oldest entries. They stay queued if it fails.
func (w *writer) writeBatch(ctx context.Context) error {
	w.mu.Lock()
	batch := slices.Clone(w.queue[:min(len(w.queue), maxBatch)])
	w.tries++
	w.mu.Unlock()

	start := time.Now()
	results, checkpoints, err := w.write(ctx, batch)
	if f := w.r.opts.Events.Written; f != nil {
		f(results, checkpoints, time.Since(start), err)
	}
	if err == nil {
		for _, e := range batch {
			if e.result != nil {
				e.p.written(e.result)
			}
		}
	} else {
		w.r.opts.Logger.Error("writing results failed", "entries", len(batch), "error", err)
	}

	w.mu.Lock()
	w.failing = err
	if err == nil {
		for _, e := range batch {
			w.bytes -= e.size()
		}
		w.queue = slices.Delete(w.queue, 0, len(batch))
		w.written += uint64(len(batch))
	}
	close(w.tried)
	w.tried = make(chan struct{})
	w.mu.Unlock()

	if err == nil {
		for _, e := range batch {
			w.r.release(e.p)
		}
	}
	return err
}

func (w *writer) write(ctx context.Context, batch []entry) (results, checkpoints int, err error) {
	st := w.r.store
	links := make([]store.Link, 0, len(batch))
	var values [][]byte
	for _, e := range batch {
		r := e.result
		if r == nil {
			continue
		}
		var value store.Hash
		if len(r.Data) > inlineResult {
			value = store.Sum(r.Data)
			values = append(values, r.Data)
		}
		links = append(links, store.Link{Name: resultName(r.Process, r.Slot), Target: encodeResult(r, value)})
	}
	results = len(links)
	if len(values) > 0 {
		if _, err := st.PutValues(ctx, values...); err != nil {
			return 0, 0, err
		}
	}
	if len(links) > 0 {
		if err := st.SetLinks(ctx, links...); err != nil {
			return 0, 0, err
		}
	}
	// Several of one process can be in a batch, and outdate each other.
	targets := make(map[string][]byte)
	for _, e := range batch {
		c := e.checkpoint
		if c == nil {
			continue
		}
		checkpoints++
		targets[checkpointName(c.Process, c.Next)] = encodeCheckpoint(c)
		for _, old := range e.p.link(c.Next, w.r.opts.Checkpoint.Keep) {
			targets[checkpointName(c.Process, old)] = nil
		}
	}
	links = links[:0]
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		links = append(links, store.Link{Name: name, Target: targets[name]})
	}
	if checkpoints > 0 {
		if err := st.Sync(ctx); err != nil {
			return results, 0, err
		}
		if err := st.SetLinks(ctx, links...); err != nil {
			return results, 0, err
		}
	}
	return results, checkpoints, nil
}

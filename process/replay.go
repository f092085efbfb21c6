package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"aorta/store"
)

// ReplayOptions say what Replay does.
type ReplayOptions struct {
	// From is where to start: 0 with a new machine, a later slot with the
	// newest good checkpoint that isn't after it. Slots before From aren't
	// compared.
	From uint64
	// To is the slot before which to end; 0 means at the last computed one.
	To uint64
	// Verify compares the hash chain, every recorded result, and the root of
	// every recorded checkpoint.
	Verify bool
	// Progress is called now and then, on the caller's goroutine, with how
	// many slots are done of how many.
	Progress func(done, total uint64)
}

// ReplayReport is what a replay found.
type ReplayReport struct {
	Process string
	Profile string
	// Start is the first slot that was executed, Slots how many were.
	Start, Slots uint64
	// Results and Roots are how many were compared, and found equal.
	Results, Roots uint64
	// Skipped are checkpoints of other engine profiles, whose roots may differ.
	Skipped uint64
	// Root is the fingerprint of the state at the end.
	Root store.Hash
	Took time.Duration
	// Mismatch is the first difference; nil if there is none. The replay ends
	// with it.
	Mismatch *Mismatch
}

// Mismatch is a difference between what was recorded and what a replay came to.
type Mismatch struct {
	Slot uint64
	// What differs: "hash-chain", "result" or "root" (of the state after Slot).
	What string
	// Recorded and Computed are hashes.
	Recorded, Computed string
	// RecordedData and ComputedData are the results, if those differ.
	RecordedData, ComputedData []byte
}

// progressEvery is how often a replay reports.
const progressEvery = 100 * time.Millisecond

// Replay executes a process's slots again, on a machine of its own beside the
// live one, and compares what comes of them with what was recorded. It writes
// nothing. A mismatch is part of the report, not an error.
func (r *Runtime) Replay(ctx context.Context, process string, opts ReplayOptions) (*ReplayReport, error) {
	p, err := r.enter(ctx, process, PhaseReplay)
	if err != nil {
		return nil, err
	}
	defer r.leave(p)
	if p.device == nil {
		return nil, p.noDevice(PhaseReplay)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.open, cancel)()
	s, err := r.seats.take(ctx, r.open, 0)
	if err != nil {
		return nil, p.ended(ctx, PhaseReplay)
	}
	defer r.seats.give(s)
	rp := &replay{r: r, p: p, opts: opts, seat: s, report: &ReplayReport{Process: process, Profile: p.profile}}
	start := time.Now()
	err = rp.run(ctx)
	rp.report.Took = time.Since(start)
	if err != nil {
		if ctx.Err() != nil {
			return rp.report, p.ended(ctx, PhaseReplay)
		}
		return rp.report, trouble(p.details(PhaseReplay), err)
	}
	return rp.report, nil
}

// replay is one call of Replay.
type replay struct {
	r      *Runtime
	p      *proc
	opts   ReplayOptions
	seat   *seat
	report *ReplayReport

	exec   *executor
	points map[uint64]*Checkpoint
	chain  [32]byte
	to     uint64
	// reported is when Progress was called last.
	reported time.Time
}

func (rp *replay) run(ctx context.Context) error {
	p, r := rp.p, rp.r
	p.mu.Lock()
	rp.to = p.computed
	p.mu.Unlock()
	if rp.opts.To > 0 {
		rp.to = min(rp.to, rp.opts.To)
	}
	var err error
	if rp.points, err = r.checkpoints(ctx, p); err != nil {
		return err
	}
	if err := rp.start(ctx); err != nil {
		return err
	}
	defer func() { p.finish(rp.exec.guarded) }()
	t, err := p.before(ctx, rp.exec.next)
	if err != nil {
		return err
	}
	rp.chain = t.chain
	rp.report.Start = rp.exec.next
	rp.progress(true)
	if rp.exec.next < rp.to {
		for rec, err := range r.store.Records(ctx, logName(p.id), rp.exec.next) {
			if err != nil {
				return err
			}
			if rec.Slot >= rp.to {
				break
			}
			if err := rp.slot(ctx, rec); err != nil || rp.report.Mismatch != nil {
				return err
			}
		}
	}
	rp.progress(true)
	s, err := rp.exec.snapshot(ctx, discard{})
	if err != nil {
		return err
	}
	rp.report.Root = s.Root
	return nil
}

// start makes the machine: of the newest good checkpoint that isn't after From,
// or a new one.
func (rp *replay) start(ctx context.Context) error {
	for _, next := range slices.Backward(slices.Sorted(maps.Keys(rp.points))) {
		c := rp.points[next]
		if next == 0 || next > rp.opts.From || c.Profile != rp.p.profile {
			continue
		}
		if g, err := normalize(ctx, rp.p.device, rp.p.def, &c.Snapshot); err == nil {
			rp.exec = newExecutor(g, rp.p.profile, rp.r.opts.Mark, next)
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	g, err := initialize(ctx, rp.p.device, rp.p.def)
	if err != nil {
		return err
	}
	rp.exec = newExecutor(g, rp.p.profile, rp.r.opts.Mark, 0)
	return nil
}

// slot executes one slot and compares.
func (rp *replay) slot(ctx context.Context, rec store.Record) error {
	a, chain, err := decodeAssignment(rp.p.id, rec.Slot, rec.Data)
	if err != nil {
		return err
	}
	compare := rp.opts.Verify && a.Slot >= rp.opts.From
	rp.chain = chainNext(rp.chain, a.Message)
	if compare && chain != rp.chain {
		rp.report.Mismatch = &Mismatch{Slot: a.Slot, What: "hash-chain", Recorded: chainText(chain), Computed: chainText(rp.chain)}
		return nil
	}
	rp.chain = chain
	result, _, err := rp.exec.apply(ctx, a)
	if err != nil {
		var d *divergedError
		if errors.As(err, &d) {
			rp.report.Mismatch = &Mismatch{
				Slot: d.d.Slot, What: "result", Recorded: d.d.Recorded.Hash, Computed: d.d.Computed.Hash,
				RecordedData: d.d.Recorded.data, ComputedData: d.d.Computed.data,
			}
			return nil
		}
		return fmt.Errorf("slot %d: %w", a.Slot, err)
	}
	rp.report.Slots++
	if compare {
		if err := rp.compareResult(ctx, result); err != nil || rp.report.Mismatch != nil {
			return err
		}
		if err := rp.compareRoot(ctx, a.Slot); err != nil || rp.report.Mismatch != nil {
			return err
		}
	}
	marked, err := rp.exec.tend()
	if marked {
		_, footprint := rp.exec.sizes()
		rp.r.seats.weigh(rp.seat, footprint)
	}
	rp.progress(false)
	return err
}

func (rp *replay) compareResult(ctx context.Context, result *Result) error {
	rp.p.mu.Lock()
	known := rp.p.unwritten[result.Slot]
	rp.p.mu.Unlock()
	if known == nil {
		rec, err := rp.r.recorded(ctx, rp.p.id, result.Slot)
		if err == nil && rec.Hash() != result.Hash() {
			err = rp.r.fill(ctx, rec)
		}
		if err != nil {
			return fmt.Errorf("read the recorded result of slot %d: %w", result.Slot, err)
		}
		known = &rec.Result
	}
	if known.Hash() != result.Hash() {
		rp.report.Mismatch = &Mismatch{
			Slot: result.Slot, What: "result", Recorded: known.Hash().String(), Computed: result.Hash().String(),
			RecordedData: known.Data, ComputedData: result.Data,
		}
		return nil
	}
	rp.report.Results++
	return nil
}

func (rp *replay) compareRoot(ctx context.Context, slot uint64) error {
	c := rp.points[slot+1]
	if c == nil {
		return nil
	}
	if c.Profile != rp.p.profile {
		rp.report.Skipped++
		return nil
	}
	s, err := rp.exec.snapshot(ctx, discard{})
	if err != nil {
		return fmt.Errorf("take the root after slot %d: %w", slot, err)
	}
	rp.exec.settle()
	if s.Root != c.Root {
		rp.report.Mismatch = &Mismatch{Slot: slot, What: "root", Recorded: c.Root.String(), Computed: s.Root.String()}
		return nil
	}
	rp.report.Roots++
	return nil
}

func (rp *replay) progress(always bool) {
	if f := rp.opts.Progress; f != nil && (always || time.Since(rp.reported) >= progressEvery) {
		rp.reported = time.Now()
		f(min(rp.exec.next, rp.to)-rp.report.Start, rp.to-min(rp.report.Start, rp.to))
	}
}

// discard takes chunks for a root, and keeps none.
type discard struct{}

var _ store.Chunks = discard{}

func (discard) PutChunks(context.Context, []store.Chunk) error { return nil }

func (discard) Chunks(context.Context, []store.Hash, func(int, []byte) error) error {
	return store.ErrNotFound
}

// HasChunks claims that everything is stored, so that little is handed over.
func (discard) HasChunks(_ context.Context, hashes []store.Hash) ([]bool, error) {
	has := make([]bool, len(hashes))
	for i := range has {
		has[i] = true
	}
	return has, nil
}

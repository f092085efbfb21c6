package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"aorta/store"
)

// Divergence is the record of a slot that came to two different results. The
// process is quarantined with it: no result from Slot on is given out, and
// nothing is computed, also after a restart, until Readmit.
type Divergence struct {
	// Format is the version of this record.
	Format  int    `json:"format"`
	Process string `json:"process"`
	Slot    uint64 `json:"slot"`
	// Kind says when it was found.
	Kind DivergenceKind `json:"kind"`
	// Recorded is the result that was known, Computed the later one.
	Recorded Evidence `json:"recorded"`
	Computed Evidence `json:"computed"`
	// Time is when it was found, in milliseconds since the Unix epoch.
	Time int64 `json:"time"`
}

// DivergenceKind says when a divergence was found.
type DivergenceKind string

// Kinds of divergence.
const (
	// DivergedAgain: a slot executed again after a rollback.
	DivergedAgain DivergenceKind = "re-execution"
	// DivergedRestore: a slot computed again after a restore.
	DivergedRestore DivergenceKind = "restore"
)

// Evidence is one of the results of a diverged slot.
type Evidence struct {
	Hash    string `json:"hash"`
	Failed  bool   `json:"failed"`
	Profile string `json:"profile"`
	// Value is the hash under which the store has the result's bytes, in
	// hexadecimal.
	Value string `json:"value"`

	data []byte
}

const divergenceFormat = 1

func evidence(r *Result) Evidence {
	return Evidence{Hash: r.Hash().String(), Failed: r.Failed, Profile: r.Profile, Value: store.Sum(r.Data).String(), data: r.Data}
}

// divergedError is how a divergence travels from where it is found to the
// worker.
type divergedError struct{ d Divergence }

func (e *divergedError) Error() string {
	return fmt.Sprintf("slot %d came to another result (%s, before: %s)", e.d.Slot, e.d.Computed.Hash, e.d.Recorded.Hash)
}

func diverge(kind DivergenceKind, recorded, computed *Result) *divergedError {
	return &divergedError{Divergence{
		Format: divergenceFormat, Process: recorded.Process, Slot: recorded.Slot, Kind: kind,
		Recorded: evidence(recorded), Computed: evidence(computed),
	}}
}

// refusal is what callers get who ask for something beyond the divergence.
func (d *Divergence) refusal() error {
	return &Error{
		Status: http.StatusInternalServerError,
		Body: fmt.Sprintf("process %s is quarantined: slot %d came to two different results on this node (%s: %s, then %s)",
			d.Process, d.Slot, d.Kind, d.Recorded.Hash, d.Computed.Hash),
		Details: Details{Process: d.Process, Slot: slotPtr(d.Slot), Phase: PhaseCompute, Code: CodeDiverged},
	}
}

// confirm compares a result that was computed again with the one that is known:
// in memory, or recorded.
func (w *worker) confirm(r, known *Result) error {
	if known == nil {
		rec, err := w.r.recorded(w.r.ctx, r.Process, r.Slot)
		switch {
		case errors.Is(err, store.ErrNotFound):
			// Lost with a crash, while later ones were kept.
			w.p.mu.Lock()
			w.p.unwritten[r.Slot] = r
			w.p.mu.Unlock()
			w.r.writer.put(entry{p: w.p, result: r})
			return nil
		case err != nil:
			return err
		}
		known = &rec.Result
		if rec.Hash() != r.Hash() {
			if err := w.r.fill(w.r.ctx, rec); err != nil {
				return err
			}
		}
	}
	if known.Hash() == r.Hash() {
		return nil
	}
	d := diverge(DivergedRestore, known, r)
	w.exec.broken = d
	return d
}

// quarantine stops the process at d.
func (w *worker) quarantine(d Divergence) {
	p, r := w.p, w.r
	d.Time = r.opts.Clock().UnixMilli()
	p.mu.Lock()
	p.diverged = &d
	p.mu.Unlock()
	r.opts.Logger.Error("a process came to two results for one slot and is quarantined",
		"process", d.Process, "slot", d.Slot, "kind", d.Kind, "recorded", d.Recorded.Hash, "computed", d.Computed.Hash)
	if err := r.saveDivergence(r.ctx, &d); err != nil {
		r.opts.Logger.Error("the quarantine of a process lasts only until the node stops: writing it failed", "process", d.Process, "error", err)
	}
	if f := r.opts.Events.Diverged; f != nil {
		f(d)
	}
	p.answerAll(0, 0, d.refusal())
}

// saveDivergence makes d durable with its evidence.
func (r *Runtime) saveDivergence(ctx context.Context, d *Divergence) error {
	if _, err := r.store.PutValues(ctx, d.Recorded.data, d.Computed.data); err != nil {
		return err
	}
	target, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if err := r.store.SetLinks(ctx, store.Link{Name: divergenceName(d.Process), Target: target}); err != nil {
		return err
	}
	return r.store.Sync(ctx)
}

func (r *Runtime) loadDivergence(ctx context.Context, id string) (*Divergence, error) {
	target, err := r.store.Link(ctx, divergenceName(id))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var d Divergence
	if err := json.Unmarshal(target, &d); err != nil {
		return nil, fmt.Errorf("read the divergence of process %s: %w", id, err)
	}
	if d.Format > divergenceFormat {
		return nil, fmt.Errorf("read the divergence of process %s: %w", id, store.ErrNewerFormat)
	}
	return &d, nil
}

// Readmit ends the quarantine of a process, by an operator's decision: the
// results from the diverged slot on are forgotten, with the checkpoints that
// have seen it, and computed again when somebody asks. What they said may be
// known elsewhere already. The values that are the evidence stay in the store.
func (r *Runtime) Readmit(ctx context.Context, process string) error {
	p, err := r.enter(ctx, process, PhaseReadmit)
	if err != nil {
		return err
	}
	defer r.leave(p)
	d := p.details(PhaseReadmit)
	if err := lock(ctx, p.loading); err != nil {
		return fault(0, "", d, err, "readmit process %s", process)
	}
	defer unlock(p.loading)
	p.mu.Lock()
	quarantine, busy := p.diverged, p.worker != nil
	p.mu.Unlock()
	switch {
	case quarantine == nil:
		return nil
	case busy:
		d.Retryable = true
		return fault(http.StatusServiceUnavailable, CodeBusy, d, nil, "readmit process %s: its machine is just ending", process)
	}
	// No worker begins while the process is quarantined.
	if err := r.writer.flush(ctx); err != nil {
		return storeFault(d, err, "readmit process %s: write its results", process)
	}
	if err := r.forgetFrom(ctx, process, quarantine.Slot); err != nil {
		return storeFault(d, err, "readmit process %s: forget its results from slot %d on", process, quarantine.Slot)
	}
	p.mu.Lock()
	p.diverged, p.stalled, p.recent = nil, nil, nil
	p.computed = min(p.computed, quarantine.Slot)
	p.linked = slices.DeleteFunc(p.linked, func(next uint64) bool { return next > quarantine.Slot })
	p.mu.Unlock()
	return nil
}

// forgetFrom removes the results of slots from slot on, the checkpoints that
// have seen one of them, and then the quarantine.
func (r *Runtime) forgetFrom(ctx context.Context, process string, slot uint64) error {
	var gone []store.Link
	for _, list := range []struct{ prefix, from string }{
		{resultsOf(process), resultName(process, slot)},
		{checkpointsOf(process), checkpointName(process, slot+1)},
	} {
		for l, err := range r.store.LinksIn(ctx, list.prefix, list.from, false) {
			if err != nil {
				return err
			}
			gone = append(gone, store.Link{Name: l.Name})
		}
	}
	gone = append(gone, store.Link{Name: divergenceName(process)})
	if err := r.store.SetLinks(ctx, gone...); err != nil {
		return err
	}
	return r.store.Sync(ctx)
}

package processtest

import (
	"bytes"

	"aorta/process"
)

// runtimeGivesTheSame executes the script through runtimes that checkpoint,
// evict and restart at every opportunity, and compares with the live run.
func (s *suite) runtimeGivesTheSame() {
	want := s.live()
	opts := process.Options{
		Devices:    map[string]process.Device{s.def.Device: s.device},
		Checkpoint: process.CheckpointPolicy{Slots: 2},
	}
	for slot := range s.script {
		s.throughRuntime(opts, func(r *process.Runtime) {
			if err := r.Spawn(s.ctx, s.def, s.module); err != nil {
				s.Fatalf("spawn: %v", err)
			}
			a := s.assignment(slot)
			got, err := r.Assign(s.ctx, s.def.ID, process.Message{Data: a.Message, Timestamp: a.Timestamp, BlockHeight: a.BlockHeight})
			if err != nil {
				s.Fatalf("assign slot %d: %v", slot, err)
			}
			if got.Slot != a.Slot {
				s.Fatalf("the message was given slot %d, want %d", got.Slot, a.Slot)
			}
			res, err := r.Result(s.ctx, s.def.ID, a.Slot)
			if err != nil {
				s.Fatalf("result of slot %d: %v", slot, err)
			}
			// The hash chain is another than in the live run, and a result may
			// show it; failures may not.
			if res.Failed != want.outcomes[slot].Failed {
				s.Errorf("slot %d: failed is %v, want %v: %.300q", slot, res.Failed, want.outcomes[slot].Failed, res.Data)
			}
		})
	}
	s.throughRuntime(opts, func(r *process.Runtime) {
		c, err := r.Checkpoint(s.ctx, s.def.ID)
		if err != nil {
			s.Fatalf("checkpoint: %v", err)
		}
		report, err := r.Replay(s.ctx, s.def.ID, process.ReplayOptions{Verify: true})
		if err != nil {
			s.Fatalf("replay: %v", err)
		}
		if m := report.Mismatch; m != nil {
			s.Fatalf("the replay differs at slot %d in its %s: recorded %s (%.300q), computed %s (%.300q)",
				m.Slot, m.What, m.Recorded, m.RecordedData, m.Computed, m.ComputedData)
		}
		if report.Results != uint64(len(s.script)) || report.Roots == 0 || !bytes.Equal(report.Root[:], c.Root[:]) {
			s.Errorf("the replay compared %d results and %d roots and ended at %s, want %d, some, %s",
				report.Results, report.Roots, report.Root, len(s.script), c.Root)
		}
	})
}

func (s *suite) throughRuntime(opts process.Options, f func(*process.Runtime)) {
	s.Helper()
	r, err := process.Open(s.ctx, s.store, opts)
	if err != nil {
		s.Fatalf("open: %v", err)
	}
	defer func() {
		if err := r.Close(s.ctx); err != nil {
			s.Errorf("close: %v", err)
		}
	}()
	f(r)
}

package processtest

import (
	"context"
	"errors"
	"sync"

	"aorta/process"
	"aorta/store"
)

func (s *suite) scriptFailsWhereItShould() {
	for slot, o := range s.live().outcomes {
		if o.Failed != s.script[slot].Fails {
			s.Errorf("slot %d: failed is %v, want %v; the result is %.300q", slot, o.Failed, s.script[slot].Fails, o.Result)
		}
	}
}

func (s *suite) everyRunIsTheSame() {
	want, got := s.live(), s.live()
	for slot := range s.script {
		s.same(slot, got.outcomes[slot], want.outcomes[slot])
		s.sameRoot(slot, got.snapshots[slot], want.snapshots[slot])
	}
}

func (s *suite) restoringFromAnySlot() {
	want := s.live()
	for from := range s.script {
		m := s.normalize(want.snapshots[from])
		for slot := from + 1; slot < len(s.script); slot++ {
			s.same(slot, s.step(m, slot), want.outcomes[slot])
		}
		s.sameRoot(len(s.script)-1, s.snapshot(m), want.snapshots[len(s.script)-1])
		m.Terminate()
	}
	// And a restart between every two slots.
	snap := s.snapshot(s.init())
	for slot := range s.script {
		m := s.normalize(snap)
		s.same(slot, s.step(m, slot), want.outcomes[slot])
		snap = s.snapshot(m)
		s.sameRoot(slot, snap, want.snapshots[slot])
		m.Terminate()
	}
}

func (s *suite) rootsDoNotDependOnThePath() {
	want := s.live()
	last := len(s.script) - 1

	// One snapshot at the end, marks only where a failure needs one.
	m := s.init()
	for slot := range s.script {
		if want.outcomes[slot].Failed {
			s.mark(m)
		}
		o := s.compute(m, slot)
		if o.Failed {
			s.rollback(m)
		}
		s.same(slot, o, want.outcomes[slot])
	}
	s.sameRoot(last, s.snapshot(m), want.snapshots[last])
	s.sameRoot(last, s.snapshot(m), want.snapshots[last])
	m.Terminate()

	// A snapshot of what was just restored.
	for slot := range s.script {
		m := s.normalize(want.snapshots[slot])
		s.sameRoot(slot, s.snapshot(m), want.snapshots[slot])
		m.Terminate()
	}
}

func (s *suite) failedMessageLeavesNoTrace() {
	m := s.init()
	failed := 0
	for slot := range s.script {
		before := s.snapshot(m)
		o := s.compute(m, slot) // the snapshot has marked
		if !o.Failed {
			continue
		}
		failed++
		s.rollback(m)
		s.sameRoot(slot, s.snapshot(m), before)
		s.same(slot, s.compute(m, slot), o)
		s.rollback(m)
		s.sameRoot(slot, s.snapshot(m), before)
	}
	if failed == 0 {
		s.Error("no message of the script fails")
	}
}

func (s *suite) rollbackReturnsToTheMark() {
	want := s.live()
	m := s.init()
	for slot := 0; slot < len(s.script); {
		// Three slots at a time, undone and done again.
		s.mark(m)
		end := slot
		for end < len(s.script) && end < slot+3 && !want.outcomes[end].Failed {
			s.same(end, s.compute(m, end), want.outcomes[end])
			end++
		}
		s.rollback(m)
		if slot > 0 {
			s.sameRoot(slot-1, s.snapshot(m), want.snapshots[slot-1])
		}
		for ; slot < end; slot++ {
			s.same(slot, s.compute(m, slot), want.outcomes[slot])
		}
		if slot < len(s.script) && want.outcomes[slot].Failed {
			s.mark(m)
			s.same(slot, s.compute(m, slot), want.outcomes[slot])
			s.rollback(m)
			slot++
		}
	}
	s.sameRoot(len(s.script)-1, s.snapshot(m), want.snapshots[len(s.script)-1])
}

func (s *suite) forkChangesNothing() {
	want := s.live()
	m := s.init()
	for slot := range s.script {
		s.mark(m)
		early, late := s.fork(m), s.fork(m)
		s.same(slot, s.compute(early, slot), want.outcomes[slot])
		s.rollback(early)
		s.same(slot, s.compute(early, slot), want.outcomes[slot])
		early.Terminate()

		o := s.compute(m, slot)
		s.same(slot, o, want.outcomes[slot])
		if o.Failed {
			s.rollback(m)
		} else {
			s.mark(m)
		}
		s.sameRoot(slot, s.snapshot(m), want.snapshots[slot])

		// A fork keeps its state while its origin goes on.
		s.same(slot, s.compute(late, slot), want.outcomes[slot])
		if _, err := late.Snapshot(s.ctx, s.store); err == nil {
			s.Error("a fork made a snapshot")
		}
		late.Terminate()
	}
	// And beyond its origin's end.
	orphan := s.fork(m)
	m.Terminate()
	if _, err := orphan.Compute(s.ctx, s.assignment(0)); err != nil {
		s.Errorf("a fork whose origin has ended: %v", err)
	}
}

func (s *suite) forkAndMachineAtOnce() {
	want := s.live()
	m := s.init()
	for slot := range s.script {
		s.mark(m)
		f := s.fork(m)
		var (
			wg sync.WaitGroup
			o  *process.Outcome
		)
		var err error
		wg.Go(func() { o, err = f.Compute(s.ctx, s.assignment(slot)) })
		own := s.step(m, slot)
		wg.Wait()
		f.Terminate()
		if err != nil {
			s.Fatalf("compute slot %d on a fork: %v", slot, err)
		}
		s.same(slot, own, want.outcomes[slot])
		s.same(slot, o, want.outcomes[slot])
	}
}

func (s *suite) cancelledCall() {
	want := s.live()
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	m := s.init()
	for slot := range s.script {
		s.mark(m)
		// It may also have finished before it noticed.
		o, err := m.Compute(ctx, s.assignment(slot))
		if err == nil {
			s.same(slot, o, want.outcomes[slot])
		} else if !errors.Is(err, context.Canceled) {
			s.Fatalf("a cancelled call of slot %d: %v, want context.Canceled", slot, err)
		}
		s.rollback(m)
		s.same(slot, s.step(m, slot), want.outcomes[slot])
		s.sameRoot(slot, s.snapshot(m), want.snapshots[slot])
	}
}

func (s *suite) failedSnapshot() {
	want := s.live()
	m := s.init()
	full := errors.New("no space left")
	for slot := range s.script {
		s.same(slot, s.step(m, slot), want.outcomes[slot])
		s.store.failPut.Store(&full)
		if _, err := m.Snapshot(s.ctx, s.store); err == nil && want.snapshots[slot].Written > 0 {
			// Nothing to write is fine.
			if slot == 0 || want.snapshots[slot].Root != want.snapshots[slot-1].Root {
				s.Errorf("slot %d: a snapshot whose chunks weren't stored is no error", slot)
			}
		}
		s.store.failPut.Store(nil)
		s.mark(m)
	}
	// What the failed ones would have written must be in this one.
	last := len(s.script) - 1
	snap := s.snapshot(m)
	s.sameRoot(last, snap, want.snapshots[last])
	s.sameRoot(last, s.snapshot(s.normalize(snap)), want.snapshots[last])
}

func (s *suite) damagedSnapshot() {
	want := s.live()
	snap := want.snapshots[len(want.snapshots)-1]
	for _, err := range []error{store.ErrNotFound, store.ErrCorrupt} {
		s.store.failGet.Store(&err)
		if m, got := s.device.Normalize(s.ctx, s.def, snap); got == nil {
			m.Terminate()
			s.Errorf("a snapshot whose chunks give %q was restored", err)
		}
		s.store.failGet.Store(nil)
	}
	for name, change := range map[string]func(*process.Snapshot){
		"another root":     func(p *process.Snapshot) { p.Root[0] ^= 1 },
		"half a manifest":  func(p *process.Snapshot) { p.Manifest = p.Manifest[:len(p.Manifest)/2] },
		"no manifest":      func(p *process.Snapshot) { p.Manifest = nil },
		"a flipped bit":    func(p *process.Snapshot) { p.Manifest[len(p.Manifest)-1] ^= 1 },
		"another manifest": func(p *process.Snapshot) { p.Manifest = []byte("something else entirely") },
	} {
		damaged := *snap
		damaged.Manifest = append([]byte(nil), snap.Manifest...)
		change(&damaged)
		if m, err := s.device.Normalize(s.ctx, s.def, &damaged); err == nil {
			m.Terminate()
			s.Errorf("a snapshot with %s was restored", name)
		}
	}
	s.sameRoot(len(s.script)-1, s.snapshot(s.normalize(snap)), snap)
}

func (s *suite) otherProfile() {
	snap := *s.live().snapshots[0]
	snap.Profile = "another engine"
	if m, err := s.device.Normalize(s.ctx, s.def, &snap); err == nil {
		m.Terminate()
		s.Error("a snapshot of another engine profile was restored")
	}
}

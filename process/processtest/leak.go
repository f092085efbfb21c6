package processtest

import (
	"bytes"
	"os"
	"runtime"

	"aorta/process"
)

// holdings is what the operating system and the Go runtime hold for this
// process.
type holdings struct{ descriptors, mappings, goroutines int }

// hold counts, after finalizers had their chance.
func hold() holdings {
	runtime.GC()
	runtime.GC()
	h := holdings{goroutines: runtime.NumGoroutine()}
	// Elsewhere than on Linux these are 0 before and after.
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		h.descriptors = len(fds)
	}
	if maps, err := os.ReadFile("/proc/self/maps"); err == nil {
		h.mappings = bytes.Count(maps, []byte("\n"))
	}
	return h
}

// lives is how often the leak test makes a machine. What grows by less than
// half of it isn't held by each.
const lives = 40

func (s *suite) terminateReleasesEverything() {
	snap := s.live().snapshots[len(s.script)-1] // warms caches up
	s.oneLife(snap)
	before := hold()
	for range lives {
		s.oneLife(snap)
	}
	after := hold()
	for _, c := range []struct {
		what          string
		before, after int
	}{
		{"descriptors", before.descriptors, after.descriptors},
		{"mappings", before.mappings, after.mappings},
		{"goroutines", before.goroutines, after.goroutines},
	} {
		if c.after-c.before >= lives/2 {
			s.Errorf("%d %s before, %d after %d machines were terminated", c.before, c.what, c.after, lives)
		}
	}
}

// oneLife makes machines, leaves them in all kinds of states and ends them.
func (s *suite) oneLife(snap *process.Snapshot) {
	s.Helper()
	fresh, err := s.device.Init(s.ctx, s.def)
	if err != nil {
		s.Fatalf("init: %v", err)
	}
	restored, err := s.device.Normalize(s.ctx, s.def, snap)
	if err != nil {
		s.Fatalf("normalize: %v", err)
	}
	fork, err := restored.Fork(s.ctx)
	if err != nil {
		s.Fatalf("fork: %v", err)
	}
	unused, err := fresh.Fork(s.ctx)
	if err != nil {
		s.Fatalf("fork: %v", err)
	}
	for slot := range s.script {
		// A failed slot leaves fresh undefined: it ends like that.
		if s.compute(fresh, slot).Failed {
			break
		}
	}
	s.compute(fork, 0)
	s.step(restored, 0)
	s.mark(restored)
	for _, m := range []process.Machine{unused, restored, fork, fresh} {
		m.Terminate()
		m.Terminate()
	}
}

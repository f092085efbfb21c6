package pebble

import "sync"

// slots knows how far logs are durable: those that were appended to lately,
// and those that are being appended to.
type slots struct {
	mu sync.Mutex
	// recent and older hold the number of durable slots of logs. When recent
	// is full it becomes older, and what nobody asks for is gone when that
	// happens again.
	recent, older map[string]uint64
	// writing holds the same for the logs of the commit that is under way, or
	// that failed: what there is after them must not be shown.
	writing map[string]uint64
}

// maxRecent is how many logs each of recent and older holds. Forgetting one
// costs a read; remembering, some 150 bytes.
const maxRecent = 1 << 15

func newSlots() *slots {
	return &slots{recent: make(map[string]uint64), writing: make(map[string]uint64)}
}

// durable returns how many slots of a log are durable, if that is known.
func (s *slots) durable(log string) (next uint64, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next, known = s.writing[log]; known {
		return next, true
	}
	if next, known = s.recent[log]; known {
		return next, true
	}
	if next, known = s.older[log]; known {
		s.remember(log, next)
	}
	return next, known
}

func (s *slots) remember(log string, next uint64) {
	if len(s.recent) >= maxRecent {
		s.recent, s.older = make(map[string]uint64), s.recent
	}
	s.recent[log] = next
}

// begin says that the logs in group are being appended to.
func (s *slots) begin(group map[string]growth) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for log, g := range group {
		s.writing[log] = g.from
	}
}

// commit says that what begin announced is durable.
func (s *slots) commit(group map[string]growth) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for log, g := range group {
		s.remember(log, g.to)
		delete(s.writing, log)
	}
}

// growth is how many slots a log has before and after a commit.
type growth struct{ from, to uint64 }

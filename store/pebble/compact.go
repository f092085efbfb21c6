package pebble

import (
	"sync"

	"aorta/store"
)

// moving is the state of Compact.
type moving struct {
	one sync.Mutex // one Compact at a time

	mu sync.Mutex
	// kept is nil unless Compact runs, and then gets the chunks that were put
	// since it began, whether or not they were there.
	kept map[store.Hash]struct{}
}

// keepAlive tells a Compact that chunks are needed.
func (s *Store) keepAlive(chunks []store.Chunk) {
	s.moving.mu.Lock()
	defer s.moving.mu.Unlock()
	if s.moving.kept == nil {
		return
	}
	for _, c := range chunks {
		s.moving.kept[c.Hash] = struct{}{}
	}
}

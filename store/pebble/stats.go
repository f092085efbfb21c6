package pebble

import (
	"context"
	"fmt"
)

// Stats says what is in a store.
type Stats struct {
	Values    int64 // how many, about: two calls that store the same at once may both be counted
	Chunks    int64 // how many, about
	Packs     int   // how many
	PackBytes int64 // in packs
	DiskBytes int64 // in the database, its log included
}

// Stats returns what is in the store.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return Stats{}, err
	}
	defer leave()
	if err := s.backlog.drain(ctx); err != nil {
		return Stats{}, err
	}
	var st Stats
	for kind, n := range map[byte]*int64{keyValue: &st.Values, keyChunk: &st.Chunks} {
		if *n, err = s.counted(kind); err != nil {
			return Stats{}, fmt.Errorf("read statistics: %w", err)
		}
	}
	for _, length := range s.packs.sizes() {
		st.Packs++
		st.PackBytes += length
	}
	st.DiskBytes = int64(s.db.Metrics().DiskSpaceUsage())
	return st, nil
}

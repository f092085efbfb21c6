package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"aorta/store"
)

// A lease is stored as its token (8 bytes) and its owner; an empty owner means
// that it is free.

// Acquire implements store.Leases.
func (s *Store) Acquire(ctx context.Context, name, owner string) (uint64, error) {
	done, err := s.enter(ctx, true)
	if err != nil {
		return 0, err
	}
	defer done()
	if err := errors.Join(checkName(name), checkName(owner)); err != nil {
		return 0, fmt.Errorf("acquire lease: %w", err)
	}
	s.swaps.Lock()
	defer s.swaps.Unlock()
	token, holder, err := s.lease(name)
	switch {
	case err != nil:
		return 0, err
	case holder == owner:
		return token, nil
	case holder != "":
		return 0, &store.ConflictError{What: "lease " + name, Have: holder}
	}
	return token + 1, s.setLease(name, token+1, owner)
}

// Release implements store.Leases.
func (s *Store) Release(ctx context.Context, name, owner string, token uint64) error {
	done, err := s.enter(ctx, true)
	if err != nil {
		return err
	}
	defer done()
	s.swaps.Lock()
	defer s.swaps.Unlock()
	have, holder, err := s.lease(name)
	switch {
	case err != nil:
		return err
	case holder != owner || have != token:
		return &store.ConflictError{What: "lease " + name, Have: fmt.Sprintf("%q under token %d", holder, have)}
	}
	return s.setLease(name, token, "")
}

func (s *Store) lease(name string) (token uint64, owner string, err error) {
	v, err := s.get(key(keyLease, name))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return 0, "", nil
	case err != nil:
		return 0, "", fmt.Errorf("lease %s: %w", name, err)
	case len(v) < 8:
		return 0, "", fmt.Errorf("lease %s: %w", name, store.ErrCorrupt)
	}
	return binary.BigEndian.Uint64(v), string(v[8:]), nil
}

func (s *Store) setLease(name string, token uint64, owner string) error {
	v := append(binary.BigEndian.AppendUint64(nil, token), owner...)
	return s.write("set lease "+name, func() error { return s.db.Set(key(keyLease, name), v, pebble.Sync) })
}

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
// that it is free. It stays there when it is free, so that tokens only grow.
// Nobody may learn of a token that isn't durable, so the lock is held until
// it is.

// Acquire implements store.Leases.
func (s *Store) Acquire(ctx context.Context, name, owner string) (uint64, error) {
	leave, err := s.enterToWrite(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	if err := errors.Join(checkName(name), checkName(owner)); err != nil {
		return 0, fmt.Errorf("acquire lease: %w", err)
	}
	s.leases.Lock()
	defer s.leases.Unlock()
	token, holder, err := s.lease(name)
	switch {
	case err != nil:
		return 0, err
	case holder == owner:
		return token, nil
	case holder != "":
		return 0, &store.ConflictError{What: "lease " + name, Have: fmt.Sprintf("%q", holder)}
	}
	if err := s.setLease(name, token+1, owner); err != nil {
		return 0, err
	}
	return token + 1, nil
}

// Release implements store.Leases.
func (s *Store) Release(ctx context.Context, name, owner string, token uint64) error {
	leave, err := s.enterToWrite(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := checkName(name); err != nil {
		return fmt.Errorf("release lease: %w", err)
	}
	s.leases.Lock()
	defer s.leases.Unlock()
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

package pebble

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"aorta/store"
)

// failing returns a file system whose n-th write fails, and all after it if
// it stays broken.
func failing(fs vfs.FS, n int64, stays bool, err error) (broken vfs.FS, writes *atomic.Int64) {
	writes = new(atomic.Int64)
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose {
			return nil
		}
		if i := writes.Add(1); i == n || stays && i > n {
			return &os.PathError{Op: "write", Path: op.Path, Err: err}
		}
		return nil
	})), writes
}

// faultyWorkload does a bit of everything, and returns the first error.
func faultyWorkload(ctx context.Context, m *model, s *Store) (first error) {
	for i := range 60 {
		op := operations[i%len(operations)]
		err := m.step(ctx, s, op, i)
		switch {
		case err != nil && first == nil:
			first = err
		case err == nil && first != nil:
			return fmt.Errorf("%s was acknowledged after the store had failed", op)
		}
		if first != nil && !errors.Is(err, store.ErrFailed) {
			return fmt.Errorf("%s after the store had failed: %w", op, err)
		}
	}
	return first
}

// TestFailedWriteLosesNothingThatWasAcknowledged fails each write of a
// workload, in one of three ways.
func TestFailedWriteLosesNothingThatWasAcknowledged(t *testing.T) {
	ways := []struct {
		stays bool
		err   error
	}{{false, syscall.EIO}, {true, syscall.EIO}, {true, syscall.ENOSPC}}
	n := int64(1)
	for {
		way := ways[n%int64(len(ways))]
		if !failAt(t, n, way.stays, way.err) || t.Failed() {
			break
		}
		n++
	}
	t.Logf("the workload has %d writes", n-1)
	if n < 100 {
		t.Error("that is not enough to say anything")
	}
}

// failAt runs the workload with a disk that fails at its n-th write, and
// reports whether there was one.
func failAt(t *testing.T, n int64, stays bool, injected error) bool {
	t.Helper()
	ctx := t.Context()
	fs, m := vfs.NewCrashableMem(), newModel()
	disk, writes := failing(fs, n, stays, injected)
	s, err := Open("data", with(tiny, disk))
	if err == nil {
		err = faultyWorkload(ctx, m, s)
		if err != nil && writes.Load() >= n {
			wantReadable(t, s, m)
		}
		if closed := s.Close(); err == nil {
			err = closed
		} else if !errors.Is(closed, store.ErrFailed) {
			t.Errorf("write %d: closing after a failure says %v", n, closed)
		}
	}
	if writes.Load() < n {
		if err != nil {
			t.Errorf("with nothing injected: %v", err)
		}
		return false
	}
	if err != nil && !(errors.Is(err, store.ErrFailed) && errors.Is(err, injected)) {
		t.Errorf("write %d: got %v, want ErrFailed and the cause", n, err)
	}
	if err != nil && (strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "data/")) {
		t.Errorf("write %d: the message is not one plain line: %q", n, err)
	}
	if err != nil && errors.Is(injected, syscall.ENOSPC) && strings.Count(err.Error(), "the disk is full; make room") != 1 {
		t.Errorf("write %d: %q doesn't say that the disk is full", n, err)
	}
	// Opening again finds everything, whether the machine went down or not.
	for what, left := range map[string]vfs.FS{"power cut": fs.CrashClone(vfs.CrashCloneCfg{}), "process ended": fs} {
		again, err := Open("data", with(tiny, left))
		if err != nil {
			t.Errorf("write %d, %s: %v", n, what, err)
			continue
		}
		if err := (&model{}).check(ctx, again, m.now()); err != nil {
			t.Errorf("write %d, %s: %v", n, what, err)
		}
		if err := again.Close(); err != nil {
			t.Errorf("write %d, %s: %v", n, what, err)
		}
	}
	return true
}

// wantReadable reads what must be there from a store that failed.
func wantReadable(t *testing.T, s *Store, m *model) {
	t.Helper()
	ctx := t.Context()
	f := m.now()
	for log, acknowledged := range f.acknowledged {
		n := uint64(0)
		for r, err := range s.Records(ctx, log, 0) {
			if err != nil || r.Slot != n {
				t.Errorf("%s: slot %d: %v", log, r.Slot, err)
			}
			n++
		}
		if n != acknowledged {
			t.Errorf("%s shows %d slots after a failure, want the %d that were acknowledged", log, n, acknowledged)
		}
	}
	for n, stage := range f.chunks {
		if stage == attempted {
			continue
		}
		if err := s.Chunks(ctx, []store.Hash{modelChunk(n).Hash}, func(int, []byte) error { return nil }); err != nil {
			t.Errorf("chunk %d after a failure: %v", n, err)
		}
	}
	for n, stage := range f.values {
		if stage == attempted {
			continue
		}
		if _, err := s.Value(ctx, store.Sum(modelValue(n))); err != nil {
			t.Errorf("value %d after a failure: %v", n, err)
		}
	}
}

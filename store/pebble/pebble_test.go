package pebble

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"aorta/store"
	"aorta/store/storetest"
)

func TestMain(m *testing.M) {
	if dir, ok := childsDirectory(); ok {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// open opens a store in dir and closes it when the test ends.
func open(tb testing.TB, dir string, opts Options) *Store {
	tb.Helper()
	s, err := Open(dir, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

func TestStoreKeepsItsContract(t *testing.T) {
	for name, opts := range map[string]Options{
		"Defaults": {},
		// Everything is written out and rolled over all the time.
		"Small": {FS: vfs.NewMem(), CacheBytes: 1 << 20, MemTableBytes: 256 << 10, PackBytes: 100 << 10},
		"Alone": {FS: vfs.NewMem(), Workers: 1},
	} {
		t.Run(name, func(t *testing.T) {
			dirs := map[store.Store]string{}
			storetest.Run(t, func(tb testing.TB) store.Store {
				dir := tb.TempDir()
				s := open(tb, dir, opts)
				dirs[s] = dir
				return s
			}, func(tb testing.TB, s store.Store) store.Store {
				if err := s.Close(); err != nil {
					tb.Fatal(err)
				}
				again := open(tb, dirs[s], opts)
				dirs[again] = dirs[s]
				return again
			})
		})
	}
}

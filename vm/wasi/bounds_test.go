package wasi

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"aorta/vm"
	"aorta/vm/vfs"
	"aorta/vm/wasi/wasitest"
)

func TestPointersOutsideOfMemoryAreEFAULT(t *testing.T) {
	both(t, Options{Args: []string{"x"}, Environ: []string{"A=1"}}, func(t *testing.T, g guest, h *Host) {
		const far = 1<<16 - 1
		p, n := g.path("tmp")
		for _, c := range []struct {
			name string
			args []uint64
		}{
			{"args_get", []uint64{far, bufAt}}, {"args_get", []uint64{bufAt, far}}, {"args_sizes_get", []uint64{far, bufAt}},
			{"environ_sizes_get", []uint64{bufAt, far}}, {"clock_time_get", []uint64{0, 0, far}}, {"clock_res_get", []uint64{0, far}},
			{"fd_fdstat_get", []uint64{1, far}}, {"fd_filestat_get", []uint64{1, far}}, {"fd_prestat_get", []uint64{preopened, far}},
			{"fd_read", []uint64{0, far, 1, outAt}}, {"fd_read", []uint64{0, g.iov(far, 2), 1, outAt}}, {"fd_write", []uint64{1, g.iov(far, 2), 1, outAt}},
			{"fd_write", []uint64{1, 0, 0, far}}, {"fd_readdir", []uint64{preopened, far, 9, 0, outAt}}, {"path_create_directory", []uint64{preopened, far, 2}},
			{"path_filestat_get", []uint64{preopened, 0, p, n, far}}, {"path_open", []uint64{preopened, 0, p, n, 0, 0, 0, 0, far}},
			{"poll_oneoff", []uint64{far, outAt, 1, outAt}}, {"poll_oneoff", []uint64{bufAt, far, 1, outAt}}, {"random_get", []uint64{far, 2}},
			{"random_get", []uint64{0, 1 << 31}},
		} {
			if e := g.do(c.name, c.args...); e != vfs.EFAULT {
				t.Errorf("%s%v: %v", c.name, c.args, e)
			}
		}
	})
}

// FuzzCalls calls every function with whatever arguments on whatever memory:
// no panic, and every byte that changes is in memory.
func FuzzCalls(f *testing.F) {
	names := slices.Sorted(maps.Keys(functions))
	f.Add([]byte("tmp/x\x00"), []byte{1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add(make([]byte, 64), []byte{0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, memory, script []byte) {
		for _, wide := range []bool{false, true} {
			h := New(Options{Files: vfs.Options{Bytes: 1 << 16}, Args: []string{"a"}})
			h.Begin(vm.Env{Time: 5}, vm.Limits{Output: 1 << 10})
			g := wasitest.New(t, h, wide, 1)
			copy(g.Mem.Bytes, memory)
			s := script
			next := func() uint64 {
				if len(s) == 0 {
					return 0
				}
				v := s[0]
				s = s[1:]
				switch {
				case v < 128:
					return uint64(v)
				case v < 160:
					return 1<<16 - uint64(v-128)
				case v < 192:
					return -uint64(v - 160)
				case v < 224:
					return uint64(v-192) << 8
				}
				return 1 << (v - 224 + 31)
			}
			for len(s) > 0 {
				name := names[int(next()%uint64(len(names)))]
				pattern := functions[name].pattern
				args := make([]uint64, strings.IndexByte(pattern, ':'))
				for i := range args {
					args[i] = next()
				}
				_, err := g.Try(Module, name, pattern, args...)
				var host *vm.HostError
				if errors.As(err, &host) {
					t.Fatalf("%s%v: %v", name, args, err)
				}
			}
			if err := h.Restore(h.Snapshot()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

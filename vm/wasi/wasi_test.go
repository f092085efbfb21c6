package wasi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"aorta/vm"
	"aorta/vm/vfs"
	"aorta/vm/wasi/wasitest"
	"aorta/vm/wasm"
)

// Places in the guests' memory.
const (
	textAt = 0x100
	iovAt  = 0x400
	outAt  = 0x500
	bufAt  = 0x600
)

type guest struct{ *wasitest.Guest }

// in both layouts, with a call begun at a second past the epoch.
func both(t *testing.T, opts Options, f func(t *testing.T, g guest, h *Host)) {
	for _, wide := range []bool{false, true} {
		t.Run(fmt.Sprintf("wide=%v", wide), func(t *testing.T) {
			h := New(opts)
			h.Begin(vm.Env{Time: 1000, Seed: [32]byte{1}}, vm.Limits{})
			f(t, guest{wasitest.New(t, h, wide, 1)}, h)
		})
	}
}

// do calls a function and returns its error number.
func (g guest) do(name string, args ...uint64) vfs.Errno {
	g.TB.Helper()
	return vfs.Errno(g.Must(Module, name, functions[name].pattern, args...))
}

// ok calls a function that has to succeed.
func (g guest) ok(name string, args ...uint64) {
	g.TB.Helper()
	if e := g.do(name, args...); e != 0 {
		g.TB.Fatalf("%s%v: %v", name, args, e)
	}
}

// path puts a path into memory and returns its address and length.
func (g guest) path(s string) (uint64, uint64) { return g.PutString(textAt, s), uint64(len(s)) }

// iov makes a vector of one piece.
func (g guest) iov(ptr, n uint64) uint64 {
	g.Mem.PutPtr(iovAt, ptr)
	g.Mem.PutPtr(iovAt+g.Mem.PtrSize(), n)
	return iovAt
}

const (
	oCreate, oDirectory, oExclusive, oTruncate = 1, 2, 4, 8
	readWrite                                  = rightRead | rightWrite
)

func (g guest) open(path string, how, rights uint64) uint64 {
	g.TB.Helper()
	p, n := g.path(path)
	g.ok("path_open", preopened, 1, p, n, how, rights, 0, 0, outAt)
	return uint64(g.Mem.U32(outAt))
}

func (g guest) write(fd uint64, s string) {
	g.TB.Helper()
	g.PutString(bufAt, s)
	g.ok("fd_write", fd, g.iov(bufAt, uint64(len(s))), 1, outAt)
	if n := g.Mem.Ptr(outAt); n != uint64(len(s)) {
		g.TB.Fatalf("wrote %d of %d bytes", n, len(s))
	}
}

func (g guest) read(fd uint64) string {
	g.TB.Helper()
	g.ok("fd_read", fd, g.iov(bufAt, 4096), 1, outAt)
	return g.String(bufAt, g.Mem.Ptr(outAt))
}

func TestEveryFunctionIsThereInBothLayouts(t *testing.T) {
	const count = 46 // functions of preview 1
	if len(functions) != count {
		t.Errorf("%d functions, not %d", len(functions), count)
	}
	for _, wide := range []bool{false, true} {
		h := New(Options{})
		g := wasitest.New(t, h, wide, 1)
		for name, fn := range functions {
			if h.Lookup(Module, name, g.Type(fn.pattern)) == nil {
				t.Errorf("no %s for wide=%v", name, wide)
			}
			if h.Lookup("env", name, g.Type(fn.pattern)) != nil || h.Lookup(Module, name+"x", g.Type(fn.pattern)) != nil {
				t.Errorf("%s is there under other names", name)
			}
			if h.Lookup(Module, name, wasm.FuncType{Params: []wasm.ValueType{wasm.F32}}) != nil {
				t.Errorf("%s is there with another type", name)
			}
		}
	}
}

func TestFilesHoldWhatIsWritten(t *testing.T) {
	both(t, Options{}, func(t *testing.T, g guest, h *Host) {
		fd := g.open("tmp/x", oCreate, readWrite)
		g.write(fd, "hello, ")
		g.write(fd, "world")
		g.ok("fd_seek", fd, 0, vfs.SeekStart, outAt)
		if got := g.read(fd); got != "hello, world" {
			t.Errorf("read %q", got)
		}
		g.ok("fd_tell", fd, outAt)
		if at := g.Mem.U64(outAt); at != 12 {
			t.Errorf("at %d", at)
		}
		g.PutString(bufAt, "W")
		g.ok("fd_pwrite", fd, g.iov(bufAt, 1), 1, 7, outAt)
		g.ok("fd_pread", fd, g.iov(bufAt, 5), 1, 7, outAt)
		if got := g.String(bufAt, g.Mem.Ptr(outAt)); got != "World" {
			t.Errorf("read %q at 7", got)
		}
		g.ok("fd_filestat_set_size", fd, 5)
		g.ok("fd_allocate", fd, 0, 6)
		g.ok("fd_filestat_get", fd, bufAt)
		if size, kind := g.Mem.U64(bufAt+32), g.Mem.U8(bufAt+16); size != 6 || kind != typeFile {
			t.Errorf("size %d, type %d", size, kind)
		}
		if mtime := g.Mem.U64(bufAt + 48); mtime != 1_000_000_000 {
			t.Errorf("written at %d", mtime)
		}
		for _, name := range []string{"fd_sync", "fd_datasync"} {
			g.ok(name, fd)
		}
		g.ok("fd_advise", fd, 0, 0, 1)
		g.ok("fd_close", fd)
		if e := g.do("fd_close", fd); e != vfs.EBADF {
			t.Errorf("closed twice: %v", e)
		}
	})
}

func TestVectorsAreFilledInTurn(t *testing.T) {
	both(t, Options{}, func(t *testing.T, g guest, h *Host) {
		fd := g.open("tmp/x", oCreate, readWrite)
		size := g.Mem.PtrSize()
		for i, s := range []string{"ab", "", "cde"} {
			at := uint64(iovAt + i*2*int(size))
			g.Mem.PutPtr(at, g.PutString(bufAt+uint64(i)*16, s))
			g.Mem.PutPtr(at+size, uint64(len(s)))
		}
		g.ok("fd_write", fd, iovAt, 3, outAt)
		g.ok("fd_seek", fd, 1, vfs.SeekStart, outAt)
		for i, n := range []uint64{1, 9, 9} {
			at := uint64(iovAt + i*2*int(size))
			g.Mem.PutPtr(at, bufAt+uint64(i)*16)
			g.Mem.PutPtr(at+size, n)
		}
		g.ok("fd_read", fd, iovAt, 3, outAt)
		if n := g.Mem.Ptr(outAt); n != 4 || g.String(bufAt, 1) != "b" || g.String(bufAt+16, 3) != "cde" {
			t.Errorf("%d bytes: %q %q", n, g.String(bufAt, 1), g.String(bufAt+16, 3))
		}
		if e := g.do("fd_write", fd, iovAt, maxVectors+1, outAt); e != vfs.EINVAL {
			t.Errorf("too many pieces: %v", e)
		}
	})
}

func TestTheStandardStreamsAreCaptured(t *testing.T) {
	both(t, Options{}, func(t *testing.T, g guest, h *Host) {
		g.write(1, "out")
		g.write(2, "err")
		if string(h.Stdout()) != "out" || string(h.Stderr()) != "err" {
			t.Errorf("%q and %q", h.Stdout(), h.Stderr())
		}
		if got := g.read(0); got != "" {
			t.Errorf("standard input has %q", got)
		}
		if e := g.do("fd_write", 0, g.iov(bufAt, 1), 1, outAt); e != vfs.EBADF {
			t.Errorf("write to standard input: %v", e)
		}
		g.ok("fd_fdstat_get", 1, bufAt)
		if kind, rights := g.Mem.U8(bufAt), g.Mem.U64(bufAt+8); kind != typeChar || rights&rightWrite == 0 || rights&(rightSeek|rightTell|rightRead) != 0 {
			t.Errorf("type %d, rights %b", kind, rights)
		}
		if h.Snapshot() != nil {
			t.Error("printing left state")
		}
		h.Begin(vm.Env{}, vm.Limits{Output: 4})
		if len(h.Stdout()) != 0 {
			t.Error("output of the call before")
		}
		g.PutString(bufAt, "12345")
		_, err := g.Try(Module, "fd_write", "ippp:i", 1, g.iov(bufAt, 5), 1, outAt)
		var limit *vm.LimitError
		if !errors.As(err, &limit) || limit.Kind != vm.LimitOutput {
			t.Errorf("too much output: %v", err)
		}
	})
}

func TestPathsStayBelowTheirDirectory(t *testing.T) {
	both(t, Options{}, func(t *testing.T, g guest, h *Host) {
		g.ok("fd_prestat_get", preopened, bufAt)
		if kind, n := g.Mem.U8(bufAt), g.Mem.Ptr(bufAt+g.Mem.PtrSize()); kind != 0 || n != 1 {
			t.Errorf("preopened: type %d, a name of %d bytes", kind, n)
		}
		g.ok("fd_prestat_dir_name", preopened, bufAt, 1)
		if g.String(bufAt, 1) != "/" {
			t.Errorf("preopened: %q", g.String(bufAt, 1))
		}
		if e := g.do("fd_prestat_get", 4, bufAt); e != vfs.EBADF {
			t.Errorf("another one: %v", e)
		}
		if e := g.do("fd_prestat_dir_name", preopened, bufAt, 0); e != vfs.ENAMETOOLONG {
			t.Errorf("no room for the name: %v", e)
		}
		for path, want := range map[string]vfs.Errno{
			"/tmp": vfs.ENOTCAPABLE, "../tmp": vfs.ENOTCAPABLE, "tmp/../..": vfs.ENOTCAPABLE, "": vfs.ENOENT, "nope": vfs.ENOENT,
			"a\x00b": vfs.EINVAL, "\xff": vfs.EILSEQ, strings.Repeat("x", vfs.MaxName+1): vfs.ENAMETOOLONG, "tmp": 0, "tmp/..": 0,
		} {
			p, n := g.path(path)
			if e := g.do("path_filestat_get", preopened, 1, p, n, bufAt); e != want {
				t.Errorf("%.9q: %v, want %v", path, e, want)
			}
		}
		if e := g.do("path_filestat_get", preopened, 1, textAt, vfs.MaxPath+1, bufAt); e != vfs.ENAMETOOLONG {
			t.Errorf("a long path: %v", e)
		}
		p, n := g.path("x")
		if e := g.do("path_filestat_get", 1, 1, p, n, bufAt); e != vfs.ENOTDIR {
			t.Errorf("below a terminal: %v", e)
		}
	})
}

func TestTreesCanBeBuiltAndTakenDown(t *testing.T) {
	both(t, Options{}, func(t *testing.T, g guest, h *Host) {
		one := func(name, path string) vfs.Errno {
			p, n := g.path(path)
			return g.do(name, preopened, p, n)
		}
		two := func(name, old, path string) vfs.Errno {
			p, n := g.path(old)
			q, m := g.PutString(bufAt, path), uint64(len(path))
			switch name {
			case "path_link":
				return g.do(name, preopened, 0, p, n, preopened, q, m)
			case "path_symlink":
				return g.do(name, p, n, preopened, q, m)
			}
			return g.do(name, preopened, p, n, preopened, q, m)
		}
		g.ok("fd_close", g.open("tmp/f", oCreate|oExclusive, readWrite))
		for i, step := range []struct{ got, want vfs.Errno }{
			{one("path_create_directory", "d"), 0},
			{one("path_create_directory", "d"), vfs.EEXIST},
			{two("path_rename", "tmp/f", "d/g"), 0},
			{two("path_link", "d/g", "d/h"), 0},
			{two("path_symlink", "g", "d/s"), 0},
			{two("path_symlink", "/d/g", "d/t"), vfs.ENOTCAPABLE},
			{one("path_remove_directory", "d"), vfs.ENOTEMPTY},
			{one("path_unlink_file", "d"), vfs.EISDIR},
		} {
			if step.got != step.want {
				t.Errorf("step %d: %v, want %v", i, step.got, step.want)
			}
		}
		p, n := g.path("d/s")
		g.ok("path_readlink", preopened, p, n, bufAt, 100, outAt)
		if got := g.String(bufAt, g.Mem.Ptr(outAt)); got != "g" {
			t.Errorf("the link leads to %q", got)
		}
		p, n = g.path("d/s")
		g.ok("path_filestat_get", preopened, 0, p, n, bufAt)
		if kind := g.Mem.U8(bufAt + 16); kind != typeLink {
			t.Errorf("the link is of type %d", kind)
		}
		g.ok("path_filestat_get", preopened, 1, p, n, bufAt)
		if kind, links := g.Mem.U8(bufAt+16), g.Mem.U64(bufAt+24); kind != typeFile || links != 2 {
			t.Errorf("behind it is type %d with %d names", kind, links)
		}
		for _, path := range []string{"d/g", "d/h", "d/s"} {
			if e := one("path_unlink_file", path); e != 0 {
				t.Errorf("unlink %s: %v", path, e)
			}
		}
		if e := one("path_remove_directory", "d"); e != 0 {
			t.Errorf("rmdir: %v", e)
		}
	})
}

func TestDirectoriesAreListedInPieces(t *testing.T) {
	both(t, Options{}, func(t *testing.T, g guest, h *Host) {
		for _, name := range []string{"tmp/c", "tmp/a", "tmp/bb"} {
			g.ok("fd_close", g.open(name, oCreate, readWrite))
		}
		fd := g.open("tmp", oDirectory, readWrite)
		var got []string
		for cookie := uint64(0); ; {
			const room = 30 // one entry, and the head of another
			g.ok("fd_readdir", fd, bufAt, room, cookie, outAt)
			used := g.Mem.Ptr(outAt)
			next, n := g.Mem.U64(bufAt), uint64(g.Mem.U32(bufAt+16))
			if used < 24+n {
				if used != 0 {
					t.Errorf("%d bytes at %d", used, cookie)
				}
				break
			}
			got = append(got, g.String(bufAt+24, n))
			cookie = next
		}
		if diff := cmp.Diff([]string{".", "..", "a", "bb", "c"}, got); diff != "" {
			t.Error(diff)
		}
		if e := g.do("fd_readdir", 1, bufAt, 100, 0, outAt); e != vfs.ENOTDIR {
			t.Errorf("list a terminal: %v", e)
		}
	})
}

func TestTimesAreTheCalls(t *testing.T) {
	both(t, Options{}, func(t *testing.T, g guest, h *Host) {
		now := func(clock uint64) uint64 {
			g.ok("clock_time_get", clock, 0, outAt)
			return g.Mem.U64(outAt)
		}
		if a, b := now(clockRealtime), now(clockRealtime); a != 1_000_000_000 || b != a {
			t.Errorf("realtime %d, then %d", a, b)
		}
		if a, b := now(clockMonotonic), now(clockMonotonic); a != 1_000_001_000 || b != a+1000 {
			t.Errorf("monotonic %d, then %d", a, b)
		}
		if a := now(clockProcess); a != 3000 {
			t.Errorf("processor time %d", a)
		}
		if e := g.do("clock_time_get", 9, 0, outAt); e != vfs.EINVAL {
			t.Errorf("a clock that isn't there: %v", e)
		}
		for clock, want := range []uint64{1_000_000, 1000, 1000, 1000} {
			g.ok("clock_res_get", uint64(clock), outAt)
			if got := g.Mem.U64(outAt); got != want {
				t.Errorf("resolution of %d is %d", clock, got)
			}
		}
		h.Begin(vm.Env{Time: 1 << 62}, vm.Limits{})
		if a := now(clockMonotonic); a != 1<<64-1 {
			t.Errorf("at the end of time it is %d", a)
		}
		h.Begin(vm.Env{Time: -5}, vm.Limits{})
		if a := now(clockRealtime); a != 0 {
			t.Errorf("before the epoch it is %d", a)
		}
	})
}

func TestFileTimesCanBeSet(t *testing.T) {
	both(t, Options{}, func(t *testing.T, g guest, h *Host) {
		const setA, nowA, setM, nowM = 1, 2, 4, 8
		fd := g.open("tmp/x", oCreate, readWrite)
		g.ok("fd_filestat_set_times", fd, 5, 6, setA|setM)
		p, n := g.path("tmp/x")
		times := func() [3]uint64 {
			g.ok("path_filestat_get", preopened, 1, p, n, bufAt)
			return [3]uint64{g.Mem.U64(bufAt + 40), g.Mem.U64(bufAt + 48), g.Mem.U64(bufAt + 56)}
		}
		if got := times(); got != [3]uint64{5, 6, 1_000_000_000} {
			t.Errorf("set to %v", got)
		}
		g.ok("path_filestat_set_times", preopened, 1, p, n, 0, 0, nowA)
		if got := times(); got != [3]uint64{1_000_000_000, 6, 1_000_000_000} {
			t.Errorf("set to %v", got)
		}
		for _, flags := range []uint64{setA | nowA, setM | nowM, 16} {
			if e := g.do("fd_filestat_set_times", fd, 0, 0, flags); e != vfs.EINVAL {
				t.Errorf("flags %d: %v", flags, e)
			}
		}
	})
}

func (g guest) subscribe(i int, user uint64, tag uint8, clockOrFD uint32, timeout uint64, flags uint16) {
	at := uint64(0x2000 + i*subscriptionSize)
	g.Mem.PutU64(at, user)
	g.Mem.PutU8(at+8, tag)
	g.Mem.PutU32(at+16, clockOrFD)
	g.Mem.PutU64(at+24, timeout)
	g.Mem.PutU16(at+40, flags)
}

type event struct {
	User  uint64
	Errno uint16
	Tag   uint8
	Bytes uint64
}

func (g guest) poll(n int) []event {
	g.TB.Helper()
	g.ok("poll_oneoff", 0x2000, 0x3000, uint64(n), outAt)
	var out []event
	for i := range g.Mem.Ptr(outAt) {
		at := 0x3000 + i*eventSize
		out = append(out, event{g.Mem.U64(at), g.Mem.U16(at + 8), g.Mem.U8(at + 10), g.Mem.U64(at + 16)})
	}
	return out
}

func TestSleepingTakesVirtualTimeOnly(t *testing.T) {
	both(t, Options{}, func(t *testing.T, g guest, h *Host) {
		g.subscribe(0, 1, subscribeClock, clockMonotonic, 500, 0)
		g.subscribe(1, 2, subscribeClock, clockRealtime, 300, 0)
		g.subscribe(2, 3, subscribeClock, clockRealtime, 1_000_000_200, absoluteTime)
		if diff := cmp.Diff([]event{{User: 3}}, g.poll(3)); diff != "" {
			t.Error(diff)
		}
		g.ok("clock_time_get", clockRealtime, 0, outAt)
		if got := g.Mem.U64(outAt); got != 1_000_000_200 {
			t.Errorf("after sleeping it is %d", got)
		}
		// Its time has passed; the others' hasn't.
		if diff := cmp.Diff([]event{{User: 3}}, g.poll(3)); diff != "" {
			t.Error(diff)
		}
		fd := g.open("tmp/x", oCreate, readWrite)
		g.write(fd, "12345")
		g.ok("fd_seek", fd, 2, vfs.SeekStart, outAt)
		g.subscribe(1, 4, subscribeRead, uint32(fd), 0, 0)
		g.subscribe(2, 5, subscribeWrite, 99, 0, 0)
		want := []event{{User: 4, Tag: subscribeRead, Bytes: 3}, {User: 5, Errno: uint16(vfs.EBADF), Tag: subscribeWrite}}
		if diff := cmp.Diff(want, g.poll(3)); diff != "" {
			t.Error(diff)
		}
		g.subscribe(0, 6, subscribeClock, 77, 0, 0)
		if diff := cmp.Diff([]event{{User: 6, Errno: uint16(vfs.EINVAL)}}, g.poll(1)); diff != "" {
			t.Error(diff)
		}
		g.subscribe(0, 7, 9, 0, 0, 0)
		if e := g.do("poll_oneoff", 0x2000, 0x3000, 1, outAt); e != vfs.EINVAL {
			t.Errorf("an unknown subscription: %v", e)
		}
		if e := g.do("poll_oneoff", 0x2000, 0x3000, 0, outAt); e != vfs.EINVAL {
			t.Errorf("no subscription: %v", e)
		}
	})
}

func TestRandomBytesFollowFromTheSeed(t *testing.T) {
	both(t, Options{}, func(t *testing.T, g guest, h *Host) {
		draw := func(seed byte) string {
			h.Begin(vm.Env{Seed: [32]byte{seed}}, vm.Limits{})
			g.ok("random_get", bufAt, 10)
			g.ok("random_get", bufAt+10, 22)
			return g.String(bufAt, 32)
		}
		a, b, c := draw(1), draw(1), draw(2)
		if a != b || a == c || a[:16] == a[16:] {
			t.Errorf("%x, %x, %x", a, b, c)
		}
		// The stream is ChaCha8's, for good.
		if got := binary.LittleEndian.Uint64([]byte(a)); got != wantRandom {
			t.Errorf("the stream begins with %#x", got)
		}
		fd := g.open("dev/urandom", 0, rightRead)
		if got := g.read(fd); len(got) == 0 || got[:8] == a[:8] {
			t.Errorf("the device gives %x", got[:8])
		}
	})
}

// wantRandom is what seed {1} gives first.
const wantRandom = 0x1be9bd4f3f78e66a

func TestArgumentsAndEnvironmentAreTheOptions(t *testing.T) {
	both(t, Options{Args: []string{"prog", "x"}, Environ: []string{"A=1"}}, func(t *testing.T, g guest, h *Host) {
		g.ok("args_sizes_get", outAt, outAt+8)
		if n, size := g.Mem.Ptr(outAt), g.Mem.Ptr(outAt+8); n != 2 || size != 7 {
			t.Errorf("%d arguments of %d bytes", n, size)
		}
		g.ok("args_get", outAt, bufAt)
		second := g.Mem.Ptr(outAt + g.Mem.PtrSize())
		if got := g.String(bufAt, 7); got != "prog\x00x\x00" || second != bufAt+5 {
			t.Errorf("%q, the second at %#x", got, second)
		}
		g.ok("environ_sizes_get", outAt, outAt+8)
		g.ok("environ_get", outAt, bufAt)
		if got := g.String(bufAt, 4); got != "A=1\x00" {
			t.Errorf("%q", got)
		}
	})
}

func TestWhatEndsOrIsRefused(t *testing.T) {
	both(t, Options{}, func(t *testing.T, g guest, h *Host) {
		_, err := g.Try(Module, "proc_exit", "i:", 1<<32-1)
		var exit *vm.ExitError
		if !errors.As(err, &exit) || exit.Code != -1 {
			t.Errorf("exit: %v", err)
		}
		for name, args := range map[string][]uint64{
			"proc_raise": {6}, "sock_accept": {3, 0, outAt}, "sock_shutdown": {3, 0},
			"sock_recv": {3, iovAt, 0, 0, outAt, outAt}, "sock_send": {3, iovAt, 0, 0, outAt}, "fd_fdstat_set_rights": {1, 0, 0},
		} {
			if e := g.do(name, args...); e != vfs.ENOTSUP {
				t.Errorf("%s: %v", name, e)
			}
		}
		g.ok("sched_yield")
	})
}

func TestDescriptorsCanBeRenumberedAndFlagged(t *testing.T) {
	both(t, Options{}, func(t *testing.T, g guest, h *Host) {
		a, b := g.open("tmp/a", oCreate, readWrite), g.open("tmp/b", oCreate, readWrite)
		g.ok("fd_renumber", a, b)
		if e := g.do("fd_tell", a, outAt); e != vfs.EBADF {
			t.Errorf("the old number: %v", e)
		}
		if e := g.do("fd_renumber", b, 77); e != vfs.EBADF {
			t.Errorf("to what isn't open: %v", e)
		}
		g.ok("fd_fdstat_set_flags", b, flagAppend|flagNonblock|flagSync)
		g.ok("fd_fdstat_get", b, bufAt)
		if flags := g.Mem.U16(bufAt + 2); flags != flagAppend|flagNonblock|flagSync {
			t.Errorf("flags %b", flags)
		}
		g.write(b, "x")
		g.ok("fd_seek", b, 0, vfs.SeekStart, outAt)
		g.write(b, "y")
		g.ok("fd_seek", b, 0, vfs.SeekStart, outAt)
		if got := g.read(b); got != "xy" {
			t.Errorf("appended: %q", got)
		}
		if e := g.do("fd_fdstat_set_flags", b, 64); e != vfs.EINVAL {
			t.Errorf("unknown flags: %v", e)
		}
	})
}

func TestTheStateIsTheFiles(t *testing.T) {
	both(t, Options{}, func(t *testing.T, g guest, h *Host) {
		if h.Snapshot() != nil {
			t.Error("something is there at first")
		}
		fd := g.open("tmp/x", oCreate, readWrite)
		g.write(fd, "kept")
		snapshot := h.Snapshot()
		g.ok("fd_close", fd)
		if err := h.Restore(snapshot); err != nil {
			t.Fatal(err)
		}
		g.ok("fd_seek", fd, 0, vfs.SeekStart, outAt)
		if got := g.read(fd); got != "kept" {
			t.Errorf("restored file has %q", got)
		}
		if err := h.Restore([]byte{9}); err == nil {
			t.Error("nonsense was restored")
		}
		if err := h.Restore(nil); err != nil || h.Snapshot() != nil {
			t.Errorf("back to the start: %v", err)
		}
	})
}

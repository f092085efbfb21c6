package emscripten

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"aorta/vm"
	"aorta/vm/vfs"
	"aorta/vm/wasi"
	"aorta/vm/wasi/wasitest"
)

// Places in the guests' memory.
const (
	textAt  = 0x100
	text2At = 0x200
	argsAt  = 0x300
	outAt   = 0x400
	bufAt   = 0x600

	cwd = ^uint64(99) // AT_FDCWD
)

type guest struct{ *wasitest.Guest }

func newGuest(tb testing.TB, opts Options, wide bool) (guest, *Host) {
	h := New(opts)
	h.Begin(vm.Env{Time: 1_700_000_000_000, Seed: [32]byte{1}}, vm.Limits{})
	return guest{wasitest.New(tb, h, wide, 1)}, h
}

// both runs f in both layouts.
func both(t *testing.T, f func(t *testing.T, g guest, h *Host)) {
	for _, wide := range []bool{false, true} {
		t.Run(fmt.Sprintf("wide=%v", wide), func(t *testing.T) {
			g, h := newGuest(t, Options{}, wide)
			f(t, g, h)
		})
	}
}

// sys calls a function of "env" by the newest of its prototypes.
func (g guest) sys(name string, args ...uint64) int64 {
	g.TB.Helper()
	return int64(int32(g.Must("env", name, functions[name][0].pattern, args...)))
}

func (g guest) text(s string) uint64  { return g.PutString(textAt, s) }
func (g guest) text2(s string) uint64 { return g.PutString(text2At, s) }

// vararg puts an argument where variadic functions look for it.
func (g guest) vararg(v uint64) uint64 {
	g.Mem.PutPtr(argsAt, v)
	return argsAt
}

func (g guest) open(path string, flags uint64) int64 {
	g.TB.Helper()
	return g.sys("__syscall_openat", cwd, g.text(path), flags, g.vararg(0o666))
}

func (g guest) write(fd int64, s string) {
	g.TB.Helper()
	size := g.Mem.PtrSize()
	g.Mem.PutPtr(outAt, g.PutString(bufAt, s))
	g.Mem.PutPtr(outAt+size, uint64(len(s)))
	if e := g.Must(wasi.Module, "fd_write", "ippp:i", uint64(fd), outAt, 1, outAt+2*size); e != 0 {
		g.TB.Fatalf("write: %v", vfs.Errno(e))
	}
}

// neg is what a system call returns for an error.
func neg(e vfs.Errno) int64 { return -int64(e) }

func TestTheFilesOfAnInstanceAreThoseOfTheLoader(t *testing.T) {
	_, h := newGuest(t, Options{}, true)
	root := h.fs.Root()
	for i, path := range []string{
		"/", "/tmp", "/home", "/home/web_user", "/dev", "/dev/null", "/dev/tty", "/dev/tty1", "/dev/random", "/dev/urandom",
		"/dev/shm", "/dev/shm/tmp", "/proc", "/proc/self", "/proc/self/fd",
	} {
		if s, err := h.fs.StatPath(root, path, false); err != nil || s.Ino != uint64(i+1) || s.Atime != 0 {
			t.Errorf("%s: %+v, %v", path, s, err)
		}
	}
	for i, path := range []string{"/dev/stdin", "/dev/stdout", "/dev/stderr", "/data"} {
		s, err := h.fs.StatPath(root, path, false)
		if want := int64(clockStart+i) * 1_000_000; err != nil || s.Atime != want || s.Ctime != want {
			t.Errorf("%s: %+v, %v", path, s, err)
		}
	}
	if h.Snapshot() != nil {
		t.Error("that is no state")
	}
}

func TestSystemCallsOnPaths(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		const creat, excl, directory, noFollow, removeDir = 0o100, 0o200, 0o200000, 0o400000, 0x200
		steps := []struct {
			what string
			got  func() int64
			want int64
		}{
			{"open nothing", func() int64 { return g.open("/nope", 0) }, neg(vfs.ENOENT)},
			{"open below a file", func() int64 { return g.open("/dev/null/x", 0) }, neg(vfs.ENOENT)},
			{"make below a file", func() int64 { return g.open("/dev/null/x", creat|1) }, neg(vfs.ENOTDIR)},
			{"open the empty path", func() int64 { return g.open("", 0) }, neg(vfs.ENOENT)},
			{"make a file", func() int64 { return g.open("/tmp//a/../x", creat|2) }, 3},
			{"make it again", func() int64 { return g.open("/tmp/x", creat|excl) }, neg(vfs.EEXIST)},
			{"open it as a directory", func() int64 { return g.open("/tmp/x", directory) }, neg(vfs.ENOTDIR)},
			{"a slash at the end is passed over", func() int64 { return g.open("/tmp/x/", 0) }, 4},
			{"open a directory to write", func() int64 { return g.open("/tmp", 1) }, neg(vfs.EISDIR)},
			{"open a directory", func() int64 { return g.open("/tmp", directory) }, 5},
			{"open below it", func() int64 { return g.sys("__syscall_openat", 5, g.text("x"), 0, 0) }, 6},
			{"open below nothing", func() int64 { return g.sys("__syscall_openat", 99, g.text("x"), 0, 0) }, neg(vfs.EBADF)},
			{"mkdir", func() int64 { return g.sys("__syscall_mkdirat", cwd, g.text("/tmp/d/"), 0o777) }, 0},
			{"mkdir again", func() int64 { return g.sys("__syscall_mkdirat", cwd, g.text("/tmp/d"), 0o777) }, neg(vfs.EEXIST)},
			{"chdir", func() int64 { return g.sys("__syscall_chdir", g.text("/tmp/d")) }, 0},
			{"getcwd in too little room", func() int64 { return g.sys("__syscall_getcwd", bufAt, 6) }, neg(vfs.ERANGE)},
			{"getcwd in no room", func() int64 { return g.sys("__syscall_getcwd", bufAt, 0) }, neg(vfs.EINVAL)},
			{"getcwd", func() int64 { return g.sys("__syscall_getcwd", bufAt, 7) }, 7},
			{"rename relative", func() int64 { return g.sys("__syscall_renameat", cwd, g.text("../x"), 5, g.text2("d/y")) }, 0},
			{"symlink", func() int64 { return g.sys("__syscall_symlinkat", g.text("y"), cwd, g.text2("l")) }, 0},
			{"symlink, old", func() int64 { return g.sys("__syscall_symlink", g.text("y"), g.text2("l2")) }, 0},
			{"readlink gives an absolute path", func() int64 { return g.sys("__syscall_readlinkat", cwd, g.text("l"), bufAt, 100) }, 8},
			{"readlink cut off", func() int64 { return g.sys("__syscall_readlinkat", cwd, g.text("l"), bufAt, 4) }, 4},
			{"readlink into nothing", func() int64 { return g.sys("__syscall_readlinkat", cwd, g.text("l"), bufAt, 0) }, neg(vfs.EINVAL)},
			{"readlink of a file", func() int64 { return g.sys("__syscall_readlinkat", cwd, g.text("y"), bufAt, 9) }, neg(vfs.EINVAL)},
			{"open a link itself", func() int64 { return g.open("l", noFollow) }, neg(vfs.ELOOP)},
			{"hard link", func() int64 { return g.sys("__syscall_linkat", cwd, g.text("y"), cwd, g.text2("z"), 0) }, neg(vfs.EMLINK)},
			{"access", func() int64 { return g.sys("__syscall_faccessat", cwd, g.text("y"), 7, 0) }, neg(vfs.EACCES)},
			{"access to read", func() int64 { return g.sys("__syscall_faccessat", cwd, g.text("y"), 4, 0) }, 0},
			{"access to what", func() int64 { return g.sys("__syscall_faccessat", cwd, g.text("y"), 8, 0) }, neg(vfs.EINVAL)},
			{"chmod", func() int64 { return g.sys("__syscall_chmod", g.text("y"), 0o444) }, 0},
			{"open it to write", func() int64 { return g.open("y", 1) }, neg(vfs.EACCES)},
			{"fchmodat", func() int64 { return g.sys("__syscall_fchmodat2", cwd, g.text("y"), 0o777, 0) }, 0},
			{"fchownat", func() int64 { return g.sys("__syscall_fchownat", cwd, g.text("y"), 1, 1, 0) }, 0},
			{"truncate", func() int64 { return g.sys("__syscall_truncate64", g.text("y"), 12) }, 0},
			{"unlink a directory", func() int64 { return g.sys("__syscall_unlinkat", cwd, g.text("/tmp/d"), 0) }, neg(vfs.EISDIR)},
			{"unlink how", func() int64 { return g.sys("__syscall_unlinkat", cwd, g.text("y"), 7) }, neg(vfs.EINVAL)},
			{"unlink", func() int64 { return g.sys("__syscall_unlinkat", cwd, g.text("y"), 0) }, 0},
			{"rmdir where one is", func() int64 { return g.sys("__syscall_rmdir", g.text("/tmp/d")) }, neg(vfs.EBUSY)},
			{"chdir by descriptor", func() int64 { return g.sys("__syscall_fchdir", 5) }, 0},
			{"rmdir what isn't empty", func() int64 { return g.sys("__syscall_unlinkat", cwd, g.text("d"), removeDir) }, neg(vfs.ENOTEMPTY)},
			{"no sockets", func() int64 {
				return int64(int32(g.Must("env", "__syscall_socket", "iiiiii:i", 2, 1, 0, 0, 0, 0)))
			}, neg(noProtocol)},
		}
		for _, s := range steps {
			if got := s.got(); got != s.want {
				t.Errorf("%s: %d, want %d", s.what, got, s.want)
			}
		}
		if got := g.String(bufAt, 8); got != "/tmp/d/y" && got[:4] != "/tmp" {
			t.Errorf("the link leads to %q", got)
		}
		if err := h.Restore(h.Snapshot()); err != nil {
			t.Error(err)
		}
	})
}

func TestSystemCallsOnDescriptors(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		fd := uint64(g.open("/tmp/x", 0o100|2))
		for _, s := range []struct {
			what      string
			got, want int64
		}{
			{"dup", g.sys("__syscall_dup", fd), 4},
			{"dup3 to itself", g.sys("__syscall_dup3", fd, fd, 0), neg(vfs.EINVAL)},
			{"dup3 of nothing", g.sys("__syscall_dup3", 99, 99, 0), neg(vfs.EBADF)},
			{"dup3", g.sys("__syscall_dup3", fd, 7, 0), 7},
			{"fcntl duplicates", g.sys("__syscall_fcntl64", fd, dupFD, g.vararg(5)), 5},
			{"fcntl, flags of descriptors", g.sys("__syscall_fcntl64", fd, setFD, g.vararg(1)), 0},
			{"fcntl, flags", g.sys("__syscall_fcntl64", fd, getFL, 0), 0o102},
			{"fcntl sets flags", g.sys("__syscall_fcntl64", fd, setFL, g.vararg(0o2000)), 0},
			{"fcntl, flags", g.sys("__syscall_fcntl64", fd, getFL, 0), 0o2102},
			{"fcntl locks", g.sys("__syscall_fcntl64", fd, setLK, g.vararg(bufAt)), 0},
			{"fcntl asks for locks", g.sys("__syscall_fcntl64", fd, getLK64, g.vararg(bufAt)), 0},
			{"fcntl what", g.sys("__syscall_fcntl64", fd, 99, 0), neg(vfs.EINVAL)},
			{"fcntl of nothing", g.sys("__syscall_fcntl64", 99, getFL, 0), neg(vfs.EBADF)},
			{"ftruncate", g.sys("__syscall_ftruncate64", fd, 100), 0},
			{"ftruncate below nothing", g.sys("__syscall_ftruncate64", fd, 1<<64-1), neg(vfs.EINVAL)},
			{"fallocate", g.sys("__syscall_fallocate", fd, 0, 0, 200), 0},
			{"fallocate how", g.sys("__syscall_fallocate", fd, 1, 0, 200), neg(vfs.ENOTSUP)},
			{"fadvise", g.sys("__syscall_fadvise64", fd, 0, 0, 1), 0},
			{"fchmod", g.sys("__syscall_fchmod", fd, 0o600), 0},
			{"fchown", g.sys("__syscall_fchown32", fd, 1, 1), 0},
			{"fdatasync", g.sys("__syscall_fdatasync", fd), 0},
			{"fdatasync of nothing", g.sys("__syscall_fdatasync", 99), neg(vfs.EBADF)},
			{"open gets the lowest", g.open("/tmp/y", 0o100), 6},
		} {
			if s.got != s.want {
				t.Errorf("%s: %d, want %d", s.what, s.got, s.want)
			}
		}
		if g.Mem.U16(bufAt) != unlocked {
			t.Error("somebody has a lock")
		}
		g.Mem.PutU32(bufAt, uint32(fd))
		g.Mem.PutU16(bufAt+4, 0x41)
		g.Mem.PutU32(bufAt+8, 99)
		if n := g.sys("__syscall_poll", bufAt, 2, 0); n != 2 || g.Mem.U16(bufAt+6) != 1 || g.Mem.U16(bufAt+14) != 32 {
			t.Errorf("poll: %d ready, %#x and %#x", n, g.Mem.U16(bufAt+6), g.Mem.U16(bufAt+14))
		}
	})
}

func TestStatWritesTheLayoutOfItsGeneration(t *testing.T) {
	type stat struct {
		Dev, Mode, Rdev, Blocks uint32
		Nlink, Size, Sec, Ino   uint64
		Sub                     uint64
	}
	le := binary.LittleEndian
	parse := map[string]func(b []byte) stat{
		"wide": func(b []byte) stat {
			return stat{le.Uint32(b), le.Uint32(b[4:]), le.Uint32(b[24:]), le.Uint32(b[44:]), le.Uint64(b[8:]), le.Uint64(b[32:]),
				le.Uint64(b[64:]), le.Uint64(b[96:]), le.Uint64(b[72:])}
		},
		"narrow": func(b []byte) stat {
			return stat{le.Uint32(b), le.Uint32(b[4:]), le.Uint32(b[20:]), le.Uint32(b[36:]), uint64(le.Uint32(b[8:])), le.Uint64(b[24:]),
				le.Uint64(b[56:]), le.Uint64(b[88:]), uint64(le.Uint32(b[64:]))}
		},
		"generation 2": func(b []byte) stat {
			return stat{le.Uint32(b), le.Uint32(b[12:]), le.Uint32(b[28:]), le.Uint32(b[52:]), uint64(le.Uint32(b[16:])), le.Uint64(b[40:]),
				uint64(le.Uint32(b[64:])), le.Uint64(b[80:]), 0}
		},
	}
	for name, p := range parse {
		t.Run(name, func(t *testing.T) {
			g, h := newGuest(t, Options{}, name == "wide")
			if name == "generation 2" {
				h.generation = 2
			}
			fd := g.open("/tmp/x", 0o100|2)
			g.write(fd, "hello") // the second tick of the clock
			read := func() stat { return p(g.Mem.Bytes[bufAt : bufAt+128]) }
			sub, start := uint64(5000), uint64(10)
			if h.generation == 2 {
				sub = 0
			} else {
				sub = uint64(clockReady+1-10000) * 1000
			}
			file := stat{Dev: 1, Mode: modeFile | 0o666, Blocks: 1, Nlink: 1, Size: 5, Sec: start, Ino: 20, Sub: sub}
			for _, call := range []func() int64{
				func() int64 { return g.sys("__syscall_fstat64", uint64(fd), bufAt) },
				func() int64 { return g.sys("__syscall_stat64", g.text("/tmp/x"), bufAt) },
				func() int64 { return g.sys("__syscall_lstat64", g.text("/tmp/x"), bufAt) },
				func() int64 { return g.sys("__syscall_newfstatat", cwd, g.text("/tmp/x"), bufAt, 0) },
				func() int64 { return g.sys("__syscall_newfstatat", uint64(fd), g.text(""), bufAt, statEmptyPath) },
			} {
				clear(g.Mem.Bytes[bufAt : bufAt+128])
				if r := call(); r != 0 {
					t.Fatal(r)
				}
				if diff := cmp.Diff(file, read()); diff != "" {
					t.Error(diff)
				}
			}
			g.sys("__syscall_stat64", g.text("/dev/stdout"), bufAt)
			if diff := cmp.Diff(stat{Dev: 7, Mode: modeChar | 0o666, Rdev: 5 << 8, Nlink: 1, Ino: 7}, read()); diff != "" {
				t.Error(diff)
			}
			g.sys("__syscall_lstat64", g.text("/dev/stdout"), bufAt)
			if s := read(); s.Mode != modeLink|0o777 || s.Size != uint64(len("/dev/tty")) {
				t.Errorf("%+v", s)
			}
			g.sys("__syscall_newfstatat", cwd, g.text(""), bufAt, statEmptyPath)
			if s := read(); s.Mode != modeDir|0o777 || s.Size != 4096 || s.Ino != 1 {
				t.Errorf("%+v", s)
			}
			if r := g.sys("__syscall_newfstatat", cwd, g.text("/"), bufAt, 1); r != neg(vfs.EINVAL) {
				t.Errorf("unknown flags: %d", r)
			}
			// The later of the two times is the file's.
			second := uint64(16)
			if h.generation == 2 {
				second = 8
				g.Mem.PutU32(outAt, 100)
				g.Mem.PutU32(outAt+second, 200)
			} else {
				g.Mem.PutU64(outAt, 100)
				g.Mem.PutU64(outAt+second, 200)
			}
			if r := g.sys("__syscall_utimensat", cwd, g.text("/tmp/x"), outAt, 0); r != 0 {
				t.Fatal(r)
			}
			g.sys("__syscall_fstat64", uint64(fd), bufAt)
			if s := read(); s.Sec != 200 {
				t.Errorf("time set to %d", s.Sec)
			}
			if r := g.sys("__syscall_utimensat", uint64(fd), 0, 0, 0); r != 0 {
				t.Fatal(r)
			}
			g.sys("__syscall_fstat64", uint64(fd), bufAt)
			if s := read(); s.Sec != 10 {
				t.Errorf("time set to %d", s.Sec)
			}
		})
	}
}

func TestTerminalsAnswerAsInTheLoader(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		file := uint64(g.open("/tmp/x", 0o100))
		for _, c := range []struct {
			fd, op uint64
			want   int64
		}{
			{1, getAttrs, 0}, {1, setAttrs, 0}, {1, flush, 0}, {1, getGroup, 0}, {1, setGroup, neg(vfs.EINVAL)}, {1, getSize, 0},
			{1, setSize, 0}, {1, bytesReady, neg(vfs.ENOTTY)}, {1, 1, neg(vfs.EINVAL)}, {2, getSize, 0},
			{file, getAttrs, neg(vfs.ENOTTY)}, {file, getSize, neg(vfs.ENOTTY)}, {99, getSize, neg(vfs.EBADF)},
		} {
			g.vararg(bufAt)
			if got := g.sys("__syscall_ioctl", c.fd, c.op, argsAt); got != c.want {
				t.Errorf("ioctl %#x of %d: %d, want %d", c.op, c.fd, got, c.want)
			}
		}
		g.sys("__syscall_ioctl", 1, getSize, argsAt)
		if r, c := g.Mem.U16(bufAt), g.Mem.U16(bufAt+2); r != 24 || c != 80 {
			t.Errorf("%d rows, %d columns", r, c)
		}
		g.sys("__syscall_ioctl", 1, getAttrs, argsAt)
		if g.Mem.U32(bufAt) != 25856 || g.Mem.U32(bufAt+12) != 35387 || g.Mem.U8(bufAt+17) != 3 {
			t.Errorf("attributes %x", g.String(bufAt, 49))
		}
		for fd, want := range map[uint64]uint8{1: 2, file: 4, uint64(g.open("/tmp", 0)): 4} {
			if e := g.Must(wasi.Module, "fd_fdstat_get", "ip:i", fd, bufAt); e != 0 || g.Mem.U8(bufAt) != want {
				t.Errorf("descriptor %d is of type %d (%d)", fd, g.Mem.U8(bufAt), e)
			}
		}
		if e := g.Must(wasi.Module, "fd_fdstat_get", "ip:i", 99, bufAt); vfs.Errno(e) != vfs.EBADF {
			t.Errorf("type of nothing: %d", e)
		}
		if e := g.Must(wasi.Module, "fd_fdstat_get", "ip:i", 1, 1<<16-1); vfs.Errno(e) != vfs.EFAULT {
			t.Errorf("type to nowhere: %d", e)
		}
	})
}

func TestDirectoriesAreListedInEntriesOfOneSize(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		fd := uint64(g.open("/dev", 0))
		var got []string
		for {
			n := g.sys("__syscall_getdents64", fd, bufAt, 2*entrySize+5)
			if n == 0 {
				break
			}
			for at := uint64(bufAt); at < bufAt+uint64(n); at += entrySize {
				name := g.String(at+entryName, 1)
				for i := uint64(1); g.Mem.U8(at+entryName+i) != 0; i++ {
					name += g.String(at+entryName+i, 1)
				}
				got = append(got, fmt.Sprintf("%s %d", name, g.Mem.U8(at+18)))
				if size := g.Mem.U16(at + 16); size != entrySize {
					t.Errorf("%s takes %d bytes", name, size)
				}
			}
		}
		want := []string{". 4", ".. 4", "null 2", "random 2", "shm 4", "stderr 10", "stdin 10", "stdout 10", "tty 2", "tty1 2", "urandom 2"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if r := g.sys("__syscall_getdents64", 1, bufAt, 1000); r != neg(vfs.ESPIPE) {
			t.Errorf("list a terminal: %d", r)
		}
	})
}

func TestMappingAFileCopiesIt(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		fd := uint64(g.open("/tmp/x", 0o100|2))
		g.write(int64(fd), "0123456789")
		const mapAt = 0x8000
		if r := g.sys("_mmap_js", 10, 3, 1, fd, 0, outAt, outAt+8); r != neg(vfs.ENOMEM) {
			t.Errorf("without an allocator: %d", r)
		}
		g.Exports = map[string]func(...uint64) uint64{
			"emscripten_builtin_memalign": func(args ...uint64) uint64 {
				if args[0] != wasmPage || args[1] != wasmPage {
					t.Errorf("allocates %v", args)
				}
				g.Mem.Bytes = append(g.Mem.Bytes, make([]byte, 2*wasmPage)...)
				return mapAt
			},
		}
		if r := g.sys("_mmap_js", 8, 3, 1, fd, 2, outAt, outAt+8); r != 0 {
			t.Fatal(r)
		}
		if got := g.String(mapAt, 9); g.Mem.Ptr(outAt+8) != mapAt || g.Mem.U32(outAt) != 1 || got != "23456789\x00" {
			t.Errorf("mapped %q", got)
		}
		g.PutString(mapAt, "AB")
		if r := g.sys("_munmap_js", mapAt, 2, 3, 1, fd, 4); r != 0 {
			t.Fatal(r)
		}
		g.Must(wasi.Module, "fd_seek", "ilip:i", fd, 0, 0, outAt)
		buf := make([]byte, 10)
		if _, err := h.fs.Read(int(fd), buf); err != nil || string(buf) != "0123AB6789" {
			t.Errorf("written back: %q, %v", buf, err)
		}
		if r := g.sys("_mmap_js", 8, 3, 1, 1, 0, outAt, outAt+8); r != neg(vfs.EACCES) {
			t.Errorf("map what was opened to write: %d", r)
		}
		if r := g.sys("_mmap_js", 8, 1, 1, 0, 0, outAt, outAt+8); r != neg(vfs.ENODEV) {
			t.Errorf("map a terminal: %d", r)
		}
		if r := g.sys("_munmap_js", mapAt, 2, 3, 1, 99, 4); r != neg(vfs.EBADF) {
			t.Errorf("unmap nothing: %d", r)
		}
	})
}

func TestTheDriveRefuses(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		if r := g.sys("__asyncjs__weavedrive_open", g.text("/data/x"), g.text2("r")); r != 0 {
			t.Errorf("open: %d", r)
		}
		for name, args := range map[string][]uint64{"__asyncjs__weavedrive_read": {0, 0, 0}, "__asyncjs__weavedrive_close": {0}} {
			_, err := g.Try("env", name, functions[name][0].pattern, args...)
			var bad *vm.GuestError
			if !errors.As(err, &bad) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

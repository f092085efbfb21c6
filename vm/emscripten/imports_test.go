package emscripten

import (
	"strings"
	"testing"

	"aorta/vm/wasm"
)

// What modules of the network import, one a line: name, parameters and
// results (i for i32, I for i64, d for f64).
const (
	aos64 = `
env.strftime IIII I
env.exit i -
env.__asyncjs__weavedrive_open II i
env.__asyncjs__weavedrive_read iII i
env.__asyncjs__weavedrive_close i i
env.__syscall_fcntl64 iiI i
env.__syscall_ioctl iiI i
wasi_snapshot_preview1.fd_close i i
wasi_snapshot_preview1.fd_read iIII i
wasi_snapshot_preview1.fd_write iIII i
env._abort_js - -
env._emscripten_memcpy_js III -
env.emscripten_date_now - d
env._emscripten_get_now_is_monotonic - i
env.__syscall_dup3 iii i
wasi_snapshot_preview1.environ_sizes_get II i
wasi_snapshot_preview1.environ_get II i
wasi_snapshot_preview1.fd_seek iIiI i
env._mktime_js I I
env._localtime_js II -
env._gmtime_js II -
env.__syscall_unlinkat iIi i
env.__syscall_rmdir I i
env.__syscall_renameat iIiI i
env._emscripten_system I i
env.__syscall_openat iIiI i
env.__syscall_readlinkat iIII i
env._tzset_js IIII -
env.emscripten_resize_heap I i`

	aos32 = `
env.strftime iiii i
env.__syscall_openat iiii i
env.__syscall_readlinkat iiii i
env._emscripten_memcpy_js iii -
wasi_snapshot_preview1.fd_write iiii i
wasi_snapshot_preview1.fd_seek iiiii i
env._mktime_js i i
env._localtime_js iii -
env._gmtime_js iii -
env._tzset_js iiii -
env.emscripten_resize_heap i i`

	sqlite64 = `
env.__syscall_faccessat iIii i
env.emscripten_get_now - d
env.__syscall_fchmod ii i
env.__syscall_chmod Ii i
env.__syscall_fchown32 iii i
env.__syscall_fstat64 iI i
env.__syscall_stat64 II i
env.__syscall_newfstatat iIIi i
env.__syscall_lstat64 II i
wasi_snapshot_preview1.fd_sync i i
env.__syscall_ftruncate64 iI i
env.__syscall_getcwd II i
env.__syscall_mkdirat iIi i
env._munmap_js IIiiiI i
env.emscripten_get_heap_max - I
env.__syscall_utimensat iIIi i
wasi_snapshot_preview1.fd_fdstat_get iI i`

	llama64 = `
env.__cxa_throw III -
env.emscripten_err I -
env.strftime_l IIIII I
env.__assert_fail IIiI -`

	standalone64 = `
wasi_snapshot_preview1.proc_exit i -
wasi_snapshot_preview1.clock_time_get iII i
env.__syscall_unlinkat iIi i`

	exceptions32 = `
env.__cxa_find_matching_catch_2 - i
env.__cxa_find_matching_catch_3 i i
env.__cxa_find_matching_catch_5 iii i
env.__cxa_begin_catch i i
env.__cxa_end_catch - -
env.__cxa_rethrow - -
env.__resumeException i -
env.llvm_eh_typeid_for i i
env.__cxa_uncaught_exceptions - i
env.getTempRet0 - i
env.setTempRet0 i -`

	generation2 = `
env._emscripten_date_now - d
env.emscripten_memcpy_big iii -
env._gmtime_js ii -
env._localtime_js ii -
env._mktime_js i i
env._tzset_js iii -
env.__syscall_ftruncate64 iii i
env._mmap_js iiiiii i
env._munmap_js iiiiii i
env._dlinit i -
env._dlopen_js ii i
env._dlsym_js ii i
env.abort - -
env.system i i
wasi_snapshot_preview1.fd_seek iiiii i`
)

func types(s string) []wasm.ValueType {
	var out []wasm.ValueType
	for _, c := range s {
		switch c {
		case 'i':
			out = append(out, wasm.I32)
		case 'I':
			out = append(out, wasm.I64)
		case 'd':
			out = append(out, wasm.F64)
		}
	}
	return out
}

func TestWhatModulesImportIsAnswered(t *testing.T) {
	for _, list := range []string{aos64, aos32, sqlite64, llama64, standalone64, exceptions32, generation2} {
		h := New(Options{})
		for _, line := range strings.Split(strings.TrimSpace(list), "\n") {
			f := strings.Fields(line)
			module, name, _ := strings.Cut(f[0], ".")
			if h.Lookup(module, name, wasm.FuncType{Params: types(f[1]), Results: types(f[2])}) == nil {
				t.Errorf("no answer to %s", line)
			}
		}
	}
}

func TestWhatIsUnknownOrOfAnotherTypeIsNotAnswered(t *testing.T) {
	h := New(Options{})
	for _, line := range []string{
		"env.invoke_vjj III -",
		"env._emscripten_throw_longjmp - -",
		"env.emscripten_asm_const_int iii i",
		"env.__syscall_openat iiI i",
		"env.__cxa_find_matching_catch_3 ii i",
		"env.__cxa_find_matching_catch_ - i",
		"env.exit I -",
		"wasi_snapshot_preview1.fd_write iIiI i",
		"wasi_snapshot_preview1.fd_nothing i i",
		"other.exit i -",
	} {
		f := strings.Fields(line)
		module, name, _ := strings.Cut(f[0], ".")
		if h.Lookup(module, name, wasm.FuncType{Params: types(f[1]), Results: types(f[2])}) != nil {
			t.Errorf("an answer to %s", line)
		}
	}
}

// Package wasmtimex reaches the parts of wasmtime's C interface that its Go binding doesn't wrap.
package wasmtimex

// #include <stdbool.h>
// #include <stddef.h>
// #include <stdint.h>
//
// // From wasmtime/config.h and wasmtime/func.h, version 39; the library itself
// // is linked by the Go binding.
//
// extern void wasmtime_config_wasm_exceptions_set(void *, bool);
// extern void wasmtime_config_memory_reservation_set(void *, uint64_t);
// extern void wasmtime_config_memory_guard_size_set(void *, uint64_t);
// extern void wasmtime_config_memory_reservation_for_growth_set(void *, uint64_t);
// extern void wasmtime_config_memory_may_move_set(void *, bool);
// extern void *wasmtime_func_to_raw(void *, const void *);
import "C"

import (
	"runtime"
	"unsafe"

	"github.com/bytecodealliance/wasmtime-go/v39"
)

// native returns the C object that a binding's object starts with.
func native(c *wasmtime.Config) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(c)) }

// EnableExceptions turns on exception handling in its final form (try_table,
// throw, throw_ref, exnref).
func EnableExceptions(c *wasmtime.Config) {
	C.wasmtime_config_wasm_exceptions_set(native(c), true)
	runtime.KeepAlive(c)
}

// SetMemoryReservation sets how much address space is set aside for each
// linear memory, in bytes.
func SetMemoryReservation(c *wasmtime.Config, n uint64) {
	C.wasmtime_config_memory_reservation_set(native(c), C.uint64_t(n))
	runtime.KeepAlive(c)
}

// SetMemoryReservationForGrowth sets how much more than its size is set aside
// for a memory that is larger than the reservation, in bytes.
func SetMemoryReservationForGrowth(c *wasmtime.Config, n uint64) {
	C.wasmtime_config_memory_reservation_for_growth_set(native(c), C.uint64_t(n))
	runtime.KeepAlive(c)
}

// SetMemoryGuardSize sets how much address space after each memory's
// reservation is kept unmapped, in bytes.
func SetMemoryGuardSize(c *wasmtime.Config, n uint64) {
	C.wasmtime_config_memory_guard_size_set(native(c), C.uint64_t(n))
	runtime.KeepAlive(c)
}

// SetMemoryMayMove says whether growing a memory may move it.
func SetMemoryMayMove(c *wasmtime.Config, may bool) {
	C.wasmtime_config_memory_may_move_set(native(c), C.bool(may))
	runtime.KeepAlive(c)
}

// FuncToRaw returns the engine's reference to f: equal for two handles iff
// they are the same function of the same instance. It is valid as long as the
// store.
func FuncToRaw(store wasmtime.Storelike, f *wasmtime.Func) uintptr {
	raw := C.wasmtime_func_to_raw(unsafe.Pointer(store.Context()), unsafe.Pointer(f))
	runtime.KeepAlive(store)
	runtime.KeepAlive(f)
	return uintptr(raw)
}

// Package abi reads and writes C values in a guest's memory and fits host functions to the signatures that guests import them with.
//
// One C prototype has several WebAssembly signatures: pointers and sizes are
// i32 in a 32-bit memory and i64 in a 64-bit one, and toolchains that can't
// pass an i64 to a host split it into two i32. A pattern names the prototype,
// and Match says which of its signatures a module uses.
package abi

import (
	"encoding/binary"
	"strings"

	"aorta/vm/wasm"
)

// Mem is a guest's memory during one host function. Reads outside of it
// return zero, writes outside of it do nothing, and both set Fault, so a
// function can do its work and look once.
type Mem struct {
	Bytes []byte
	// Wide says that pointers and sizes are 64 bits.
	Wide bool
	// Fault says that something was outside of memory. It stays set.
	Fault bool
}

// Slice is the n bytes at ptr, or nil. Writes to it reach the guest.
func (m *Mem) Slice(ptr, n uint64) []byte {
	size := uint64(len(m.Bytes))
	if ptr > size || n > size-ptr {
		m.Fault = true
		return nil
	}
	return m.Bytes[ptr : ptr+n : ptr+n]
}

// U8 reads a byte.
func (m *Mem) U8(ptr uint64) uint8 {
	if b := m.Slice(ptr, 1); b != nil {
		return b[0]
	}
	return 0
}

// U16 reads 2 bytes.
func (m *Mem) U16(ptr uint64) uint16 {
	if b := m.Slice(ptr, 2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// U32 reads 4 bytes.
func (m *Mem) U32(ptr uint64) uint32 {
	if b := m.Slice(ptr, 4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// I32 reads a C int.
func (m *Mem) I32(ptr uint64) int32 { return int32(m.U32(ptr)) }

// U64 reads 8 bytes.
func (m *Mem) U64(ptr uint64) uint64 {
	if b := m.Slice(ptr, 8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// PutU8 writes a byte.
func (m *Mem) PutU8(ptr uint64, v uint8) {
	if b := m.Slice(ptr, 1); b != nil {
		b[0] = v
	}
}

// PutU16 writes 2 bytes.
func (m *Mem) PutU16(ptr uint64, v uint16) {
	if b := m.Slice(ptr, 2); b != nil {
		binary.LittleEndian.PutUint16(b, v)
	}
}

// PutU32 writes 4 bytes.
func (m *Mem) PutU32(ptr uint64, v uint32) {
	if b := m.Slice(ptr, 4); b != nil {
		binary.LittleEndian.PutUint32(b, v)
	}
}

// PutI32 writes a C int.
func (m *Mem) PutI32(ptr uint64, v int32) { m.PutU32(ptr, uint32(v)) }

// PutU64 writes 8 bytes.
func (m *Mem) PutU64(ptr uint64, v uint64) {
	if b := m.Slice(ptr, 8); b != nil {
		binary.LittleEndian.PutUint64(b, v)
	}
}

// PtrSize is the size of a pointer in bytes.
func (m *Mem) PtrSize() uint64 {
	if m.Wide {
		return 8
	}
	return 4
}

// Ptr reads a pointer or a size.
func (m *Mem) Ptr(ptr uint64) uint64 {
	if m.Wide {
		return m.U64(ptr)
	}
	return uint64(m.U32(ptr))
}

// PutPtr writes a pointer or a size.
func (m *Mem) PutPtr(ptr, v uint64) {
	if m.Wide {
		m.PutU64(ptr, v)
		return
	}
	m.PutU32(ptr, uint32(v))
}

// CString is the bytes from ptr to the NUL, which must come within max bytes.
// A null pointer is an empty string. Whatever has no end is a fault.
func (m *Mem) CString(ptr uint64, max int) string {
	if ptr == 0 {
		return ""
	}
	if ptr > uint64(len(m.Bytes)) {
		m.Fault = true
		return ""
	}
	rest := m.Bytes[ptr:]
	if len(rest) > max+1 {
		rest = rest[:max+1]
	}
	for i, c := range rest {
		if c == 0 {
			return string(rest[:i])
		}
	}
	m.Fault = true
	return ""
}

// A pattern is the parameters of a C prototype, a colon and its results, one
// letter each: i for a 32-bit integer, l for a 64-bit one, p for a pointer or
// size, d for a double.

// Shape says how a signature writes a pattern.
type Shape struct {
	// Wide says that p is i64. Of a pattern without p it says nothing.
	Wide bool
	// Split says that l is two i32, the low one first; as a result it is the
	// low one, and the high one travels beside it.
	Split bool

	params string
	blind  bool // there is no p
}

// Match returns the shape in which t writes the pattern, if it does.
func Match(pattern string, t wasm.FuncType) (Shape, bool) {
	params, results, _ := strings.Cut(pattern, ":")
	for _, s := range [...]Shape{{}, {Wide: true}, {Split: true}} {
		if s.fits(params, t.Params, true) && s.fits(results, t.Results, false) {
			s.params, s.blind = params, strings.IndexByte(pattern, 'p') < 0
			return s, true
		}
	}
	return Shape{}, false
}

func (s Shape) fits(letters string, types []wasm.ValueType, param bool) bool {
	at := 0
	next := func(v wasm.ValueType) bool {
		ok := at < len(types) && types[at] == v
		at++
		return ok
	}
	for _, c := range letters {
		ok := false
		switch c {
		case 'i':
			ok = next(wasm.I32)
		case 'd':
			ok = next(wasm.F64)
		case 'p':
			if s.Wide {
				ok = next(wasm.I64)
			} else {
				ok = next(wasm.I32)
			}
		case 'l':
			switch {
			case !s.Split:
				ok = next(wasm.I64)
			case param:
				low, high := next(wasm.I32), next(wasm.I32)
				ok = low && high
			default:
				ok = next(wasm.I32)
			}
		}
		if !ok {
			return false
		}
	}
	return at == len(types)
}

// MaxArgs is the largest number of parameters that a pattern may have.
const MaxArgs = 12

// Args returns the arguments as the pattern numbers them, using buf if they
// have to be put together.
func (s *Shape) Args(args []uint64, buf *[MaxArgs]uint64) []uint64 {
	if !s.Split {
		return args
	}
	at := 0
	for i := range len(s.params) {
		if s.params[i] == 'l' {
			buf[i] = args[at]&0xffffffff | args[at+1]<<32
			at++
		} else {
			buf[i] = args[at]
		}
		at++
	}
	return buf[:len(s.params)]
}

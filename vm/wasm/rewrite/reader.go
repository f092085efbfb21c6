package rewrite

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Kind says why a module was refused.
type Kind string

// The kinds of refusal.
const (
	// Malformed modules aren't WebAssembly.
	Malformed Kind = "malformed"
	// Oversize modules are over one of the limits.
	Oversize Kind = "oversize"
	// Unsupported modules use what this node doesn't run.
	Unsupported Kind = "unsupported"
)

// Error says why a module was refused.
type Error struct {
	Kind Kind
	// Offset is where in the binary, in bytes.
	Offset int
	What   string
}

func (e *Error) Error() string {
	if e.Offset > 0 {
		return fmt.Sprintf("%s module: %s (at byte %d)", e.Kind, e.What, e.Offset)
	}
	return fmt.Sprintf("%s module: %s", e.Kind, e.What)
}

// reader reads the binary format. It panics with an *Error, which Rewrite
// recovers: every read can fail, and none can be continued from.
type reader struct {
	data   []byte
	at     int // next byte
	offset int // of data within the module
}

func (r *reader) fail(kind Kind, format string, args ...any) {
	panic(&Error{Kind: kind, Offset: r.offset + r.at, What: fmt.Sprintf(format, args...)})
}

// shown is a name of the module's, fit for a line of text.
func shown(name string) string {
	if len(name) > 100 {
		name = name[:100] + "…"
	}
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

func (r *reader) left() int { return len(r.data) - r.at }

func (r *reader) byte() byte {
	if r.at >= len(r.data) {
		r.fail(Malformed, "it ends too early")
	}
	b := r.data[r.at]
	r.at++
	return b
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > r.left() {
		r.fail(Malformed, "it ends too early: %d bytes are wanted, %d are left", n, r.left())
	}
	b := r.data[r.at : r.at+n : r.at+n]
	r.at += n
	return b
}

func (r *reader) unsigned(bits int) uint64 {
	var v uint64
	for shift := 0; ; shift += 7 {
		b := r.byte()
		if shift >= bits || shift+7 > bits && uint64(b&0x7f)>>(bits-shift) != 0 {
			r.fail(Malformed, "a number has more than %d bits", bits)
		}
		v |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			return v
		}
	}
}

func (r *reader) u32() uint32 { return uint32(r.unsigned(32)) }
func (r *reader) u64() uint64 { return r.unsigned(64) }

func (r *reader) signed(bits int) int64 {
	var v int64
	for shift := 0; ; {
		b := r.byte()
		v |= int64(b&0x7f) << shift
		shift += 7
		if b&0x80 == 0 {
			if shift < 64 {
				v = v << (64 - shift) >> (64 - shift)
			}
			if bits < 64 && (v >= 1<<(bits-1) || v < -1<<(bits-1)) {
				r.fail(Malformed, "a number has more than %d bits", bits)
			}
			return v
		}
		if shift >= bits {
			r.fail(Malformed, "a number has more than %d bits", bits)
		}
	}
}

// count reads the length of a list whose items take at least a byte each.
func (r *reader) count(what string, limit int) int {
	n := r.u32()
	if int64(n) > int64(limit) {
		r.fail(Oversize, "it has %d %s; at most %d are accepted", n, what, limit)
	}
	if int64(n) > int64(r.left()) {
		r.fail(Malformed, "it announces %d %s in %d bytes", n, what, r.left())
	}
	return int(n)
}

func (r *reader) name(limit int) string {
	n := r.u32()
	if int64(n) > int64(limit) {
		r.fail(Oversize, "a name has %d bytes; at most %d are accepted", n, limit)
	}
	b := r.bytes(int(n))
	if !utf8.Valid(b) {
		r.fail(Malformed, "a name isn't UTF-8")
	}
	return string(b)
}

func (r *reader) valueType() ValueType {
	switch t := ValueType(r.byte()); t {
	case I32, I64, F32, F64, V128, FuncRef, ExternRef, ExnRef:
		return t
	default:
		r.at--
		r.fail(Unsupported, "it uses a value type (%#x) that this node doesn't run", byte(t))
		return 0
	}
}

func appendU(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

func appendS(dst []byte, v int64) []byte {
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(dst, b)
		}
		dst = append(dst, b|0x80)
	}
}

func appendName(dst []byte, s string) []byte {
	return append(appendU(dst, uint64(len(s))), s...)
}

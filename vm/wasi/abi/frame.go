package abi

import "aorta/vm/wasm"

// Frame is one call of a host function: its arguments, numbered as the
// pattern numbers them, and the guest's memory.
type Frame struct {
	Mem
	Guest wasm.Guest
	Args  []uint64
	// Result is what the function returns, if it returns something.
	Result uint64
	// Split says that the guest expects the high half of a 64-bit result
	// beside it.
	Split bool

	buf [MaxArgs]uint64
}

// Int is an argument as a C int.
func (f *Frame) Int(i int) int { return int(int32(f.Args[i])) }

// Word is the low 32 bits of an argument.
func (f *Frame) Word(i int) uint32 { return uint32(f.Args[i]) }

// Renew makes Mem the memory as it is after the guest ran or memory grew.
func (f *Frame) Renew() { f.Bytes = f.Guest.Memory() }

// Frames lends frames, so that calls needn't allocate. The zero value is ready.
type Frames struct{ idle *Frame }

// Bind makes a host function for that shape of a pattern.
func (p *Frames) Bind(s Shape, fn func(*Frame) error) wasm.HostFunc {
	return func(g wasm.Guest, args, results []uint64) error {
		f := p.idle
		p.idle = nil // a call within this call takes another
		if f == nil {
			f = new(Frame)
		}
		f.Mem = Mem{Bytes: g.Memory(), Wide: s.Wide || s.blind && g.Memory64()}
		f.Guest, f.Result, f.Split = g, 0, s.Split
		f.Args = s.Args(args, &f.buf)
		err := fn(f)
		if len(results) > 0 {
			results[0] = f.Result
		}
		f.Mem, f.Guest, f.Args = Mem{}, nil, nil
		p.idle = f
		return err
	}
}

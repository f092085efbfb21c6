package vfs

import "aorta/vm"

// Output is what a guest printed in one call.
type Output struct {
	buf []byte
	max uint64
}

// Write appends p, or ends the call with a *vm.LimitError.
func (o *Output) Write(p []byte) error {
	if used := uint64(len(o.buf)) + uint64(len(p)); used > o.max {
		return &vm.LimitError{Kind: vm.LimitOutput, Max: o.max, Used: used}
	}
	o.buf = append(o.buf, p...)
	return nil
}

// WriteString is Write for text.
func (o *Output) WriteString(s string) error { return o.Write([]byte(s)) }

// Bytes is what was printed since the call began. It is valid until the next
// call begins.
func (o *Output) Bytes() []byte { return o.buf }

// maxIdleOutput is how much room for output is kept between calls: what
// ordinary calls print fits, and an instance that once printed a lot doesn't
// hold on to it.
const maxIdleOutput = 64 << 10

func (o *Output) begin(max uint64) {
	o.max = max
	if cap(o.buf) > maxIdleOutput {
		o.buf = nil
	}
	o.buf = o.buf[:0]
}

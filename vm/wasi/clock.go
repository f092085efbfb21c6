package wasi

import (
	"math"
	"math/bits"

	"aorta/vm/vfs"
	"aorta/vm/wasi/abi"
)

// The clocks. Times are in nanoseconds.
const (
	clockRealtime  = 0
	clockMonotonic = 1
	clockProcess   = 2
	clockThread    = 3

	// tick is what reading the monotonic clock adds to it, so that a loop
	// that waits for it ends.
	tick = 1000
	// realtimeRes is the resolution of the call's own time, a millisecond.
	realtimeRes = 1_000_000
)

// realtime is the time of the call and what was slept in it.
func (h *Host) realtime() uint64 {
	if h.env.Time <= 0 {
		return h.slept
	}
	hi, lo := bits.Mul64(uint64(h.env.Time), realtimeRes)
	sum, carry := bits.Add64(lo, h.slept, 0)
	if hi != 0 || carry != 0 {
		return math.MaxUint64
	}
	return sum
}

func (h *Host) read(clock uint32) (uint64, error) {
	switch clock {
	case clockRealtime:
		return h.realtime(), nil
	case clockMonotonic:
		h.ticks += tick
		sum, carry := bits.Add64(h.realtime(), h.ticks, 0)
		if carry != 0 {
			return math.MaxUint64, nil
		}
		return sum, nil
	case clockProcess, clockThread:
		h.ticks += tick
		return h.ticks, nil
	}
	return 0, vfs.EINVAL
}

func clockTime(h *Host, f *abi.Frame) error {
	t, err := h.read(f.Word(0))
	if err != nil {
		return err
	}
	f.PutU64(f.Args[2], t)
	return nil
}

func clockRes(_ *Host, f *abi.Frame) error {
	switch f.Word(0) {
	case clockRealtime:
		f.PutU64(f.Args[1], realtimeRes)
	case clockMonotonic, clockProcess, clockThread:
		f.PutU64(f.Args[1], tick)
	default:
		return vfs.EINVAL
	}
	return nil
}

// Layouts of poll_oneoff, in bytes. They hold no pointers.
const (
	subscriptionSize = 48
	eventSize        = 32

	subscribeClock = 0
	subscribeRead  = 1
	subscribeWrite = 2

	absoluteTime = 1
)

// poll answers subscriptions at once. Files are always ready. If none is
// asked about, the earliest timeout has passed by the time that it returns.
func poll(h *Host, f *abi.Frame) error {
	in, out, n := f.Args[0], f.Args[1], f.Args[2]
	if n == 0 {
		return vfs.EINVAL
	}
	size := uint64(len(f.Bytes))
	if n > size/subscriptionSize || f.Slice(in, n*subscriptionSize) == nil || f.Slice(out, n*eventSize) == nil {
		return vfs.EFAULT
	}
	files, wait := false, uint64(math.MaxUint64)
	for i := range n {
		sub := in + i*subscriptionSize
		switch f.U8(sub + 8) {
		case subscribeClock:
			left, err := h.left(f, sub)
			if err == nil {
				wait = min(wait, left)
			} else {
				wait = 0 // a malformed subscription is an event at once
			}
		case subscribeRead, subscribeWrite:
			files = true
		default:
			return vfs.EINVAL
		}
	}
	if files {
		wait = 0
	}
	events := uint64(0)
	for i := range n {
		sub := in + i*subscriptionSize
		user, tag := f.U64(sub), f.U8(sub+8)
		var errno vfs.Errno
		bytes := uint64(0)
		if tag == subscribeClock {
			left, err := h.left(f, sub)
			if err != nil {
				errno, _ = err.(vfs.Errno)
			} else if left > wait {
				continue
			}
		} else {
			bytes, errno = h.ready(int(int32(f.U32(sub+16))), tag)
		}
		event := out + events*eventSize
		clear(f.Slice(event, eventSize))
		f.PutU64(event, user)
		f.PutU16(event+8, uint16(errno))
		f.PutU8(event+10, tag)
		f.PutU64(event+16, bytes)
		events++
	}
	h.slept += min(wait, math.MaxUint64-h.slept)
	f.PutPtr(f.Args[3], events)
	return nil
}

// left is how long a clock subscription has to wait.
func (h *Host) left(f *abi.Frame, sub uint64) (uint64, error) {
	clock, timeout := f.U32(sub+16), f.U64(sub+24)
	if clock > clockThread {
		return 0, vfs.EINVAL
	}
	if f.U16(sub+40)&absoluteTime == 0 {
		return timeout, nil
	}
	now := h.realtime()
	switch clock {
	case clockMonotonic:
		now += min(h.ticks, math.MaxUint64-now)
	case clockProcess, clockThread:
		now = h.ticks
	}
	if timeout <= now {
		return 0, nil
	}
	return timeout - now, nil
}

// ready is how much can be read from a file, or why it can't be asked.
func (h *Host) ready(fd int, tag uint8) (uint64, vfs.Errno) {
	s, err := h.fs.Stat(fd)
	if err != nil {
		return 0, vfs.EBADF
	}
	if tag == subscribeWrite || s.Kind != vfs.File {
		return 0, 0
	}
	at, err := h.fs.Seek(fd, 0, vfs.SeekCurrent)
	if err != nil || at > s.Size {
		return 0, 0
	}
	return uint64(s.Size - at), 0
}

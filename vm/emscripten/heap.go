package emscripten

import (
	"math"
	"strconv"

	"aorta/vm"
	"aorta/vm/vfs"
	"aorta/vm/wasi/abi"
)

const wasmPage = 64 << 10

// The largest heaps in the loader's formats, in bytes.
const (
	heapMax64 = 16 << 30
	heapMax32 = 4<<30 - wasmPage
	heapMax2  = 500 << 20
)

func (h *Host) heapMax(f *abi.Frame) uint64 {
	switch {
	case h.opts.HeapMax != 0:
		return h.opts.HeapMax
	case f.Wide:
		return heapMax64
	case h.generation == 2:
		return heapMax2
	}
	return heapMax32
}

func heapMax(h *Host, f *abi.Frame) error {
	f.Result = h.heapMax(f)
	return nil
}

// resizeHeap grows memory to at least the size asked for, and by a fifth if
// it can, so that it isn't asked often. The arithmetic is JavaScript's.
func resizeHeap(h *Host, f *abi.Frame) error {
	requested := f.Args[0]
	size := uint64(len(f.Bytes))
	limit := h.heapMax(f)
	if requested > limit {
		return h.fs.Stderr.WriteString("Cannot enlarge memory, requested " + strconv.FormatUint(requested, 10) +
			" bytes, but the limit is " + strconv.FormatUint(limit, 10) + " bytes!\n")
	}
	if requested <= size {
		f.Result = 1
		return nil
	}
	var want uint64
	for cut := 1.0; cut <= 4; cut *= 2 {
		want = grown(size, requested, limit, cut)
		pages := (want - size + wasmPage - 1) / wasmPage
		if _, ok := f.Guest.Grow(pages); ok {
			f.Renew()
			f.Result = 1
			return nil
		}
	}
	return h.fs.Stderr.WriteString("Failed to grow the heap from " + strconv.FormatUint(size, 10) + " bytes to " +
		strconv.FormatUint(want, 10) + " bytes, not enough memory!\n")
}

// grown is how large the heap should get. cut makes the reserve smaller.
func grown(size, requested, limit uint64, cut float64) uint64 {
	const maxReserve = 96 << 20
	reserve := 0.2
	// The conversions keep the processor from fusing operations.
	more := float64(float64(size) * float64(1+float64(reserve/cut)))
	more = min(more, float64(requested)+maxReserve)
	more = max(more, float64(requested))
	more += math.Mod(wasmPage-math.Mod(more, wasmPage), wasmPage)
	return uint64(min(more, float64(limit)))
}

// memcpy is the copying of large pieces that modules without bulk memory
// leave to the host.
func memcpy(_ *Host, f *abi.Frame) error {
	to, from := f.Slice(f.Args[0], f.Args[2]), f.Slice(f.Args[1], f.Args[2])
	if f.Fault {
		return &vm.TrapError{Code: vm.TrapMemory, Function: "memcpy"}
	}
	copy(to, from)
	f.Result = f.Args[0]
	return nil
}

// mmap maps a file by copying it into memory of the guest's own allocator.
func mmap(h *Host, f *abi.Frame) error {
	ptr, err := h.mapFile(f, f.Args[0], f.Word(1), f.Word(2), f.Int(3), int64(f.Args[4]))
	if err != nil {
		return err
	}
	f.PutU32(f.Args[5], 1)
	f.PutPtr(f.Args[6], ptr)
	return nil
}

// mmap2 is mmap in the generation that returned the address.
func mmap2(h *Host, f *abi.Frame) error {
	ptr, err := h.mapFile(f, f.Args[0], f.Word(1), f.Word(2), f.Int(3), int64(f.Args[4]))
	if err != nil {
		return err
	}
	f.PutU32(f.Args[5], 1)
	f.Result = ptr
	return nil
}

const (
	protWrite  = 2
	mapPrivate = 2
)

func (h *Host) mapFile(f *abi.Frame, size uint64, prot, flags uint32, fd int, offset int64) (uint64, error) {
	open, err := h.fs.Flags(fd)
	if err != nil {
		return 0, err
	}
	s, err := h.fs.Stat(fd)
	switch {
	case err != nil:
		return 0, err
	case prot&protWrite != 0 && flags&mapPrivate == 0 && open&3 != vfs.ReadWrite, open&3 == vfs.WriteOnly:
		return 0, vfs.EACCES
	case s.Kind != vfs.File:
		return 0, vfs.ENODEV
	case offset < 0 || size > math.MaxInt64-wasmPage:
		return 0, vfs.EINVAL
	}
	const allocator = "emscripten_builtin_memalign"
	if !f.Guest.HasExport(allocator) {
		return 0, vfs.ENOMEM
	}
	rounded := (size + wasmPage - 1) / wasmPage * wasmPage
	out, err := f.Guest.Call(allocator, wasmPage, rounded)
	f.Renew()
	if err != nil {
		return 0, err
	}
	if len(out) != 1 || out[0] == 0 {
		return 0, vfs.ENOMEM
	}
	p := f.Slice(out[0], rounded)
	if p == nil {
		return 0, vfs.EFAULT
	}
	clear(p)
	if _, err := h.fs.ReadAt(fd, p[:size], offset); err != nil {
		return 0, err
	}
	return out[0], nil
}

// munmap writes back what a shared mapping changed. The guest frees memory.
func munmap(h *Host, f *abi.Frame) error {
	addr, size, prot, flags, fd, offset := f.Args[0], f.Args[1], f.Word(2), f.Word(3), f.Int(4), int64(f.Args[5])
	s, err := h.fs.Stat(fd)
	switch {
	case err != nil:
		return err
	case prot&protWrite == 0:
		return nil
	case s.Kind != vfs.File:
		return vfs.ENODEV
	case flags&mapPrivate != 0:
		return nil
	}
	p := f.Slice(addr, size)
	if f.Fault {
		return vfs.EFAULT
	}
	_, err = h.fs.WriteAt(fd, p, offset)
	return err
}

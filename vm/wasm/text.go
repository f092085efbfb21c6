package wasm

import (
	"bytes"
	"fmt"

	"aorta/vm"
)

// CallText calls an exported function whose parameters and one result are
// pointers to NUL-terminated text, as C has it: the convention of AOS modules'
// handle. Arguments are put on the guest's own stack if it exports the means
// and has the room, and are allocated by its malloc otherwise; either way they
// are freed after the call. The result is copied out, at most maxOutput bytes
// of it.
func CallText(g Guest, name string, args [][]byte, maxOutput uint64) ([]byte, error) {
	room := uint64(0)
	for _, a := range args {
		if bytes.IndexByte(a, 0) >= 0 {
			return nil, &vm.GuestError{What: "text with a zero byte can't be passed to " + name}
		}
		room += uint64(len(a)) + 1 + stackAlign
	}
	place, release, err := textSpace(g, room)
	if err != nil {
		return nil, err
	}
	ptrs := make([]uint64, len(args))
	for i, a := range args {
		if ptrs[i], err = place(uint64(len(a)) + 1); err != nil {
			return nil, err
		}
		mem := g.Memory()
		if !within(mem, ptrs[i], uint64(len(a))+1) {
			return nil, &vm.GuestError{What: "it allocated memory that it doesn't have"}
		}
		copy(mem[ptrs[i]:], a)
		mem[ptrs[i]+uint64(len(a))] = 0
	}
	res, err := g.Call(name, ptrs...)
	if err != nil {
		return nil, err
	}
	if len(res) != 1 {
		return nil, &SignatureError{name, "it doesn't return one pointer"}
	}
	text, err := readText(g.Memory(), res[0], maxOutput)
	if err != nil {
		return nil, fmt.Errorf("result of %s: %w", name, err)
	}
	text = bytes.Clone(text)
	return text, release()
}

const (
	// stackAlign is what compilers align stack allocations to, in bytes.
	stackAlign = 16
	// stackShare is the part of the free stack that arguments may take, so
	// that the guest keeps most of it.
	stackShare = 4
)

// textSpace returns a way to get pieces of guest memory, room bytes in all,
// and a way to give them all back.
func textSpace(g Guest, room uint64) (place func(uint64) (uint64, error), release func() error, err error) {
	one := func(name string, args ...uint64) (uint64, error) {
		r, err := g.Call(name, args...)
		if err != nil {
			return 0, err
		}
		if len(r) != 1 {
			return 0, &SignatureError{name, "it doesn't return one value"}
		}
		return r[0], nil
	}
	if g.HasExport("_emscripten_stack_alloc") && g.HasExport("_emscripten_stack_restore") &&
		g.HasExport("emscripten_stack_get_current") && g.HasExport("emscripten_stack_get_free") {
		free, err := one("emscripten_stack_get_free")
		if err != nil {
			return nil, nil, err
		}
		if room <= free/stackShare {
			top, err := one("emscripten_stack_get_current")
			if err != nil {
				return nil, nil, err
			}
			place = func(n uint64) (uint64, error) { return one("_emscripten_stack_alloc", n) }
			release = func() error {
				_, err := g.Call("_emscripten_stack_restore", top)
				return err
			}
			return place, release, nil
		}
	}
	var taken []uint64
	place = func(n uint64) (uint64, error) {
		p, err := one("malloc", n)
		if err != nil {
			return 0, err
		}
		if p == 0 {
			return 0, &vm.GuestError{What: fmt.Sprintf("it has no room for a message of %d bytes", n)}
		}
		taken = append(taken, p)
		return p, nil
	}
	release = func() error {
		if !g.HasExport("free") {
			return nil
		}
		for _, p := range taken {
			if _, err := g.Call("free", p); err != nil {
				return err
			}
		}
		return nil
	}
	return place, release, nil
}

func within(mem []byte, ptr, n uint64) bool {
	return ptr <= uint64(len(mem)) && n <= uint64(len(mem))-ptr
}

// readText returns the NUL-terminated text at ptr.
func readText(mem []byte, ptr, maxOutput uint64) ([]byte, error) {
	if ptr == 0 || ptr >= uint64(len(mem)) {
		return nil, &vm.GuestError{What: fmt.Sprintf("it returned a pointer (%#x) outside its memory of %d bytes", ptr, len(mem))}
	}
	rest := mem[ptr:]
	if uint64(len(rest)) > maxOutput+1 {
		rest = rest[:maxOutput+1]
	}
	n := bytes.IndexByte(rest, 0)
	switch {
	case n >= 0:
		return rest[:n], nil
	case uint64(len(rest)) > maxOutput:
		return nil, &vm.LimitError{Kind: vm.LimitOutput, Max: maxOutput, Used: uint64(len(rest))}
	}
	return nil, &vm.GuestError{What: "it returned text without an end"}
}

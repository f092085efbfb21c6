package wasm

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"aorta/vm"
	"aorta/vm/image"
)

// New returns an instance in the module's initial state, marked. hosts answer
// its imports, the first that knows an import winning; each Host serves this
// instance alone. Unknown imports are an *ImportError. limits bound what the
// module does as it starts, init included.
//
// init names exported functions without parameters that are called, in order,
// before the state counts as initial; names that the module doesn't export
// are passed over. They run once per module: every instance of a module must
// be given the same init, and hosts of the same kind.
func (m *Module) New(ctx context.Context, hosts []Host, limits vm.Limits, init ...string) (*Instance, error) {
	in, err := m.bare(ctx, hosts, limits)
	if err != nil {
		return nil, err
	}
	if err := in.initialize(ctx, limits, init); err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// bare returns an instance as the engine makes it.
func (m *Module) bare(ctx context.Context, hosts []Host, limits vm.Limits) (*Instance, error) {
	limits = limits.WithDefaults()
	if mem := m.info.Memory; mem != nil && mem.Min > limits.Memory/wasmPage {
		return nil, fmt.Errorf("the module starts with %d MiB of memory, the limit is %d: %w", mem.Min*wasmPage>>20, limits.Memory>>20,
			&vm.LimitError{Kind: vm.LimitMemory, Max: limits.Memory, Used: mem.Min * wasmPage})
	}
	calls, err := m.bind(hosts)
	if err != nil {
		return nil, err
	}
	in := &Instance{mod: m, hosts: hosts, calls: calls, counts: make([]uint64, len(calls))}
	for _, h := range hosts {
		h.Begin(vm.Env{}, limits)
	}
	if err := in.start(ctx, limits); err != nil {
		in.Close()
		return nil, fmt.Errorf("instantiate: %w", err)
	}
	return in, nil
}

func (in *Instance) initialize(ctx context.Context, limits vm.Limits, init []string) error {
	in.mod.initial.Lock()
	defer in.mod.initial.Unlock()
	if b := in.mod.base; b != nil {
		return in.adopt(b.back, b.rest)
	}
	_, err := in.Run(ctx, vm.Env{}, limits, func(g Guest) error {
		for _, name := range init {
			t, ok := in.mod.Export(name)
			if !ok || len(t.Params) > 0 {
				continue
			}
			if _, err := g.Call(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	rest, err := in.capture()
	if err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	b := &base{rest: rest}
	if in.memory != nil {
		b.back, err = in.mod.engine.space.Capture(in.memory.Data(in.store), in.Size())
	} else {
		b.back, err = in.mod.engine.space.Capture(nil, 0)
	}
	if err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	if err := in.adopt(b.back, b.rest); err != nil {
		b.back.Release()
		return err
	}
	in.mod.base = b
	return nil
}

// adopt makes the instance, whose memory may be smaller, have that state,
// marked. It takes a reference to back.
func (in *Instance) adopt(back *image.Backing, rest *residue) error {
	if in.memory != nil {
		if more := back.Size() - in.Size(); more > 0 {
			if _, err := in.memory.Grow(in.store, uint64(more/wasmPage)); err != nil {
				return fmt.Errorf("grow memory to %d bytes: %s", back.Size(), firstLine(err.Error()))
			}
		}
		var base unsafe.Pointer
		if in.Size() > 0 {
			base = in.memory.Data(in.store)
		}
		img, err := in.mod.engine.space.Attach(base, in.Size(), back)
		if err != nil {
			return err
		}
		if in.image != nil {
			in.image.Detach()
		}
		in.image = img
	} else if back.Size() > 0 {
		return errors.New("the state has memory, the module none")
	}
	if err := in.apply(rest); err != nil {
		return err
	}
	in.marked, in.dirty = rest, 0
	return nil
}

// remake makes the native instance anew, with that state.
func (in *Instance) remake(back *image.Backing, rest *residue) error {
	in.drop()
	// The module's own start function runs again, and what it did is
	// overwritten. It ran within the defaults before.
	if err := in.start(context.Background(), vm.Limits{Wall: callTime}.WithDefaults()); err != nil {
		return fmt.Errorf("instantiate again: %w", err)
	}
	return in.adopt(back, rest)
}

// Mark makes the present state the one that Rollback returns to. It returns
// how many pages of 4 KiB have changed since the mark before.
func (in *Instance) Mark() (pages int, err error) {
	if in.closed {
		return 0, ErrClosed
	}
	rest, err := in.capture()
	if err != nil {
		return 0, fmt.Errorf("mark: %w", err)
	}
	if in.image != nil {
		if pages, err = in.image.Mark(in.Size()); err != nil {
			return 0, fmt.Errorf("mark: %w", err)
		}
		if in.dirty, err = in.image.Dirty(in.Size()); err != nil {
			return 0, fmt.Errorf("mark: %w", err)
		}
	}
	in.marked = rest
	if in.mod.info.Leaks && in.image != nil {
		// The engine never frees what a throw allocated, so an instance of
		// such a module doesn't live longer than to its mark: a restored one
		// would have room that this one hasn't.
		back := in.image.Backing().Retain()
		defer back.Release()
		if err := in.remake(back, rest); err != nil {
			return 0, fmt.Errorf("mark: %w", err)
		}
	}
	return pages, nil
}

// Rollback returns to the last mark, whatever happened since.
func (in *Instance) Rollback() error {
	if in.closed {
		return ErrClosed
	}
	var err error
	if in.image != nil {
		err = in.image.Rollback(in.Size())
	}
	if err == nil {
		err = in.apply(in.marked)
	}
	in.dirty = 0
	if errors.Is(err, image.ErrGrown) || errors.Is(err, errShrink) {
		var back *image.Backing
		if in.image != nil {
			back = in.image.Backing().Retain()
		} else if back, err = in.mod.engine.space.Capture(nil, 0); err != nil {
			return fmt.Errorf("roll back: %w", err)
		}
		defer back.Release()
		err = in.remake(back, in.marked)
	}
	if err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// Fork returns another instance with the state of the last mark, sharing
// memory with this one until either writes. hosts must be of the same kinds
// as this instance's.
func (in *Instance) Fork(ctx context.Context, hosts []Host) (*Instance, error) {
	if in.closed {
		return nil, ErrClosed
	}
	var back *image.Backing
	if in.image != nil {
		back = in.image.Backing()
	}
	return in.mod.with(ctx, hosts, back, in.marked)
}

// with returns an instance of that state. A nil back is an empty memory.
func (m *Module) with(ctx context.Context, hosts []Host, back *image.Backing, rest *residue) (*Instance, error) {
	in, err := m.bare(ctx, hosts, vm.Limits{Wall: callTime})
	if err != nil {
		return nil, err
	}
	if back == nil {
		if back, err = m.engine.space.Capture(nil, 0); err != nil {
			in.Close()
			return nil, err
		}
		defer back.Release()
	}
	if in.memory != nil && in.Size() > back.Size() {
		err = fmt.Errorf("the state has %d bytes of memory, the module starts with %d", back.Size(), in.Size())
	} else {
		err = in.adopt(back, rest)
	}
	if err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// Footprint is how many bytes of this node's memory the instance takes, about.
func (in *Instance) Footprint() int {
	if in.closed {
		return 0
	}
	const fixed = 256 << 10 // store, handles, hosts
	if in.image == nil {
		return fixed
	}
	return fixed + in.image.Backing().Footprint() + in.dirty*image.PageSize
}

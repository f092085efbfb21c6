package process

import (
	"context"
	"fmt"
	"runtime/debug"

	"aorta/store"
)

// guarded is a machine whose panics are errors. Once it has panicked, or
// failed to mark or roll back, its state can't be trusted: broken says why, and
// all that is left to do is to terminate it.
type guarded struct {
	m      Machine
	broken error
}

func caught(call string, v any) *PanicError {
	return &PanicError{Call: call, Value: fmt.Sprint(v), Stack: debug.Stack()}
}

// initialize builds a machine in the state before slot 0.
func initialize(ctx context.Context, d Device, def *Definition) (g *guarded, err error) {
	defer func() {
		if v := recover(); v != nil {
			g, err = nil, caught("init", v)
		}
	}()
	m, err := d.Init(ctx, def)
	if err != nil {
		return nil, err
	}
	return &guarded{m: m}, nil
}

// normalize builds a machine in the state of snap.
func normalize(ctx context.Context, d Device, def *Definition, snap *Snapshot) (g *guarded, err error) {
	defer func() {
		if v := recover(); v != nil {
			g, err = nil, caught("normalize", v)
		}
	}()
	m, err := d.Normalize(ctx, def, snap)
	if err != nil {
		return nil, err
	}
	return &guarded{m: m}, nil
}

func check(ctx context.Context, c ModuleChecker, module []byte) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = caught("check module", v)
		}
	}()
	return c.CheckModule(ctx, module)
}

func (g *guarded) compute(ctx context.Context, a *Assignment) (o *Outcome, err error) {
	defer func() {
		if v := recover(); v != nil {
			o, err = nil, caught("compute", v)
			g.broken = err
		}
	}()
	return g.m.Compute(ctx, a)
}

func (g *guarded) mark() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = caught("mark", v)
		}
		if err != nil {
			g.broken = err
		}
	}()
	return g.m.Mark()
}

func (g *guarded) rollback() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = caught("rollback", v)
		}
		if err != nil {
			g.broken = err
		}
	}()
	return g.m.Rollback()
}

func (g *guarded) snapshot(ctx context.Context, chunks store.Chunks) (s *Snapshot, err error) {
	defer func() {
		if v := recover(); v != nil {
			s, err = nil, caught("snapshot", v)
			g.broken = err
		}
	}()
	return g.m.Snapshot(ctx, chunks)
}

func (g *guarded) fork(ctx context.Context) (f *guarded, err error) {
	defer func() {
		if v := recover(); v != nil {
			f, err = nil, caught("fork", v)
			g.broken = err
		}
	}()
	m, err := g.m.Fork(ctx)
	if err != nil {
		return nil, err
	}
	return &guarded{m: m}, nil
}

// sizes returns the machine's dirty bytes and footprint.
func (g *guarded) sizes() (dirty, footprint uint64) {
	defer func() {
		if v := recover(); v != nil {
			g.broken = caught("footprint", v)
		}
	}()
	return g.m.Dirty(), g.m.Footprint()
}

func (g *guarded) terminate() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = caught("terminate", v)
		}
	}()
	g.m.Terminate()
	return nil
}

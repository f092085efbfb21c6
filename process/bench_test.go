package process_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"aorta/process"
	"aorta/store"
)

// idleDevice's machines do nothing, so that what a message costs is the
// runtime's part (and the store's in memory).
type idleDevice struct{}

type idleMachine struct{}

func (idleDevice) Init(context.Context, *process.Definition) (process.Machine, error) {
	return idleMachine{}, nil
}

func (idleDevice) Normalize(context.Context, *process.Definition, *process.Snapshot) (process.Machine, error) {
	return idleMachine{}, nil
}

func (idleDevice) Profile() string { return "idle" }

var idleResult = []byte("{}")

func (idleMachine) Compute(context.Context, *process.Assignment) (*process.Outcome, error) {
	return &process.Outcome{Result: idleResult}, nil
}
func (idleMachine) Mark() error     { return nil }
func (idleMachine) Rollback() error { return nil }
func (idleMachine) Snapshot(context.Context, store.Chunks) (*process.Snapshot, error) {
	return &process.Snapshot{Profile: "idle"}, nil
}
func (idleMachine) Fork(context.Context) (process.Machine, error) { return idleMachine{}, nil }
func (idleMachine) Dirty() uint64                                 { return 0 }
func (idleMachine) Footprint() uint64                             { return 1 << 20 }
func (idleMachine) Terminate()                                    {}

// BenchmarkMessage is one message from Assign to its result, one after the other
// in each process.
func BenchmarkMessage(b *testing.B) {
	for _, n := range []int{1, 32} {
		b.Run(fmt.Sprintf("processes=%d", n), func(b *testing.B) { exchange(b, idleRuntime(b, n), n, 1) })
	}
}

// BenchmarkPipeline assigns ahead, and waits for every 256th result.
func BenchmarkPipeline(b *testing.B) {
	for _, n := range []int{1, 32} {
		b.Run(fmt.Sprintf("processes=%d", n), func(b *testing.B) { exchange(b, idleRuntime(b, n), n, 256) })
	}
}

// exchange assigns b.N messages to n processes at once, and waits for every
// ahead-th result of each.
func exchange(b *testing.B, r *process.Runtime, n, ahead int) {
	data := []byte(`{"Action":"Eval","Data":"1+1"}`)
	each := max(b.N/n, 1)
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for j := range each {
				a, err := r.Assign(ctx, id(i), process.Message{Data: data})
				if err == nil && (j%ahead == ahead-1 || j == each-1) {
					_, err = r.Result(ctx, id(i), a.Slot)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func idleRuntime(b *testing.B, n int) *process.Runtime {
	r, err := process.Open(ctx, newMemStore(), process.Options{Devices: map[string]process.Device{fakeName: idleDevice{}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := r.Close(ctx); err != nil {
			b.Error(err)
		}
	})
	for i := range n {
		if err := r.Spawn(ctx, definition(i), module); err != nil {
			b.Fatal(err)
		}
	}
	return r
}

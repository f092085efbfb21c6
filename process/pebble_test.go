package process_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"aorta/process"
	"aorta/process/processtest"
	"aorta/store"
	"aorta/store/pebble"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func openPebble(t testing.TB, dir string, fs vfs.FS) *pebble.Store {
	t.Helper()
	st, err := pebble.Open(dir, pebble.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestFakeDeviceConformsOverTheEmbeddedStore(t *testing.T) {
	processtest.Run(t, processtest.Config{
		Store:      func(t testing.TB) store.Store { return openPebble(t, t.TempDir(), nil) },
		Device:     func(_ testing.TB, st store.Store) process.Device { return newFakeDevice(st) },
		Definition: *definition(1),
		Module:     module,
		Messages: []processtest.Message{
			{Data: []byte("set a 1")}, {Data: []byte("add 4")}, {Data: []byte("fail x"), Fails: true}, {Data: []byte("get a")},
		},
	})
}

// TestEmbeddedStoreKeepsWhatWasAcknowledged pulls the plug of a disk under a
// runtime that is busy, again and again.
func TestEmbeddedStoreKeepsWhatWasAcknowledged(t *testing.T) {
	const (
		crashes   = 12
		processes = 4
		messages  = 15
	)
	fs := vfs.NewCrashableMem()
	acked := map[uint64]*process.Assignment{}
	for round := range crashes {
		st := openPebble(t, "data", fs)
		d := newFakeDevice(st)
		r, err := process.Open(ctx, st, process.Options{
			Devices: map[string]process.Device{fakeName: d}, MaxResident: 2,
			Checkpoint: process.CheckpointPolicy{Slots: 4},
		})
		if err != nil {
			t.Fatal(err)
		}
		var (
			wg   sync.WaitGroup
			left *vfs.MemFS
		)
		for i := range processes {
			if err := r.Spawn(ctx, definition(i), module); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				for j := range messages {
					line := fmt.Sprintf("add %d", round*messages+j)
					if j%5 == 4 {
						line = "fail"
					}
					a, err := r.Assign(ctx, id(i), process.Message{Data: []byte(line)})
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := r.Result(ctx, id(i), a.Slot); err != nil {
						t.Error(err)
						return
					}
					if i != 0 {
						continue
					}
					// Process 0 pulls the plug, so it knows what was before.
					acked[a.Slot] = a
					if j == messages/2+round%4 {
						left = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: round * 9, RNG: rand.New(rand.NewPCG(uint64(round), 1))})
						return
					}
				}
			})
		}
		wg.Wait()
		// What comes after the crash is closed over the old disk.
		if err := errors.Join(r.Close(ctx), st.Close()); err != nil {
			t.Fatal(err)
		}
		if made, ended := d.made.Load(), d.ended.Load(); made != ended {
			t.Errorf("%d machines were made, %d ended", made, ended)
		}
		fs = left
	}

	st := openPebble(t, "data", fs)
	r, err := process.Open(ctx, st, process.Options{Devices: map[string]process.Device{fakeName: newFakeDevice(st)}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range processes {
		o := newModel()
		n := uint64(0)
		for rec, err := range st.Records(ctx, "process/"+id(i), 0) {
			if err != nil {
				t.Fatal(err)
			}
			res, err := r.Result(ctx, id(i), rec.Slot)
			if err != nil {
				t.Fatal(err)
			}
			a := &process.Assignment{Slot: rec.Slot}
			for s, err := range r.Slots(ctx, id(i), rec.Slot) {
				if err != nil {
					t.Fatal(err)
				}
				a.Timestamp, a.Message = s.Timestamp, rec.Data[len(rec.Data)-s.MessageBytes:]
				break
			}
			o.apply(a)
			if string(res.Data) != o.results[n] {
				t.Errorf("process %d slot %d came to %q, want %q", i, n, res.Data, o.results[n])
			}
			if was := acked[n]; i == 0 && was != nil && (string(was.Message) != string(a.Message) || was.Timestamp != a.Timestamp) {
				t.Errorf("process %d slot %d is %q, acknowledged was %q", i, n, a.Message, was.Message)
			}
			n++
		}
		for slot := range acked {
			if i == 0 && slot >= n {
				t.Errorf("acknowledged slot %d is lost", slot)
			}
		}
		c, err := r.Checkpoint(ctx, id(i))
		if err != nil || c.Root != o.root() {
			t.Errorf("process %d: root %v, %v", i, c, err)
		}
		report, err := r.Replay(ctx, id(i), process.ReplayOptions{Verify: true})
		if err != nil || report.Mismatch != nil || report.Results != n {
			t.Errorf("process %d: replay %+v, %v", i, report, err)
		}
	}
	if err := errors.Join(r.Close(ctx), st.Close()); err != nil {
		t.Error(err)
	}
}

// BenchmarkEmbeddedStore is BenchmarkMessage over the embedded store: what
// durability adds.
func BenchmarkEmbeddedStore(b *testing.B) {
	for _, n := range []int{1, 32} {
		b.Run(fmt.Sprintf("processes=%d", n), func(b *testing.B) {
			st := openPebble(b, b.TempDir(), nil)
			r, err := process.Open(ctx, st, process.Options{Devices: map[string]process.Device{fakeName: idleDevice{}}})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() {
				if err := errors.Join(r.Close(ctx), st.Close()); err != nil {
					b.Error(err)
				}
			})
			for i := range n {
				if err := r.Spawn(ctx, definition(i), module); err != nil {
					b.Fatal(err)
				}
			}
			exchange(b, r, n, 1)
		})
	}
}

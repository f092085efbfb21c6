package process_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"aorta/process"
	"aorta/store"
)

func TestReplayComparesEverything(t *testing.T) {
	b, p, o := twelve(t)
	b = reopen(t, b.store, b.opts)
	var progress []uint64
	report, err := b.Replay(ctx, p, process.ReplayOptions{Verify: true, Progress: func(done, total uint64) {
		progress = append(progress, done, total)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if report.Mismatch != nil || report.Start != 0 || report.Slots != 12 || report.Results != 12 || report.Roots != 3 || report.Root != o.root() {
		t.Errorf("report %+v", report)
	}
	if want := []uint64{0, 12, 12, 12}; !slices.Equal(progress, want) {
		t.Errorf("progress %v", progress)
	}

	part, err := b.Replay(ctx, p, process.ReplayOptions{From: 6, To: 10, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	if part.Mismatch != nil || part.Start != 4 || part.Slots != 6 || part.Results != 4 || part.Roots != 1 {
		t.Errorf("report %+v", part)
	}
	delete(b.store.now.chunks, newestIndex(t, b, p))
	if again, err := b.Replay(ctx, p, process.ReplayOptions{From: 12}); err != nil || again.Start != 8 || again.Root != o.root() {
		t.Errorf("with a damaged checkpoint: %+v, %v", again, err)
	}
	blind, err := b.Replay(ctx, p, process.ReplayOptions{})
	if err != nil || blind.Results != 0 || blind.Roots != 0 || blind.Slots != 12 || blind.Root != o.root() {
		t.Errorf("report %+v, %v", blind, err)
	}
}

// newestIndex returns the index chunk of the newest checkpoint.
func newestIndex(t *testing.T, b *bench, p string) store.Hash {
	info, err := b.Inspect(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	return store.Hash(info.Checkpoint.Manifest)
}

func TestReplayFindsTheFirstDifference(t *testing.T) {
	resultLink := func(p string, slot uint64) string { return fmt.Sprintf("result/%s/%020d", p, slot) }
	for _, test := range []struct {
		name   string
		change func(t *testing.T, b *bench, p string)
		slot   uint64
		what   string
	}{
		{"another result", func(_ *testing.T, b *bench, p string) {
			b.device.setHook(func(call string, m *fakeMachine, a *process.Assignment) error {
				if call == "compute" && a.Slot == 7 {
					m.now.data["k7"] = "x"
				}
				return nil
			})
		}, 7, "result"},
		{"another state", func(_ *testing.T, b *bench, _ string) {
			b.device.setHook(func(call string, m *fakeMachine, a *process.Assignment) error {
				if call == "compute" && a.Slot == 5 {
					m.now.data["secret"] = "x"
				}
				return nil
			})
		}, 7, "root"},
		{"another message in the log", func(_ *testing.T, b *bench, p string) {
			log := b.store.now.logs["process/"+p]
			log[2] = append(log[2][:len(log[2])-1:len(log[2])-1], '9')
		}, 2, "hash-chain"},
		{"another recorded result", func(t *testing.T, b *bench, p string) {
			// Slot 4's under the name of slot 3.
			b.store.now.links[resultLink(p, 3)] = b.store.now.links[resultLink(p, 4)]
		}, 3, "result"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, p, _ := twelve(t)
			b = reopen(t, b.store, b.opts)
			test.change(t, b, p)
			report, err := b.Replay(ctx, p, process.ReplayOptions{Verify: true})
			if err != nil {
				t.Fatal(err)
			}
			m := report.Mismatch
			if m == nil || m.Slot != test.slot || m.What != test.what || m.Recorded == m.Computed {
				t.Errorf("mismatch %+v, want %s at slot %d", m, test.what, test.slot)
			}
			if live := b.device.live.Load(); live != 0 {
				t.Errorf("%d machines are left", live)
			}
		})
	}
}

func TestReplayRunsBesideTheLiveProcess(t *testing.T) {
	b := newBench(t, process.Options{MaxResident: 2})
	p := b.spawn(1)
	for range 50 {
		b.say(p, "add 1")
	}
	done := make(chan error)
	go func() {
		report, err := b.Replay(ctx, p, process.ReplayOptions{Verify: true})
		if err == nil && report.Mismatch != nil {
			err = fmt.Errorf("mismatch %+v", report.Mismatch)
		}
		done <- err
	}()
	for range 50 {
		b.say(p, "add 1")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestReplayEndsWithItsContext(t *testing.T) {
	b, p, _ := twelve(t)
	b = reopen(t, b.store, b.opts)
	c, cancel := context.WithCancel(ctx)
	b.device.setHook(func(call string, _ *fakeMachine, a *process.Assignment) error {
		if call == "compute" && a.Slot == 5 {
			cancel()
		}
		return nil
	})
	_, err := b.Replay(c, p, process.ReplayOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	wantCode(t, err, 503, process.CodeCanceled)
}

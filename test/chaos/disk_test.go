package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"aorta/device/jsoniface"
	"aorta/node"
	"aorta/process"
	"aorta/store/pebble"
	"aorta/test/modules"
	"aorta/vm/wasm"
)

// lives is how often the machine loses power, each time with other faults.
const lives = 40

// host is a machine whose disk can fail: what its lives have in common.
type host struct {
	*testing.T
	rnd    *rand.Rand
	disk   *vfs.MemFS
	engine *wasm.Engine
	module []byte
	acks   map[string]uint64 // slot by message id
	next   int
	faults int
}

// live runs a node on the disk until it fails, or has done enough, and then
// cuts the power.
func (h *host) live() {
	var left atomic.Int64
	failing := h.rnd.IntN(3) > 0
	left.Store(int64(20 + h.rnd.IntN(400)))
	fail := []error{syscall.ENOSPC, syscall.EIO}[h.rnd.IntN(2)]
	fs := errorfs.Wrap(h.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if failing && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && left.Add(-1) < 0 {
			return fail
		}
		return nil
	}))
	crashed := h.disk
	err := h.work(fs, func() {
		crashed = h.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: h.rnd.IntN(101), RNG: rand.New(rand.NewPCG(h.rnd.Uint64(), 1))})
	})
	if err != nil {
		h.faults++
		if !failing {
			h.Fatalf("a node on a good disk failed: %v", err)
		}
	}
	h.disk = crashed
}

// work opens a node, sends messages, and calls cut before the node notices
// that it is over.
func (h *host) work(fs vfs.FS, cut func()) (err error) {
	ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
	defer cancel()
	defer func() {
		if cut != nil {
			cut()
		}
	}()
	st, err := pebble.Open("data", pebble.Options{FS: fs})
	if err != nil {
		return err
	}
	defer st.Close()
	rt, err := process.Open(ctx, st, process.Options{
		Devices:    map[string]process.Device{jsoniface.Name: jsoniface.New(h.engine, st)},
		Checkpoint: process.CheckpointPolicy{Slots: uint64(1 + h.rnd.IntN(8))},
		Attempts:   1,
	})
	if err != nil {
		return err
	}
	defer rt.Close(ctx)
	// The power goes before anything is closed.
	defer func() { cut(); cut = nil }()
	n := &node.Node{Store: st, Runtime: rt}
	def, err := n.Ensure(ctx, node.Local{Module: h.module, Name: "disk"})
	if err != nil {
		return err
	}
	for range 1 + h.rnd.IntN(30) {
		id := fmt.Sprintf("message-%035d", h.next)
		h.next++
		lua := "N = (N or 0) + 1; return N"
		if h.next%5 == 0 {
			lua = "N = N + 1000; error('no trace of this')"
		}
		msg, err := json.Marshal(map[string]any{"Id": id, "Tags": []process.Tag{{Name: "Action", Value: "Eval"}}, "Data": lua})
		if err != nil {
			return err
		}
		a, err := rt.Assign(ctx, def.ID, process.Message{Data: msg})
		if err != nil {
			return err
		}
		h.acks[id] = a.Slot
		if h.rnd.IntN(4) > 0 {
			if _, err := rt.Result(ctx, def.ID, a.Slot); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestFailingDisksAndPowerCutsLoseNothingAcknowledged(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	e, err := wasm.NewEngine(wasm.Config{CacheDir: filepath.Join(t.TempDir(), "code")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	h := &host{T: t, rnd: rand.New(rand.NewPCG(seed, 2)), disk: vfs.NewCrashableMem(), engine: e, module: modules.Bytes(t, "aos_wamr"), acks: make(map[string]uint64)}
	for range lives {
		h.live()
	}
	if h.faults == 0 || len(h.acks) < lives {
		t.Fatalf("%d faults, %d messages acknowledged: that shows nothing", h.faults, len(h.acks))
	}
	h.verify()
}

// verify compares the log that is left with what was acknowledged, and with
// an uninterrupted run.
func (h *host) verify() {
	st, err := pebble.Open("data", pebble.Options{FS: h.disk})
	if err != nil {
		h.Fatal(err)
	}
	rt, err := process.Open(h.Context(), st, process.Options{Devices: map[string]process.Device{jsoniface.Name: jsoniface.New(h.engine, st)}})
	if err != nil {
		h.Fatal(err)
	}
	defer func() {
		if err := errors.Join(rt.Close(h.Context()), st.Close()); err != nil {
			h.Error(err)
		}
	}()
	id := node.Local{Module: h.module, Name: "disk"}.ProcessID()
	slots := make(map[string]uint64)
	for a, err := range rt.Assignments(h.Context(), id, 0) {
		if err != nil {
			h.Fatal(err)
		}
		var m struct{ Id string }
		if err := json.Unmarshal(a.Message, &m); err != nil {
			h.Fatal(err)
		}
		if _, ok := slots[m.Id]; ok {
			h.Errorf("message %s has two slots", m.Id)
		}
		slots[m.Id] = a.Slot
		if _, err := rt.Result(h.Context(), id, a.Slot); err != nil {
			h.Fatal(err)
		}
	}
	for id, slot := range h.acks {
		if have, ok := slots[id]; !ok || have != slot {
			h.Errorf("message %s was acknowledged at slot %d; the log has it at %d (%v)", id, slot, have, ok)
		}
	}
	report, err := rt.Replay(h.Context(), id, process.ReplayOptions{Verify: true})
	if err != nil {
		h.Fatal(err)
	}
	if report.Mismatch != nil {
		h.Errorf("an uninterrupted run differs: %+v", report.Mismatch)
	}
	h.Logf("%d acknowledged of %d assigned, %d of %d lives ended by a fault; %d results and %d roots are equal to those of an uninterrupted run",
		len(h.acks), len(slots), h.faults, lives, report.Results, report.Roots)
}

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"aorta/node"
	"aorta/process"
	"aorta/test/modules"
)

// holdings are what this program holds of the operating system.
type holdings struct{ goroutines, descriptors, mappings int }

func hold(t *testing.T) holdings {
	t.Helper()
	runtime.GC()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("this system doesn't say what a program holds: %v", err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	images := strings.Count(string(maps), "aorta-image")
	return holdings{runtime.NumGoroutine(), len(fds), images}
}

// resident is this program's memory in use, in bytes.
func resident(t *testing.T) uint64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseUint(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * uint64(os.Getpagesize())
}

// TestAThousandProcessesWithRoomForFifty sends each of 1,000 AOS processes a
// few messages, so that most of them are restored for each.
func TestAThousandProcessesWithRoomForFifty(t *testing.T) {
	const processes, rounds, room, callers = 1000, 2, 50, 8
	// A machine of this module has some 2 MiB in use.
	const bound = 1 << 30
	before := hold(t)
	start := resident(t)
	n, err := node.Open(t.Context(), node.Config{
		Dir:     filepath.Join(t.TempDir(), "data"),
		Process: process.Options{MaxResident: room},
	})
	if err != nil {
		t.Fatal(err)
	}
	module := modules.Bytes(t, "aos_wamr")
	defs := make([]*process.Definition, processes)
	most := uint64(0)
	for round := range rounds {
		var wg sync.WaitGroup
		next := make(chan int)
		for range callers {
			wg.Go(func() {
				for i := range next {
					if err := visit(t.Context(), n, module, defs, i, round); err != nil {
						t.Errorf("process %d, round %d: %v", i, round, err)
					}
				}
			})
		}
		for i := range processes {
			next <- i
			if i%50 == 0 {
				most = max(most, resident(t))
			}
		}
		close(next)
		wg.Wait()
	}
	live := 0
	for id, err := range n.Runtime.Processes(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		info, err := n.Runtime.Inspect(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if info.State == process.StateResident || info.State == process.StateRunning {
			live++
		}
	}
	if live > room {
		t.Errorf("%d machines are in memory; there is room for %d", live, room)
	}
	if most > start+bound {
		t.Errorf("memory grew from %d to %d MiB", start>>20, most>>20)
	}
	t.Logf("%d machines live at the end; memory at most %d MiB", live, most>>20)
	if err := n.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if after := hold(t); after.goroutines > before.goroutines || after.descriptors > before.descriptors || after.mappings > before.mappings {
		t.Errorf("something is left: before %+v, after %+v", before, after)
	}
}

// visit spawns process i in round 0, and makes it count.
func visit(ctx context.Context, n *node.Node, module []byte, defs []*process.Definition, i, round int) error {
	if round == 0 {
		def, err := n.Ensure(ctx, node.Local{Module: module, Name: fmt.Sprint(i)})
		if err != nil {
			return err
		}
		defs[i] = def
	}
	msg, err := json.Marshal(map[string]any{
		"Tags": []process.Tag{{Name: "Action", Value: "Eval"}},
		"Data": fmt.Sprintf("N = (N or %d) + 1; return N", i),
	})
	if err != nil {
		return err
	}
	a, err := n.Runtime.Assign(ctx, defs[i].ID, process.Message{Data: msg})
	if err != nil {
		return err
	}
	res, err := n.Runtime.Result(ctx, defs[i].ID, a.Slot)
	if err != nil {
		return err
	}
	var r struct{ Output struct{ Data string } }
	if err := json.Unmarshal(res.Data, &r); err != nil {
		return err
	}
	if want := fmt.Sprint(i + round + 1); r.Output.Data != want {
		return fmt.Errorf("it counts %q, want %s", r.Output.Data, want)
	}
	return nil
}

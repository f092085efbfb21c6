// Package chaos kills nodes and breaks their disks, and looks for what was lost.
package chaos

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aorta/node"
	"aorta/process"
	"aorta/test/modules"
)

// kills is how often the node is killed.
const kills = 200

// binary builds the command.
func binary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "aorta")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./cmd/aorta")
	cmd.Dir = modules.Root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// ack is what the node printed for a message.
type ack struct {
	Slot uint64 `json:"slot"`
}

// life runs the node once: it sends messages, one after another, until the
// node is killed, d after it was started or after so many messages were
// acknowledged. It returns what was acknowledged, by message id.
func life(t *testing.T, bin, module, dir string, next *int, after int, d time.Duration) map[string]ack {
	t.Helper()
	cmd := exec.Command(bin, "run", module, "--data", dir, "--json", "--message", "-")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(d, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if after > 0 {
		timer.Reset(time.Minute) // in case it never gets there
	}
	acks := make(map[string]ack)
	lines := bufio.NewReaderSize(stdout, 1<<20)
	for {
		id := fmt.Sprintf("message-%035d", *next)
		*next++
		lua := "N = (N or 0) + 1; return N"
		switch *next % 7 {
		case 3:
			lua = "N = N + 1000; error('no trace of this')"
		case 5:
			lua = "N = (N or 0) + 1; T = T or {}; T[#T + 1] = string.rep('x', 1000); return N"
		}
		msg, err := json.Marshal(map[string]any{"Id": id, "Tags": []process.Tag{{Name: "Action", Value: "Eval"}}, "Data": lua})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stdin.Write(append(msg, '\n')); err != nil {
			break
		}
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break // the line may be cut: that message wasn't acknowledged
		}
		var a ack
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatalf("the node printed %.200q: %v", line, err)
		}
		if acks[id] = a; len(acks) == after {
			timer.Reset(d)
		}
	}
	_, _ = io.Copy(io.Discard, lines)
	err = cmd.Wait()
	if err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the node ended by itself: %v\n%s", err, stderr.Bytes())
	}
	return acks
}

func TestKilledNodeLosesNothingAndDoesNothingTwice(t *testing.T) {
	bin, module, dir := binary(t), modules.Path(t, "aos_wamr"), filepath.Join(t.TempDir(), "data")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	acks := make(map[string]ack)
	next := 0
	// The first life makes the process and compiles the module.
	cmd := exec.CommandContext(t.Context(), bin, "run", module, "--data", dir, "--eval", "N = 0; return N")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	start := time.Now()
	if out, err := exec.CommandContext(t.Context(), bin, "run", module, "--data", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	startup := time.Since(start)
	t.Logf("a life takes %v to start", startup)
	for i := range kills {
		// Every other life ends at any time from before the node has opened
		// its store, the rest in the middle of work.
		after, d := 0, time.Duration(rnd.Int64N(int64(3*startup)))
		if i%2 == 1 {
			after, d = 1+rnd.IntN(20), time.Duration(rnd.Int64N(int64(5*time.Millisecond)))
		}
		for id, a := range life(t, bin, module, dir, &next, after, d) {
			acks[id] = a
		}
	}
	if len(acks) < kills {
		t.Fatalf("only %d messages were acknowledged in %d lives", len(acks), kills)
	}
	check(t, dir, module, acks)
}

// check opens the data directory that is left and compares it with what was
// acknowledged.
func check(t *testing.T, dir, module string, acks map[string]ack) {
	t.Helper()
	n, err := node.Open(t.Context(), node.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	binary, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	id := node.Local{Module: binary, Name: "default"}.ProcessID()
	slots := make(map[string]uint64)
	count := 0
	for a, err := range n.Runtime.Assignments(t.Context(), id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		var m struct{ Id, Data string }
		if err := json.Unmarshal(a.Message, &m); err != nil {
			t.Fatal(err)
		}
		if before, ok := slots[m.Id]; ok {
			t.Errorf("message %s is at slots %d and %d", m.Id, before, a.Slot)
		}
		slots[m.Id] = a.Slot
		res, err := n.Runtime.Result(t.Context(), id, a.Slot)
		if err != nil {
			t.Fatal(err)
		}
		if a.Slot <= 1 || res.Failed {
			continue // what made the process
		}
		count++
		var r struct{ Output struct{ Data string } }
		if err := json.Unmarshal(res.Data, &r); err != nil {
			t.Fatal(err)
		}
		if got := r.Output.Data; got != fmt.Sprint(count) {
			t.Fatalf("slot %d counted to %s, want %d", a.Slot, got, count)
		}
	}
	for id, a := range acks {
		if slot, ok := slots[id]; !ok || slot != a.Slot {
			t.Errorf("message %s was acknowledged at slot %d; the log has it at %d (%v)", id, a.Slot, slot, ok)
		}
	}
	report, err := n.Runtime.Replay(t.Context(), id, process.ReplayOptions{Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	if report.Mismatch != nil || report.Results == 0 {
		t.Errorf("an uninterrupted run differs: %+v", report)
	}
	t.Logf("%d acknowledged of %d assigned; %d results and %d roots are equal to those of an uninterrupted run",
		len(acks), len(slots), report.Results, report.Roots)
}

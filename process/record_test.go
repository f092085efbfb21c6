package process

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aorta/store"
	"aorta/vm"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "write the golden files of the newest version anew")

const testID = "0123456789abcdefghijklmnopqrstuvwxyzABCDE-_"

func sampleAssignment() (*Assignment, [32]byte) {
	chain := chainNext(chainStart(testID), []byte("hello"))
	return &Assignment{
		Process: testID, Slot: 7, Epoch: 3, Timestamp: 1_700_000_000_123, BlockHeight: 1_500_000,
		HashChain: chainText(chain), Message: []byte("hello"),
	}, chain
}

func sampleResult(size int) *Result {
	r := &Result{
		Process: testID, Slot: 7, Data: bytes.Repeat([]byte("r"), size), Failed: true, Profile: "engine-1",
		Ledger: vm.Ledger{
			Fuel: 123456, DirtyPages: 17, MemoryBytes: 1 << 26, Wall: 345 * time.Microsecond,
			HostCalls: map[string]uint64{"wasi.fd_write": 3, "env.invoke_v": 1},
		},
	}
	r.hash = resultHash(r.Failed, r.Data)
	return r
}

func sampleCheckpoint() *Checkpoint {
	return &Checkpoint{
		Process: testID, Next: 8, Time: 1_700_000_000_456,
		Snapshot: Snapshot{Root: store.Sum([]byte("root")), Manifest: []byte("manifest"), Profile: "engine-1", Written: 98765},
	}
}

// golden compares got with the file of that name, in hexadecimal lines.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	text := hex.Dump(got)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s isn't written as before (-before +now):\n%s", name, diff)
	}
}

func TestRecordsAreWrittenAsBefore(t *testing.T) {
	a, chain := sampleAssignment()
	golden(t, "assignment.v1", encodeAssignment(a, chain))
	golden(t, "result.v1", encodeResult(sampleResult(20), store.Hash{}))
	large := sampleResult(inlineResult + 1)
	golden(t, "result-large.v1", encodeResult(large, store.Sum(large.Data)))
	golden(t, "checkpoint.v1", encodeCheckpoint(sampleCheckpoint()))
	target, value, err := encodeDefinition(&Definition{
		ID: testID, Device: "device@1.0", Module: store.Sum(nil).String(), ModuleID: "module-id",
		ModuleTags: []Tag{{"Name", "m"}}, Owner: "owner", Tags: []Tag{{"Name", "p"}, {"name", "P"}},
		Limits: vm.Limits{Fuel: 1, Wall: 2, Memory: 3, Table: 4, Output: 5},
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "definition-link.v1", target)
	golden(t, "definition.v1", value)
	chains := chainStart(testID)
	golden(t, "chain-start", chains[:])
	h := resultHash(true, []byte("data"))
	golden(t, "result-hash", h[:])
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	a, chain := sampleAssignment()
	for _, text := range []string{"", "hello", strings.Repeat("x", 100_000)} {
		a.Message = []byte(text)
		got, gotChain, err := decodeAssignment(testID, 7, encodeAssignment(a, chain))
		if diff := cmp.Diff(a, got); err != nil || diff != "" || gotChain != chain {
			t.Errorf("assignment: %v, %s", err, diff)
		}
	}
	for _, size := range []int{0, 1, inlineResult, inlineResult + 1} {
		want := sampleResult(size)
		got, err := decodeResult(testID, 7, encodeResult(want, store.Sum(want.Data)))
		if err != nil {
			t.Fatal(err)
		}
		if size > inlineResult {
			if got.inline || got.size != uint64(size) || got.value != store.Sum(want.Data) {
				t.Errorf("a result of %d bytes is kept as %+v", size, got)
			}
			got.Data = want.Data
		}
		if diff := cmp.Diff(want, &got.Result, cmp.AllowUnexported(Result{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("result of %d bytes: %s", size, diff)
		}
	}
	c := sampleCheckpoint()
	got, err := decodeCheckpoint(testID, 8, encodeCheckpoint(c))
	if diff := cmp.Diff(c, got); err != nil || diff != "" {
		t.Errorf("checkpoint: %v, %s", err, diff)
	}
}

func TestResultHashCoversWhatNodesAgreeOn(t *testing.T) {
	a, b := sampleResult(10), sampleResult(10)
	b.Ledger, b.Profile = vm.Ledger{Wall: 1}, "engine-2"
	if a.Hash() != b.Hash() {
		t.Error("the ledger or the profile is in the hash")
	}
	b.hash, b.Failed = store.Hash{}, false
	if a.Hash() == b.Hash() {
		t.Error("failed isn't in the hash")
	}
	b.Failed, b.Data = true, []byte("other")
	if a.Hash() == b.Hash() {
		t.Error("the data isn't in the hash")
	}
}

func TestDamagedRecordsAreRefused(t *testing.T) {
	a, chain := sampleAssignment()
	a.Message = nil
	c := sampleCheckpoint()
	c.Manifest = nil
	large := sampleResult(inlineResult + 1)
	for name, test := range map[string]struct {
		record []byte
		decode func([]byte) error
	}{
		"assignment":   {encodeAssignment(a, chain), func(b []byte) error { _, _, err := decodeAssignment(testID, 7, b); return err }},
		"result":       {encodeResult(sampleResult(20), store.Hash{}), func(b []byte) error { _, err := decodeResult(testID, 7, b); return err }},
		"large result": {encodeResult(large, store.Sum(large.Data)), func(b []byte) error { _, err := decodeResult(testID, 7, b); return err }},
		"checkpoint":   {encodeCheckpoint(c), func(b []byte) error { _, err := decodeCheckpoint(testID, 8, b); return err }},
	} {
		if err := test.decode(test.record); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for n := range len(test.record) {
			if err := test.decode(test.record[:n]); err == nil {
				t.Errorf("%s: the first %d of %d bytes are accepted", name, n, len(test.record))
			}
		}
		newer := append([]byte(nil), test.record...)
		newer[0]++
		if err := test.decode(newer); !errors.Is(err, store.ErrNewerFormat) {
			t.Errorf("%s of a newer version: %v", name, err)
		}
	}
	if _, err := decodeCheckpoint(testID, 9, encodeCheckpoint(c)); err == nil {
		t.Error("a checkpoint under another name is accepted")
	}
}

func FuzzAssignmentRecord(f *testing.F) {
	a, chain := sampleAssignment()
	f.Add(encodeAssignment(a, chain))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, chain, err := decodeAssignment(testID, 7, data)
		if err != nil {
			return
		}
		again, chainAgain, err := decodeAssignment(testID, 7, encodeAssignment(a, chain))
		if err != nil || chainAgain != chain || cmp.Diff(a, again) != "" {
			t.Errorf("%v: %s", err, cmp.Diff(a, again))
		}
	})
}

func FuzzResultRecord(f *testing.F) {
	f.Add(encodeResult(sampleResult(20), store.Hash{}))
	f.Add(encodeResult(sampleResult(inlineResult+1), store.Hash{1}))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeResult(testID, 7, data)
		if err != nil || !r.inline {
			return
		}
		again, err := decodeResult(testID, 7, encodeResult(&r.Result, store.Hash{}))
		if err != nil {
			if len(r.Data) > inlineResult {
				return
			}
			t.Fatal(err)
		}
		if len(r.Data) <= inlineResult && cmp.Diff(r.Result, again.Result, cmp.AllowUnexported(Result{}), cmpopts.EquateEmpty()) != "" {
			t.Errorf("%+v came back as %+v", r.Result, again.Result)
		}
	})
}

func FuzzCheckpointRecord(f *testing.F) {
	f.Add(encodeCheckpoint(sampleCheckpoint()))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeCheckpoint(testID, 8, data)
		if err != nil {
			return
		}
		again, err := decodeCheckpoint(testID, 8, encodeCheckpoint(c))
		if err != nil || cmp.Diff(c, again, cmpopts.EquateEmpty()) != "" {
			t.Errorf("%v: %s", err, cmp.Diff(c, again))
		}
	})
}

func TestNamesSortAsSlotsDo(t *testing.T) {
	slots := []uint64{0, 1, 9, 10, 99, 1 << 32, 1<<64 - 1}
	for i, s := range slots {
		name := resultName(testID, s)
		if want := fmt.Sprintf("result/%s/%020d", testID, s); name != want {
			t.Errorf("name %s, want %s", name, want)
		}
		if got, err := slotOf(name, resultsOf(testID)); err != nil || got != s {
			t.Errorf("slot %d of %s, %v", got, name, err)
		}
		if i > 0 && name <= resultName(testID, slots[i-1]) {
			t.Errorf("%s doesn't sort after slot %d", name, slots[i-1])
		}
	}
	for _, bad := range []string{"", "result/", resultsOf(testID), resultsOf(testID) + "1", resultsOf(testID) + "0000000000000000000x", resultsOf(testID) + "99999999999999999999"} {
		if slot, err := slotOf(bad, resultsOf(testID)); err == nil {
			t.Errorf("%q is taken for slot %d", bad, slot)
		}
	}
}

func TestErrorsTellClientsNoHostDetails(t *testing.T) {
	secret := errors.New("open /home/node/keys/wallet.json: permission denied")
	for _, err := range []error{
		storeFault(Details{}, secret, "assign"),
		trouble(Details{Process: testID, Phase: PhaseCompute}, secret),
		trouble(Details{}, &PanicError{Call: "compute", Value: secret.Error(), Stack: []byte("goroutine 1")}),
		secret,
	} {
		if w := Wire(err); strings.Contains(w.Body, "wallet") || w.Status < 500 {
			t.Errorf("the wire form of %v is %+v", err, w)
		}
	}
	if !errors.Is(storeFault(Details{}, secret, "assign"), secret) {
		t.Error("the node itself doesn't see the cause")
	}
}

package jsoniface_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bytecodealliance/wasmtime-go/v39"
	"go.uber.org/goleak"

	"aorta/device/jsoniface"
	"aorta/process"
	"aorta/process/processtest"
	"aorta/store"
	"aorta/store/pebble"
	"aorta/test/modules"
	"aorta/vm"
	"aorta/vm/image"
	"aorta/vm/wasm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const owner = "OwnerOwnerOwnerOwnerOwnerOwnerOwnerOwnerOwn"

var definition = process.Definition{
	ID:       "ProcessProcessProcessProcessProcessProcessP",
	Device:   jsoniface.Name,
	ModuleID: "ModuleModuleModuleModuleModuleModuleModuleM",
	Owner:    owner,
	Tags:     []process.Tag{{Name: "Data-Protocol", Value: "ao"}, {Name: "Type", Value: "Process"}, {Name: "Name", Value: "test"}},
}

func message(t testing.TB, fields map[string]any) []byte {
	t.Helper()
	b, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func config(t testing.TB, module []byte, mode image.Mode, messages []processtest.Message) processtest.Config {
	cache := t.TempDir()
	return processtest.Config{
		Store: func(tb testing.TB) store.Store {
			st, err := pebble.Open(filepath.Join(tb.TempDir(), "data"), pebble.Options{})
			if err != nil {
				tb.Fatal(err)
			}
			return st
		},
		Device: func(tb testing.TB, st store.Store) process.Device {
			e, err := wasm.NewEngine(wasm.Config{CacheDir: cache, Tracking: mode})
			if err != nil {
				tb.Fatal(err)
			}
			tb.Cleanup(func() {
				if err := e.Close(); err != nil {
					tb.Error(err)
				}
			})
			return jsoniface.New(e, st)
		},
		Definition: definition,
		Module:     module,
		Messages:   messages,
	}
}

// aosScript leaves state in Lua's heap, grows memory, and fails in the ways
// that AOS can.
func aosScript(t testing.TB) []processtest.Message {
	eval := func(lua string) processtest.Message {
		return processtest.Message{Data: message(t, map[string]any{"Tags": []process.Tag{{Name: "Action", Value: "Eval"}}, "Data": lua})}
	}
	fails := func(m processtest.Message) processtest.Message { m.Fails = true; return m }
	return []processtest.Message{
		{Data: message(t, map[string]any{"Id": definition.ID, "Tags": definition.Tags, "Owner": owner, "From": owner, "Target": definition.ID})},
		eval("X = 1; T = {} for i = 1, 1000 do T[i] = 'entry ' .. i end; return X"),
		fails(eval("X = X + 100; error('no')")),
		eval("X = X + 1; return X .. ' ' .. #T"),
		fails(eval("while true do X = X + 1 end")),
		eval("B = string.rep('x', 300000); return #B .. ' ' .. X"),
		eval("X = X + 1; T = nil; collectgarbage(); return X .. ' ' .. math.random(1000000) .. ' ' .. os.time()"),
		fails(eval("local s = 'x' while true do s = s .. s end")),
		eval("X = X + 1; return X"),
	}
}

// TestAOSModulesHoldToTheContract covers, for every module, one run, a restart
// at each slot and a replay from nothing.
func TestAOSModulesHoldToTheContract(t *testing.T) {
	for _, m := range modules.All(t) {
		switch m.Name {
		case "llama": // takes 1200 MiB of memory an instance; see test/oracle
			continue
		case "process": // isn't AOS; see TestProcessModuleHoldsToTheContract
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			c := config(t, modules.Bytes(t, m.Name), image.ModeAuto, aosScript(t))
			c.Definition.Limits = vm.Limits{Fuel: 200_000_000, Memory: 160 << 20}
			processtest.Run(t, c)
		})
	}
}

// TestProcessModuleHoldsToTheContract is about a module that answers any
// message in its own way.
func TestProcessModuleHoldsToTheContract(t *testing.T) {
	var script []processtest.Message
	for _, data := range []string{"a", "b", "", "ü", strings.Repeat("long ", 1000), "e"} {
		script = append(script, processtest.Message{Data: message(t, map[string]any{"Data": data})})
	}
	// It fails at nothing that it is told, so the fault is the message's.
	script[3] = processtest.Message{Data: []byte(`{"Tags": "none"}`), Fails: true}
	processtest.Run(t, config(t, modules.Bytes(t, "process"), image.ModeAuto, script))
}

// awkward is a module whose state is where memory dumps don't reach: in a
// global that isn't exported, in a table, in a segment that was dropped, and
// in memory that it grew. The letter that starts a message's Data says what
// it does: c counts, g grows memory, t changes the table, d drops the segment,
// f does all of these and traps. It answers with everything it knows.
const awkward = `(module
  (memory (export "memory") 2 40)
  (global $count (mut i64) (i64.const 0))
  (global $heap (mut i32) (i32.const 65536))
  (table $t 1 64 funcref)
  (func $zero (result i64) (i64.const 0))
  (func $seven (result i64) (i64.const 7))
  (elem declare func $zero $seven)
  (elem $active (i32.const 0) func $zero)
  (data $passive "P")
  (data (i32.const 16) "{\22ok\22:true,\22response\22:{\22Output\22:\22000000000000000000\22}}\00")
  (type $r (func (result i64)))
  (func (export "malloc") (param i32) (result i32)
    (local i32)
    (local.set 1 (global.get $heap))
    (global.set $heap (i32.add (global.get $heap) (i32.and (i32.add (local.get 0) (i32.const 15)) (i32.const -16))))
    (local.get 1))
  (func (export "free") (param i32) (global.set $heap (i32.const 65536)))
  (func $command (param $p i32) (result i32)
    (loop $next
      (if (i32.and
            (i64.eq (i64.load (local.get $p)) (i64.const 0x223a226174614422))
            (i32.const 1))
        (then (return (i32.load8_u offset=8 (local.get $p)))))
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (br_if $next (i32.load8_u (local.get $p))))
    (i32.const 0))
  (func $count_up (global.set $count (i64.add (global.get $count) (i64.const 1))))
  (func $grow
    (drop (memory.grow (i32.const 1)))
    (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)) (i32.const 77)))
  (func $change
    (drop (table.grow $t (ref.func $seven) (i32.const 1)))
    (table.set $t (i32.const 0) (ref.func $seven)))
  (func $drop (memory.init $passive (i32.const 8) (i32.const 0) (i32.const 0)) (data.drop $passive))
  (func $digits (param $at i32) (param $n i32) (param $v i64)
    (loop $next
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (i32.store8 (i32.add (local.get $at) (local.get $n))
        (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $v) (i64.const 10)))))
      (local.set $v (i64.div_u (local.get $v) (i64.const 10)))
      (br_if $next (local.get $n))))
  (func (export "handle") (param $msg i32) (param $env i32) (result i32)
    (local $c i32)
    (local.set $c (call $command (local.get $msg)))
    (if (i32.or (i32.eq (local.get $c) (i32.const 99)) (i32.eq (local.get $c) (i32.const 102))) (then (call $count_up)))
    (if (i32.or (i32.eq (local.get $c) (i32.const 103)) (i32.eq (local.get $c) (i32.const 102))) (then (call $grow)))
    (if (i32.or (i32.eq (local.get $c) (i32.const 116)) (i32.eq (local.get $c) (i32.const 102))) (then (call $change)))
    (if (i32.or (i32.eq (local.get $c) (i32.const 100)) (i32.eq (local.get $c) (i32.const 102))) (then (call $drop)))
    (call $digits (i32.const 51) (i32.const 5) (global.get $count))
    (call $digits (i32.const 56) (i32.const 4) (i64.extend_i32_u (memory.size)))
    (call $digits (i32.const 60) (i32.const 3) (i64.extend_i32_u (table.size $t)))
    (call $digits (i32.const 63) (i32.const 1) (call_indirect $t (type $r) (i32.const 0)))
    (call $digits (i32.const 64) (i32.const 2)
      (i64.load32_u (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4))))
    (if (i32.eq (local.get $c) (i32.const 102)) (then unreachable))
    (i32.const 16))
)`

func TestStateOutsideMemoryHoldsToTheContract(t *testing.T) {
	module, err := wasmtime.Wat2Wasm(awkward)
	if err != nil {
		t.Fatal(err)
	}
	var script []processtest.Message
	for _, c := range "ccftcfgcfdcgctfc" {
		script = append(script, processtest.Message{Data: message(t, map[string]any{"Data": string(c)}), Fails: c == 'f'})
	}
	for _, mode := range []image.Mode{image.ModeAuto, image.ModePagemap, image.ModeCompare} {
		t.Run(mode.String(), func(t *testing.T) {
			processtest.Run(t, config(t, module, mode, script))
		})
	}
}

package jsoniface_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bytecodealliance/wasmtime-go/v39"

	"aorta/device/jsoniface"
	"aorta/node"
	"aorta/process"
	"aorta/vm"
)

// greedy is a module that takes what the first letter of a message's Data
// says: l time, m memory, r stack, o output; and c counts.
const greedy = `(module
  (memory (export "memory") 2)
  (global $count (mut i32) (i32.const 48))
  (global $heap (mut i32) (i32.const 65536))
  (data (i32.const 16) "{\22ok\22:true,\22response\22:{\22Output\22:\22_\22}}\00")
  (func (export "malloc") (param i32) (result i32) (global.get $heap) (global.set $heap (i32.add (global.get $heap) (local.get 0))))
  (func (export "free") (param i32) (global.set $heap (i32.const 65536)))
  (func $deep (param i64) (result i64) (i64.add (i64.const 1) (call $deep (i64.add (local.get 0) (i64.const 1)))))
  (func $command (param $p i32) (result i32)
    (loop $next
      (if (i64.eq (i64.load (local.get $p)) (i64.const 0x223a226174614422)) (then (return (i32.load8_u offset=8 (local.get $p)))))
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (br $next))
    unreachable)
  (func (export "handle") (param $msg i32) (param $env i32) (result i32)
    (local $c i32)
    (local.set $c (call $command (local.get $msg)))
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (if (i32.eq (local.get $c) (i32.const 108)) (then (loop $l (br $l))))
    (if (i32.eq (local.get $c) (i32.const 109)) (then
      (loop $l
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
        (memory.fill (i32.const 65536) (i32.const 1) (i32.const 100000))
        (br $l))))
    (if (i32.eq (local.get $c) (i32.const 114)) (then (drop (call $deep (i64.const 0)))))
    (if (i32.eq (local.get $c) (i32.const 111)) (then
      (drop (memory.grow (i32.const 300)))
      (memory.fill (i32.const 131072) (i32.const 120) (i32.const 18000000))
      (return (i32.const 131072))))
    (i32.store8 (i32.const 49) (global.get $count))
    (i32.const 16)))`

// TestEveryLimitEndsAMessageAndNothingElse is the promise of limits, through
// the runtime: a typed error as the slot's result, the state from before for
// the next message.
func TestEveryLimitEndsAMessageAndNothingElse(t *testing.T) {
	module, err := wasmtime.Wat2Wasm(greedy)
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(t.Context(), node.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	def, err := n.Ensure(t.Context(), node.Local{Module: module, Limits: vm.Limits{Fuel: 50_000_000, Memory: 32 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	send := func(id, data string) (*process.Result, error) {
		msg := message(t, map[string]any{"Data": data})
		a, err := n.Runtime.Assign(t.Context(), id, process.Message{Data: msg})
		if err != nil {
			t.Fatal(err)
		}
		return n.Runtime.Result(t.Context(), id, a.Slot)
	}
	for i, tt := range []struct{ data, code string }{
		{"l", "limit-fuel"}, {"m", "limit-memory"}, {"r", "limit-stack"}, {"o", "limit-output"},
	} {
		res, err := send(def.ID, tt.data)
		if err != nil {
			t.Fatal(err)
		}
		var r struct{ Error jsoniface.Error }
		if err := json.Unmarshal(res.Data, &r); err != nil || !res.Failed || r.Error.Details.Code != tt.code || r.Error.Details.Limit == 0 || r.Error.Details.Used == 0 {
			t.Errorf("%s: got %s, %v; want a %s", tt.data, res.Data, err, tt.code)
		}
		res, err = send(def.ID, "c")
		if err != nil {
			t.Fatal(err)
		}
		// The definition's own message counted too.
		if want := `"Output":"` + string(rune('2'+i)) + `"`; !strings.Contains(string(res.Data), want) {
			t.Errorf("after %s: got %s, want %s", tt.data, res.Data, want)
		}
	}
}

// TestWallTimeIsNoResult: what a clock ended may end otherwise elsewhere.
func TestWallTimeIsNoResult(t *testing.T) {
	module, err := wasmtime.Wat2Wasm(greedy)
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(t.Context(), node.Config{Dir: t.TempDir(), Process: process.Options{Attempts: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	def, err := n.Ensure(t.Context(), node.Local{Module: module, Limits: vm.Limits{Fuel: 1 << 60, Wall: 100 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := n.Runtime.Assign(t.Context(), def.ID, process.Message{Data: message(t, map[string]any{"Data": "l"})})
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.Runtime.Result(t.Context(), def.ID, a.Slot)
	var e *process.Error
	if !errors.As(err, &e) || e.Details.Code != process.CodeWallTime || !e.Details.Retryable {
		t.Errorf("got %v, want a retryable error of code %s", err, process.CodeWallTime)
	}
	for s, err := range n.Runtime.Slots(t.Context(), def.ID, a.Slot) {
		if err != nil || s.Status != process.SlotPending {
			t.Errorf("slot %+v, %v", s, err)
		}
	}
}

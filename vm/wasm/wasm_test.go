package wasm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bytecodealliance/wasmtime-go/v39"
	"go.uber.org/goleak"

	"aorta/vm"
	"aorta/vm/image"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func wat(t testing.TB, text string) []byte {
	t.Helper()
	b, err := wasmtime.Wat2Wasm(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newEngine(t testing.TB, c Config) *Engine {
	t.Helper()
	e, err := NewEngine(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func compile(t testing.TB, e *Engine, text string) *Module {
	t.Helper()
	m, err := e.Compile(context.Background(), wat(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func instance(t testing.TB, m *Module, hosts ...Host) *Instance {
	t.Helper()
	in, err := m.New(context.Background(), hosts, vm.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.Close)
	return in
}

func call(t testing.TB, in *Instance, name string, args ...uint64) uint64 {
	t.Helper()
	out, _, err := in.Call(context.Background(), name, args, vm.Env{}, vm.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(out) == 0 {
		return 0
	}
	return out[0]
}

// testHost answers "host" imports by functions given as a map.
type testHost struct {
	funcs map[string]HostFunc
	state []byte
	env   vm.Env
}

func (h *testHost) Lookup(module, name string, _ FuncType) HostFunc {
	if module != "host" {
		return nil
	}
	return h.funcs[name]
}
func (h *testHost) Begin(env vm.Env, _ vm.Limits) { h.env = env }
func (h *testHost) Snapshot() []byte              { return bytes.Clone(h.state) }
func (h *testHost) Restore(b []byte) error        { h.state = bytes.Clone(b); return nil }

// everything is a module with state in every place that a module can have it:
// memory, a mutable global that isn't exported, a table that changes, and a
// dropped segment.
const everything = `(module
  (memory 1 64)
  (global $count (mut i64) (i64.const 0))
  (table $t 2 100 funcref)
  (func $one (result i64) (i64.const 1))
  (func $two (result i64) (i64.const 2))
  (elem declare func $one $two)
  (data $p "payload")
  (type $r (func (result i64)))
  (func (export "bump") (result i64)
    (global.set $count (i64.add (global.get $count) (i64.const 1)))
    (global.get $count))
  (func (export "poke") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
  (func (export "peek") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "size") (result i32) (memory.size))
  (func (export "set1") (table.set $t (i32.const 1) (ref.func $one)))
  (func (export "set2") (table.set $t (i32.const 1) (ref.func $two)))
  (func (export "growt") (param i32) (result i32) (table.grow $t (ref.func $two) (local.get 0)))
  (func (export "callt") (param i32) (result i64) (call_indirect $t (type $r) (local.get 0)))
  (func (export "init") (memory.init $p (i32.const 100) (i32.const 0) (i32.const 7)))
  (func (export "drop") (data.drop $p))
  (func (export "trap") (global.set $count (i64.const 99)) (i32.store8 (i32.const 7) (i32.const 77)) unreachable)
  (func (export "spin") (loop $l (br $l)))
  (func $deep (export "deep") (param i64) (result i64)
    (i64.add (i64.const 1) (call $deep (i64.add (local.get 0) (i64.const 1)))))
  (func (export "two") (result i32 f64) (i32.const -1) (f64.const 2.5))
  (func (export "bomb")
    (loop $l
      (if (i32.eq (memory.grow (i32.const 8)) (i32.const -1)) (then unreachable))
      (br $l)))
  (func (export "div") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
)`

func TestTheStateOutsideMemoryIsRolledBackAndRestored(t *testing.T) {
	for _, mode := range []image.Mode{image.ModeAuto, image.ModeCompare} {
		t.Run(mode.String(), func(t *testing.T) {
			e := newEngine(t, Config{Tracking: mode})
			m := compile(t, e, everything)
			in := instance(t, m)
			chunks := chunkMap{}
			steps := []func(in *Instance){
				func(in *Instance) { call(t, in, "bump"); call(t, in, "poke", 10, 5) },
				func(in *Instance) { call(t, in, "set1") },
				func(in *Instance) { call(t, in, "grow", 3); call(t, in, "poke", 3*wasmPage, 9) },
				func(in *Instance) { call(t, in, "growt", 4); call(t, in, "set2") },
				func(in *Instance) { call(t, in, "init"); call(t, in, "drop") },
				func(in *Instance) { call(t, in, "bump") },
			}
			var roots []image.Hash
			for i, step := range steps {
				step(in)
				cp, err := in.Save(t.Context(), chunks)
				if err != nil {
					t.Fatal(err)
				}
				if got := in.Root(); got != cp.Root {
					t.Errorf("step %d: root %x, checkpoint's %x", i, got, cp.Root)
				}
				roots = append(roots, cp.Root)
				// What happens after the mark leaves no trace.
				call(t, in, "bump")
				call(t, in, "poke", 50, 50)
				call(t, in, "grow", 1)
				call(t, in, "growt", 1)
				if _, _, err := in.Call(t.Context(), "trap", nil, vm.Env{}, vm.Limits{}); err == nil {
					t.Fatal("trap returned")
				}
				if err := in.Rollback(); err != nil {
					t.Fatal(err)
				}
				if _, err := in.Mark(); err != nil {
					t.Fatal(err)
				}
				if got := in.Root(); got != cp.Root {
					t.Errorf("step %d: root %x after rollback, want %x", i, got, cp.Root)
				}
				// Restored, it goes on as if nothing had happened.
				blob, _ := cp.MarshalBinary()
				var back Checkpoint
				if err := back.UnmarshalBinary(blob); err != nil {
					t.Fatal(err)
				}
				restored, err := m.Restore(t.Context(), nil, chunks, back, vm.Limits{})
				if err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
				if i%2 == 1 {
					in.Close()
					in = restored
					t.Cleanup(in.Close)
				} else {
					restored.Close()
				}
			}
			if got := call(t, in, "bump"); got != 3 {
				t.Errorf("counter is %d, want 3", got)
			}
			if got := call(t, in, "peek", 3*wasmPage); got != 9 {
				t.Errorf("grown memory holds %d, want 9", got)
			}
			if got := call(t, in, "callt", 1); got != 2 {
				t.Errorf("table entry 1 returns %d, want 2", got)
			}
			if got := call(t, in, "callt", 5); got != 2 {
				t.Errorf("grown table entry returns %d, want 2", got)
			}
			if _, _, err := in.Call(t.Context(), "init", nil, vm.Env{}, vm.Limits{}); err == nil {
				t.Error("a dropped segment is there again")
			}
			// One run without interruptions has the same roots.
			plain := instance(t, m)
			for i, step := range steps {
				step(plain)
				if _, err := plain.Mark(); err != nil {
					t.Fatal(err)
				}
				if got := plain.Root(); got != roots[i] {
					t.Errorf("step %d: uninterrupted root %x, want %x", i, got, roots[i])
				}
			}
		})
	}
}

// chunkMap is a sink and a source in memory.
type chunkMap map[image.Hash][]byte

func (c chunkMap) PutChunks(_ context.Context, hashes []image.Hash, data [][]byte) error {
	for i, h := range hashes {
		if sha256.Sum256(data[i]) != h {
			return errors.New("chunk under a wrong hash")
		}
		c[h] = bytes.Clone(data[i])
	}
	return nil
}

func (c chunkMap) Chunks(_ context.Context, hashes []image.Hash, f func(int, []byte) error) error {
	for i, h := range hashes {
		data, ok := c[h]
		if !ok {
			return errors.New("chunk not found")
		}
		if err := f(i, data); err != nil {
			return err
		}
	}
	return nil
}

func TestEveryLimitEndsACallWithItsOwnError(t *testing.T) {
	e := newEngine(t, Config{})
	m := compile(t, e, everything)
	in := instance(t, m)
	call(t, in, "bump")
	if _, err := in.Mark(); err != nil {
		t.Fatal(err)
	}
	root := in.Root()
	tests := []struct {
		name   string
		f      string
		args   []uint64
		limits vm.Limits
		want   vm.LimitKind
	}{
		{"endless loop by fuel", "spin", nil, vm.Limits{Fuel: 1_000_000}, vm.LimitFuel},
		{"endless loop by time", "spin", nil, vm.Limits{Fuel: 1 << 60, Wall: 50 * time.Millisecond}, vm.LimitWall},
		{"deep recursion", "deep", []uint64{0}, vm.Limits{}, vm.LimitStack},
		{"memory bomb", "bomb", nil, vm.Limits{Memory: 40 * wasmPage}, vm.LimitMemory},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, ledger, err := in.Call(t.Context(), tt.f, tt.args, vm.Env{}, tt.limits)
			var limit *vm.LimitError
			if !errors.As(err, &limit) || limit.Kind != tt.want {
				t.Fatalf("got %v, want a limit of %s", err, tt.want)
			}
			if tt.want == vm.LimitFuel && ledger.Fuel != tt.limits.Fuel {
				t.Errorf("ledger says %d of %d fuel", ledger.Fuel, tt.limits.Fuel)
			}
			if err := in.Rollback(); err != nil {
				t.Fatal(err)
			}
			if in.Root() != root {
				t.Error("the state changed")
			}
		})
	}
	if got := call(t, in, "bump"); got != 2 {
		t.Errorf("after all, the counter is %d, want 2", got)
	}
}

func TestMemoryAndTableLimitsRefuseGrowth(t *testing.T) {
	in := instance(t, compile(t, newEngine(t, Config{}), everything))
	limits := vm.Limits{Memory: 2 * wasmPage, Table: 4}
	for _, f := range []string{"grow", "growt"} {
		out, _, err := in.Call(t.Context(), f, []uint64{8}, vm.Env{}, limits)
		if err != nil || int32(uint32(out[0])) != -1 {
			t.Errorf("%s past the limit: %v, %v", f, out, err)
		}
	}
}

func TestCancellingTheContextEndsTheCall(t *testing.T) {
	in := instance(t, compile(t, newEngine(t, Config{}), everything))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, _, err := in.Call(ctx, "spin", nil, vm.Env{}, vm.Limits{Fuel: 1 << 60})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if err := in.Rollback(); err != nil {
		t.Fatal(err)
	}
	call(t, in, "bump")
}

func TestCallsAreCheckedAgainstTheSignature(t *testing.T) {
	in := instance(t, compile(t, newEngine(t, Config{}), everything))
	for _, tt := range []struct {
		name string
		args []uint64
	}{{"nothing", nil}, {"bump", []uint64{1}}, {"poke", []uint64{1}}, {"poke", []uint64{1 << 40, 0}}} {
		_, _, err := in.Call(t.Context(), tt.name, tt.args, vm.Env{}, vm.Limits{})
		var sig *SignatureError
		if !errors.As(err, &sig) {
			t.Errorf("%s%v: got %v, want a SignatureError", tt.name, tt.args, err)
		}
	}
	out, _, err := in.Call(t.Context(), "two", nil, vm.Env{}, vm.Limits{})
	if err != nil || len(out) != 2 || uint32(out[0]) != 0xffffffff || out[1] != 0x4004000000000000 {
		t.Errorf("two results: %x, %v", out, err)
	}
}

func TestTrapsAreTyped(t *testing.T) {
	in := instance(t, compile(t, newEngine(t, Config{}), everything))
	for _, tt := range []struct {
		name string
		args []uint64
		want string
	}{
		{"trap", nil, vm.TrapUnreachable},
		{"div", []uint64{0}, vm.TrapDivideByZero},
		{"peek", []uint64{1 << 30}, vm.TrapMemory},
		{"callt", []uint64{0}, vm.TrapIndirectNull},
		{"callt", []uint64{50}, vm.TrapTable},
	} {
		_, _, err := in.Call(t.Context(), tt.name, tt.args, vm.Env{}, vm.Limits{})
		var trap *vm.TrapError
		if !errors.As(err, &trap) || trap.Code != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

const calling = `(module
  (import "host" "f" (func $f (param i32 i64 f32 f64) (result i64)))
  (import "host" "fail" (func $fail))
  (memory (export "memory") 1 4)
  (func (export "run") (result i64) (call $f (i32.const -1) (i64.const -2) (f32.const 1.5) (f64.const 2.5)))
  (func (export "fail") (call $fail))
  (func (export "inner") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))`

func TestHostFunctionsSeeTheGuestAndAreCounted(t *testing.T) {
	var reply error
	h := &testHost{}
	h.funcs = map[string]HostFunc{
		"f": func(g Guest, args, results []uint64) error {
			if len(args) != 4 || args[0] != 0xffffffff || int64(args[1]) != -2 || args[2] != 0x3fc00000 || args[3] != 0x4004000000000000 {
				return fmt.Errorf("arguments %x", args)
			}
			if len(g.Memory()) != wasmPage || g.Memory64() || !g.HasExport("inner") || g.HasExport("nothing") {
				return errors.New("the guest looks wrong")
			}
			r, err := g.Call("inner", 41)
			if err != nil || r[0] != 42 {
				return fmt.Errorf("inner call: %v, %v", r, err)
			}
			if p, ok := g.Grow(1); !ok || p != 1 || len(g.Memory()) != 2*wasmPage {
				return errors.New("growing failed")
			}
			if _, ok := g.Grow(100); ok {
				return errors.New("grew past the maximum")
			}
			results[0] = uint64(h.env.Time)
			return nil
		},
		"fail": func(Guest, []uint64, []uint64) error { return reply },
	}
	in := instance(t, compile(t, newEngine(t, Config{}), calling), h)
	out, ledger, err := in.Call(t.Context(), "run", nil, vm.Env{Time: 77}, vm.Limits{})
	if err != nil || out[0] != 77 {
		t.Fatalf("%v, %v", out, err)
	}
	if ledger.HostCalls["host.f"] != 1 || ledger.MemoryBytes != 2*wasmPage || ledger.Fuel == 0 {
		t.Errorf("ledger %+v", ledger)
	}
	reply = &vm.ExitError{Code: 3}
	_, _, err = in.Call(t.Context(), "fail", nil, vm.Env{}, vm.Limits{})
	var exit *vm.ExitError
	if !errors.As(err, &exit) || exit.Code != 3 {
		t.Errorf("exit: %v", err)
	}
	reply = errors.New("broken")
	_, _, err = in.Call(t.Context(), "fail", nil, vm.Env{}, vm.Limits{})
	var host *vm.HostError
	if !errors.As(err, &host) || host.Function != "host.fail" {
		t.Errorf("host error: %v", err)
	}
	h.funcs["fail"] = func(Guest, []uint64, []uint64) error { panic("boom") }
	in2 := instance(t, in.Module(), h)
	_, _, err = in2.Call(t.Context(), "fail", nil, vm.Env{}, vm.Limits{})
	if !errors.As(err, &host) {
		t.Errorf("panic: %v", err)
	}
}

func TestUnknownImportsAreListed(t *testing.T) {
	m := compile(t, newEngine(t, Config{}), calling)
	_, err := m.New(t.Context(), nil, vm.Limits{})
	var missing *ImportError
	if !errors.As(err, &missing) || strings.Join(missing.Missing, " ") != "host.f host.fail" {
		t.Errorf("got %v", err)
	}
}

func TestModulesThatAreNoneAreRefused(t *testing.T) {
	e := newEngine(t, Config{})
	whole := wat(t, everything)
	for name, b := range map[string][]byte{
		"empty":     nil,
		"text":      []byte("hello, this is a text file"),
		"truncated": whole[:len(whole)-20],
		"invalid":   wat(t, `(module (func (export "f")))`)[:12],
	} {
		if _, err := e.Compile(t.Context(), b); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want an error of one line", name, err)
		}
	}
}

func TestCodeCacheSurvivesDamageAndRivals(t *testing.T) {
	dir := t.TempDir()
	binary := wat(t, everything)
	use := func() {
		e, err := NewEngine(Config{CacheDir: dir})
		if err != nil {
			t.Error(err)
			return
		}
		m, err := e.Compile(context.Background(), binary)
		if err != nil {
			t.Error(err)
			return
		}
		in, err := m.New(context.Background(), nil, vm.Limits{})
		if err != nil {
			t.Error(err)
			return
		}
		if out, _, err := in.Call(context.Background(), "bump", nil, vm.Env{}, vm.Limits{}); err != nil || out[0] != 1 {
			t.Errorf("%v, %v", out, err)
		}
		in.Close()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	use()
	entries, _ := filepath.Glob(filepath.Join(dir, "*.code"))
	if len(entries) != 1 {
		t.Fatalf("cache holds %v", entries)
	}
	good, err := os.ReadFile(entries[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range []func([]byte) []byte{
		func(b []byte) []byte { return nil },
		func(b []byte) []byte { return b[:len(b)/2] },
		func(b []byte) []byte { b[len(b)-100] ^= 1; return b },
		func(b []byte) []byte { b[3] ^= 1; return b },
	} {
		if err := os.WriteFile(entries[0], damage(bytes.Clone(good)), 0o600); err != nil {
			t.Fatal(err)
		}
		use()
		if now, err := os.ReadFile(entries[0]); err != nil || len(now) != len(good) {
			t.Errorf("the entry wasn't rebuilt: %d bytes, %v", len(now), err)
		}
	}
	if err := os.Remove(entries[0]); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(use)
	}
	wg.Wait()
	if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func TestForksShareNothing(t *testing.T) {
	m := compile(t, newEngine(t, Config{}), everything)
	in := instance(t, m)
	call(t, in, "bump")
	call(t, in, "poke", 1, 1)
	if _, err := in.Mark(); err != nil {
		t.Fatal(err)
	}
	root := in.Root()
	f, err := in.Fork(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if call(t, f, "bump") != 2 || call(t, f, "peek", 1) != 1 {
		t.Error("the fork isn't in the state of the mark")
	}
	call(t, f, "poke", 1, 9)
	call(t, f, "grow", 2)
	if _, err := in.Mark(); err != nil {
		t.Fatal(err)
	}
	if in.Root() != root {
		t.Error("the fork changed its owner")
	}
	if call(t, in, "bump") != 2 {
		t.Error("the owner's counter moved")
	}
}

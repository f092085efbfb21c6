// Package bench measures what users wait for, beside the bare engine and the peers.
//
// `make bench` runs everything at once and prints ratios; docs/benchmarks.md
// keeps them.
package bench

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"aorta/device/jsoniface"
	"aorta/node"
	"aorta/process"
	"aorta/store"
	"aorta/store/pebble"
	"aorta/test/modules"
	"aorta/vm"
	"aorta/vm/emscripten"
	"aorta/vm/image"
	"aorta/vm/wasm"
)

// job is messages.json, which the drivers of the peers read too.
type job struct {
	Process, Module struct {
		ID    string `json:"Id"`
		Owner string
		Tags  []process.Tag
	}
	Setup    []json.RawMessage
	Messages []struct {
		Name    string
		Message json.RawMessage
	}
}

func load(b *testing.B) *job {
	b.Helper()
	text, err := os.ReadFile("messages.json")
	if err != nil {
		b.Fatal(err)
	}
	j := new(job)
	if err := json.Unmarshal(text, j); err != nil {
		b.Fatal(err)
	}
	return j
}

// benchModules are what is measured: one of each kind of memory and of
// exception handling.
var benchModules = []string{"aos2_0_6", "aos2_0_4_32", "aos_wamr"}

func engine(b *testing.B, c wasm.Config) *wasm.Engine {
	b.Helper()
	c.CacheDir = filepath.Join(modules.Root(b), ".cache", "code")
	e, err := wasm.NewEngine(c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	return e
}

// bare is a module on the engine alone: texts in, a text out.
type bare struct {
	in  *wasm.Instance
	def *process.Definition
	env []byte
	n   uint64
}

var initExports = []string{"emscripten_stack_init", "__wasm_call_ctors"}

func newBare(b *testing.B, e *wasm.Engine, module string, j *job) *bare {
	b.Helper()
	m, err := e.Compile(b.Context(), modules.Bytes(b, module))
	if err != nil {
		b.Fatal(err)
	}
	in, err := m.New(b.Context(), []wasm.Host{emscripten.New(emscripten.Options{})}, vm.Limits{}, initExports...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(in.Close)
	x := &bare{in: in, def: definition(j, 0)}
	spawn, err := json.Marshal(map[string]any{"Id": x.def.ID, "From": x.def.Owner, "Tags": x.def.Tags})
	if err != nil {
		b.Fatal(err)
	}
	for _, msg := range append([]json.RawMessage{spawn}, j.Setup...) {
		if _, err := x.call(x.text(b, msg)); err != nil {
			b.Fatal(err)
		}
	}
	return x
}

func definition(j *job, i int) *process.Definition {
	id := store.Sum(fmt.Append(nil, i))
	return &process.Definition{
		ID: base64.RawURLEncoding.EncodeToString(id[:]), Device: jsoniface.Name, ModuleID: j.Module.ID, ModuleTags: j.Module.Tags, Owner: j.Process.Owner,
		Tags: append([]process.Tag{{Name: "Type", Value: "Process"}}, j.Process.Tags...),
	}
}

// text prepares a message, as a process does.
func (x *bare) text(b *testing.B, msg json.RawMessage) []byte {
	b.Helper()
	a := &process.Assignment{Process: x.def.ID, Slot: x.n, Timestamp: int64(1_700_000_000_000 + x.n*1000), Message: msg}
	x.n++
	text, env, err := jsoniface.Texts(x.def, a)
	if err != nil {
		b.Fatal(err)
	}
	x.env = env
	return text
}

func (x *bare) call(text []byte) (out []byte, err error) {
	_, err = x.in.Run(context.Background(), vm.Env{}, vm.Limits{}, func(g wasm.Guest) (err error) {
		out, err = wasm.CallText(g, "handle", [][]byte{text, x.env}, 1<<20)
		return err
	})
	return out, err
}

func eachMessage(b *testing.B, c wasm.Config) {
	j := load(b)
	for _, module := range benchModules {
		for _, m := range j.Messages {
			b.Run(fmt.Sprintf("module=%s/message=%s", module, m.Name), func(b *testing.B) {
				x := newBare(b, engine(b, c), module, j)
				text := x.text(b, m.Message)
				for b.Loop() {
					if _, err := x.call(text); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkEngine is a call on the bare engine, counting fuel.
func BenchmarkEngine(b *testing.B) { eachMessage(b, wasm.Config{}) }

// BenchmarkEngineNoFuel is the same without counting fuel.
func BenchmarkEngineNoFuel(b *testing.B) { eachMessage(b, wasm.Config{NoFuel: true}) }

// processes is how many run at once in the parallel benchmarks.
const processes = 32

// BenchmarkEngineParallel is the floor of BenchmarkProcessParallel: as many
// instances, on as many goroutines, without log, results or marks.
func BenchmarkEngineParallel(b *testing.B) {
	j := load(b)
	for _, m := range j.Messages {
		b.Run("module=aos2_0_6/message="+m.Name, func(b *testing.B) {
			e := engine(b, wasm.Config{})
			all := make([]*bare, processes)
			texts := make([][]byte, processes)
			for i := range all {
				all[i] = newBare(b, e, "aos2_0_6", j)
				texts[i] = all[i].text(b, m.Message)
			}
			b.ResetTimer()
			inParallel(b, func(i int) error {
				_, err := all[i].call(texts[i])
				return err
			})
		})
	}
}

// inParallel calls f(i) b.N times in all, for each i by one goroutine.
func inParallel(b *testing.B, f func(i int) error) {
	var wg sync.WaitGroup
	for i := range processes {
		n := b.N / processes
		if i < b.N%processes {
			n++
		}
		wg.Go(func() {
			for range n {
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkProcessParallel is a message through a runtime: assigned durably,
// computed, its result recorded and waited for.
func BenchmarkProcessParallel(b *testing.B) {
	j := load(b)
	for _, m := range j.Messages {
		b.Run("module=aos2_0_6/message="+m.Name, func(b *testing.B) {
			n := openNode(b)
			send := func(id string, msg json.RawMessage) error {
				a, err := n.Runtime.Assign(b.Context(), id, process.Message{Data: msg})
				if err != nil {
					return err
				}
				res, err := n.Runtime.Result(b.Context(), id, a.Slot)
				if err == nil && res.Failed {
					err = fmt.Errorf("slot %d failed: %s", a.Slot, res.Data)
				}
				return err
			}
			ids := make([]string, processes)
			module := modules.Bytes(b, "aos2_0_6")
			for i := range ids {
				def := definition(j, i)
				def.Module = store.Sum(module).String()
				ids[i] = def.ID
				if err := n.Runtime.Spawn(b.Context(), def, module); err != nil {
					b.Fatal(err)
				}
				spawn, err := json.Marshal(map[string]any{"Id": def.ID, "From": def.Owner, "Tags": def.Tags})
				if err != nil {
					b.Fatal(err)
				}
				for _, msg := range append([]json.RawMessage{spawn}, j.Setup...) {
					if err := send(def.ID, msg); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ResetTimer()
			inParallel(b, func(i int) error { return send(ids[i], m.Message) })
			b.StopTimer()
		})
	}
}

func openNode(b *testing.B) *node.Node {
	b.Helper()
	n, err := node.Open(b.Context(), node.Config{Dir: filepath.Join(b.TempDir(), "data"), Cache: filepath.Join(modules.Root(b), ".cache", "code")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := n.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return n
}

// BenchmarkInstantiate is an instance of a compiled module, marked and ready
// to be called, and its end.
func BenchmarkInstantiate(b *testing.B) {
	m, err := engine(b, wasm.Config{}).Compile(b.Context(), modules.Bytes(b, "aos2_0_6"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		in, err := m.New(b.Context(), []wasm.Host{emscripten.New(emscripten.Options{})}, vm.Limits{}, initExports...)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		in.Close()
		b.StartTimer()
	}
}

// BenchmarkCodeCache is a module from the cache on disk.
func BenchmarkCodeCache(b *testing.B) {
	binary := modules.Bytes(b, "aos2_0_6")
	dir := b.TempDir()
	open := func() {
		e, err := wasm.NewEngine(wasm.Config{CacheDir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := e.Compile(b.Context(), binary); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	open()
	for b.Loop() {
		open()
	}
}

// chunks adapts a store, and counts what it takes.
type chunks struct {
	to      store.Chunks
	written int
}

func (c *chunks) PutChunks(ctx context.Context, hashes []image.Hash, data [][]byte) error {
	list := make([]store.Chunk, len(hashes))
	for i := range hashes {
		list[i] = store.Chunk{Hash: store.Hash(hashes[i]), Data: data[i]}
		c.written += len(data[i])
	}
	return c.to.PutChunks(ctx, list)
}

type source struct{ from store.Chunks }

func (s source) Chunks(ctx context.Context, hashes []image.Hash, f func(int, []byte) error) error {
	list := make([]store.Hash, len(hashes))
	for i := range hashes {
		list[i] = store.Hash(hashes[i])
	}
	return s.from.Chunks(ctx, list, f)
}

func openStore(b *testing.B) *pebble.Store {
	b.Helper()
	st, err := pebble.Open(filepath.Join(b.TempDir(), "data"), pebble.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := st.Close(); err != nil {
			b.Error(err)
		}
	})
	return st
}

// BenchmarkCheckpoint is a checkpoint of the 68 MiB of an AOS process after
// one message.
func BenchmarkCheckpoint(b *testing.B) {
	j := load(b)
	x := newBare(b, engine(b, wasm.Config{}), "aos2_0_6", j)
	to := &chunks{to: openStore(b)}
	if _, err := x.in.Save(b.Context(), to); err != nil {
		b.Fatal(err)
	}
	to.written = 0
	for b.Loop() {
		b.StopTimer()
		if _, err := x.call(x.text(b, j.Messages[0].Message)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := x.in.Save(b.Context(), to); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(to.written)/float64(b.N)/(1<<20), "MiB/op")
}

// BenchmarkMark is a mark after one message.
func BenchmarkMark(b *testing.B) {
	j := load(b)
	x := newBare(b, engine(b, wasm.Config{}), "aos2_0_6", j)
	for b.Loop() {
		b.StopTimer()
		if _, err := x.call(x.text(b, j.Messages[0].Message)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := x.in.Mark(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRollback is a return to the mark after one message.
func BenchmarkRollback(b *testing.B) {
	j := load(b)
	x := newBare(b, engine(b, wasm.Config{}), "aos2_0_6", j)
	text := x.text(b, j.Messages[0].Message)
	if _, err := x.in.Mark(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		if _, err := x.call(text); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := x.in.Rollback(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRestore is a state of 256 MiB brought back, up to the end of a
// first call: kept=memory from a state that another instance holds, as a fork
// or a process that was just evicted; kept=store from chunks on disk, each
// verified. filled is how much of the memory is other than zero.
func BenchmarkRestore(b *testing.B) {
	for _, filled := range []int{4, 256} {
		m, x := grown(b, filled)
		st := openStore(b)
		cp, err := x.in.Save(b.Context(), &chunks{to: st})
		if err != nil {
			b.Fatal(err)
		}
		hosts := func() []wasm.Host { return []wasm.Host{emscripten.New(emscripten.Options{})} }
		finish := func(b *testing.B, in *wasm.Instance, err error) {
			if err == nil {
				_, _, err = in.Call(b.Context(), "emscripten_stack_get_current", nil, vm.Env{}, vm.Limits{})
			}
			b.StopTimer()
			if err != nil {
				b.Fatal(err)
			}
			in.Close()
			b.StartTimer()
		}
		b.Run(fmt.Sprintf("kept=memory/filled=%dMiB", filled), func(b *testing.B) {
			for b.Loop() {
				in, err := x.in.Fork(b.Context(), hosts())
				finish(b, in, err)
			}
		})
		b.Run(fmt.Sprintf("kept=store/filled=%dMiB", filled), func(b *testing.B) {
			for b.Loop() {
				in, err := m.Restore(b.Context(), hosts(), source{st}, cp, vm.Limits{})
				finish(b, in, err)
			}
		})
	}
}

// grown is an AOS process whose memory has 256 MiB, about filled of them in use.
func grown(b *testing.B, filled int) (*wasm.Module, *bare) {
	j := load(b)
	x := newBare(b, engine(b, wasm.Config{}), "aos2_0_6", j)
	_, err := x.in.Run(b.Context(), vm.Env{}, vm.Limits{}, func(g wasm.Guest) error {
		if _, ok := g.Grow(256<<20>>16 - uint64(len(g.Memory())>>16)); !ok {
			return fmt.Errorf("memory doesn't grow")
		}
		mem := g.Memory()
		for at := len(mem) - (filled-2)<<20; at < len(mem); at += image.PageSize {
			copy(mem[at:], fmt.Sprintf("page %d", at))
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return x.in.Module(), x
}

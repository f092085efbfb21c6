package emscripten_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"aorta/test/modules"
	"aorta/vm"
	"aorta/vm/emscripten"
	"aorta/vm/wasm"
)

// record is testdata/loader.json, which record.mjs writes.
type record struct {
	Env     string              `json:"env"`
	Scripts map[string][]string `json:"scripts"`
	Runs    []struct {
		Module, Script string
		Answers        []string `json:"answers"`
	} `json:"runs"`
}

type tag struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// message is a message as the loader gets it. The order of its fields matters
// to guests: it decides where their tables lie in memory.
type message struct {
	ID     string `json:"Id"`
	Target string
	From   string
	Owner  string
	Data   string
	Tags   []tag
	Time   int    `json:"Timestamp"`
	Height string `json:"Block-Height"`
	Module string
}

func text(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // as JavaScript
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b.Bytes())
}

// TestModulesSeeWhatTheLoaderShowsThem compares clocks, dates, files, devices,
// memory (by the addresses in its answers) and the order of tables.
func TestModulesSeeWhatTheLoaderShowsThem(t *testing.T) {
	var rec record
	b, err := os.ReadFile("testdata/loader.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &rec); err != nil {
		t.Fatal(err)
	}
	e, err := wasm.NewEngine(wasm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, run := range rec.Runs {
		t.Run(run.Module, func(t *testing.T) {
			binary, err := os.ReadFile(modules.Path(t, run.Module))
			if err != nil {
				t.Fatal(err)
			}
			m, err := e.Compile(t.Context(), binary)
			if err != nil {
				t.Fatal(err)
			}
			h := emscripten.New(emscripten.Options{})
			in, err := m.New(t.Context(), []wasm.Host{h}, vm.Limits{}, "emscripten_stack_init", "__wasm_call_ctors")
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			for i, lua := range rec.Scripts[run.Script] {
				msg := message{
					ID: fmt.Sprint("id", i), Target: "P", From: "O", Owner: "O", Data: lua, Tags: []tag{{"Action", "Eval"}},
					Time: 1000 + i, Height: "1", Module: "M",
				}
				if i == 0 {
					msg.ID, msg.Tags = "P", []tag{{"Type", "Process"}}
				}
				got := answer(t, in, text(t, msg), []byte(rec.Env))
				if diff := cmp.Diff(value(t, run.Answers[i]), value(t, got)); diff != "" {
					t.Errorf("%s (-loader +ours)\n%s", lua, diff)
				}
			}
		})
	}
}

// exception stands for a call that ended, or never returned.
const exception = "exception"

func answer(t *testing.T, in *wasm.Instance, msg, env []byte) string {
	t.Helper()
	var out []byte
	_, err := in.Run(t.Context(), vm.Env{Time: 5}, vm.Limits{}, func(g wasm.Guest) (err error) {
		out, err = wasm.CallText(g, "handle", [][]byte{msg, env}, 1<<20)
		return err
	})
	if err != nil {
		if err := in.Rollback(); err != nil {
			t.Fatal(err)
		}
		return exception
	}
	if _, err := in.Mark(); err != nil {
		t.Fatal(err)
	}
	var reply struct {
		Response struct{ Error, Output json.RawMessage } `json:"response"`
	}
	if err := json.Unmarshal(out, &reply); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	if reply.Response.Error != nil {
		return string(reply.Response.Error)
	}
	return string(reply.Response.Output)
}

func value(t *testing.T, s string) any {
	t.Helper()
	if s == exception {
		return exception
	}
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return v
}

package oracle_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"aorta/device/jsoniface"
	"aorta/node"
	"aorta/process"
	"aorta/test/modules"
	"aorta/test/oracle"
	"aorta/vm"
)

// differences are the messages, by module, at which we differ from the loader
// on purpose: docs/compatibility.md says why.
var differences = map[string]map[string]string{
	"sqlite": {
		"140 KB of data": "the loader puts a message on a stack of 64 KiB, and traps; we allocate it",
		"1 MiB of Lua":   "the same",
		"return #(blob or ''), (blob or ''):sub(-5)": "it reads what the message before wrote",
	},
}

// TestModulesAnswerAsInTheLegacyLoader runs one script through every module,
// here and in npm's ao-loader, with the same texts going in.
func TestModulesAnswerAsInTheLegacyLoader(t *testing.T) {
	for _, m := range modules.All(t) {
		if m.Name == "llama" {
			continue // it needs a model of gigabytes to evaluate anything; see TestLlamaInstantiates
		}
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			script := oracle.Script(m.Name)
			ours, job := run(t, m, script)
			theirs := oracle.Ask(t, job)
			for i := range theirs {
				name := "the definition"
				if i > 0 {
					name = script[i-1].Name
				}
				d := oracle.Diff(ours[i], theirs[i])
				if why := differences[m.Name][name]; why != "" {
					if d == "" {
						t.Errorf("message %d (%s) doesn't differ any more, as it should: %s", i, name, why)
					}
					continue
				}
				if d != "" {
					t.Errorf("message %d (%s):\n%s", i, name, d)
				}
			}
		})
	}
}

// run runs the script here, and returns what came of it with the job that
// asks the loader the same.
func run(t *testing.T, m modules.Info, script []oracle.Step) ([]oracle.Answer, oracle.Job) {
	clock := time.UnixMilli(1_700_000_000_000)
	n, err := node.Open(t.Context(), node.Config{
		Dir:     t.TempDir(),
		Process: process.Options{Clock: func() time.Time { clock = clock.Add(time.Second); return clock }},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	def, err := n.Ensure(t.Context(), node.Local{Module: modules.Bytes(t, m.Name), Name: "oracle"})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range script {
		if _, err := n.Runtime.Assign(t.Context(), def.ID, process.Message{Data: step.Message}); err != nil {
			t.Fatalf("%s: %v", step.Name, err)
		}
	}
	job := oracle.Job{Module: modules.Path(t, m.Name), Format: m.Format}
	var ours []oracle.Answer
	for a, err := range n.Runtime.Assignments(t.Context(), def.ID, 0) {
		if err != nil {
			t.Fatal(err)
		}
		text, env, err := jsoniface.Texts(def, a)
		if err != nil {
			t.Fatal(err)
		}
		job.Env = env
		job.Messages = append(job.Messages, string(text))
		res, err := n.Runtime.Result(t.Context(), def.ID, a.Slot)
		if err != nil {
			t.Fatal(err)
		}
		var answer oracle.Answer
		if err := json.Unmarshal(res.Data, &answer); err != nil {
			t.Fatal(err)
		}
		ours = append(ours, answer)
	}
	return ours, job
}

// TestLlamaInstantiates runs the one module that no machine of a few GiB can
// evaluate anything on: it starts, and refuses a message as the others do.
func TestLlamaInstantiates(t *testing.T) {
	n, err := node.Open(t.Context(), node.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	l := node.Local{Module: modules.Bytes(t, "llama"), Name: "oracle"}
	if _, err := n.Ensure(t.Context(), l); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("it starts with 1200 MiB, but was taken with the default limit: %v", err)
	}
	l.Limits = vm.Limits{Memory: 2 << 30}
	def, err := n.Ensure(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	a, err := n.Runtime.Assign(t.Context(), def.ID, process.Message{Data: oracle.Script("llama")[0].Message})
	if err != nil {
		t.Fatal(err)
	}
	if res, err := n.Runtime.Result(t.Context(), def.ID, a.Slot); err != nil || res.Failed {
		t.Errorf("%+v, %v", res, err)
	}
}

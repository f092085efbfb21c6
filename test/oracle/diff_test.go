package oracle_test

import (
	"encoding/json"
	"testing"

	"aorta/test/oracle"
)

func TestAnswersAreEqualUpToWhatCannotBe(t *testing.T) {
	answer := func(text string) oracle.Answer {
		var a oracle.Answer
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, tt := range []struct {
		what, ours, theirs string
		equal              bool
	}{
		{"order of fields", `{"Output":{"a":1,"b":2}}`, `{"Output":{"b":2,"a":1.0}}`, true},
		{"absent and default", `{"Output":"","Messages":[],"Spawns":[]}`, `{}`, true},
		{"an empty table for a list", `{"Messages":{}}`, `{"Messages":[]}`, true},
		{"addresses", `{"Output":{"data":"table: 0x1f0 and function: 0x20"}}`, `{"Output":{"data":"table: 0x2f0 and function: 0x2100"}}`, true},
		{"numbers that look like addresses", `{"Output":"0x1f0"}`, `{"Output":"0x2f0"}`, false},
		{"texts of exceptions", `{"Error":{"body":"trap"}}`, `{"Error":"exception: unreachable","exception":true}`, true},
		{"an exception and none", `{}`, `{"Error":"exception: unreachable","exception":true}`, false},
		{"texts of errors", `{"Error":"a"}`, `{"Error":"b"}`, false},
		{"an error and none", `{"Output":"x","Error":"a"}`, `{"Output":"x"}`, false},
		{"order of messages", `{"Messages":[{"Target":"a"},{"Target":"b"}]}`, `{"Messages":[{"Target":"b"},{"Target":"a"}]}`, false},
	} {
		if d := oracle.Diff(answer(tt.ours), answer(tt.theirs)); (d == "") != tt.equal {
			t.Errorf("%s: %q", tt.what, d)
		}
	}
}

func TestScriptStepsHaveNamesOfTheirOwnWhereTheyDiffer(t *testing.T) {
	for module, list := range differences {
		count := map[string]int{}
		for _, s := range oracle.Script(module) {
			count[s.Name]++
		}
		for name := range list {
			if count[name] != 1 {
				t.Errorf("%s: %d steps are called %q", module, count[name], name)
			}
		}
	}
}

package jsoniface

import (
	"encoding/json"
	"strings"
	"testing"

	"aorta/process"
)

var def = &process.Definition{
	ID: "ProcessProcessProcessProcessProcessProcessP", Owner: "owner", ModuleID: "module",
	Tags: []process.Tag{{Name: "Name", Value: "a <b> & \"c\""}}, ModuleTags: []process.Tag{{Name: "Type", Value: "Module"}},
}

func assignment(msg string) *process.Assignment {
	return &process.Assignment{Process: def.ID, Slot: 7, Timestamp: 1234, BlockHeight: 99, HashChain: "chain", Message: []byte(msg)}
}

func TestMessageTextIsWhatModulesExpect(t *testing.T) {
	tests := []struct{ name, msg, want string }{
		{"nothing given", `{"Id":"i"}`,
			`{"Id":"i","Data":"","Owner":"owner","Target":"ProcessProcessProcessProcessProcessProcessP","From":"owner","Tags":[],"Epoch":0,"Nonce":7,"Timestamp":1234,"Block-Height":99,"Hash-Chain":"chain","Module":"module","Cron":false}`},
		{"everything given", `{"Id":"i","Signature":"s","Data":"d","Owner":"o","Target":"t","Anchor":"a","From":"f","Forwarded-By":"b","Tags":[{"name":"N","value":"v"}],"Cron":true,"Read-Only":true}`,
			`{"Id":"i","Signature":"s","Data":"d","Owner":"o","Target":"t","Anchor":"a","From":"f","Forwarded-By":"b","Tags":[{"name":"N","value":"v"}],"Epoch":0,"Nonce":7,"Timestamp":1234,"Block-Height":99,"Hash-Chain":"chain","Module":"module","Cron":true,"Read-Only":true}`},
		{"sent by a process", `{"Id":"i","Owner":"o","Tags":[{"name":"From-Process","value":"p"}]}`,
			`{"Id":"i","Data":"","Owner":"o","Target":"ProcessProcessProcessProcessProcessProcessP","From":"p","Tags":[{"name":"From-Process","value":"p"}],"Epoch":0,"Nonce":7,"Timestamp":1234,"Block-Height":99,"Hash-Chain":"chain","Module":"module","Cron":false}`},
		{"tag values become text", `{"Id":"i","Tags":[{"name":"N","value":12.50},{"name":"B","value":true}],"Timestamp":5,"Nonce":1}`,
			`{"Id":"i","Data":"","Owner":"owner","Target":"ProcessProcessProcessProcessProcessProcessP","From":"owner","Tags":[{"name":"N","value":"12.50"},{"name":"B","value":"true"}],"Epoch":0,"Nonce":7,"Timestamp":1234,"Block-Height":99,"Hash-Chain":"chain","Module":"module","Cron":false}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, env, err := Texts(def, assignment(tt.msg))
			if err != nil || string(got) != tt.want {
				t.Errorf("got\n%s\nwant\n%s\n%v", got, tt.want, err)
			}
			const wantEnv = `{"Process":{"Id":"ProcessProcessProcessProcessProcessProcessP","Owner":"owner","Tags":[{"name":"Name","value":"a <b> & \"c\""}]},"Module":{"Id":"module","Owner":"owner","Tags":[{"name":"Type","value":"Module"}]}}`
			if string(env) != wantEnv {
				t.Errorf("env is %s", env)
			}
		})
	}
}

func TestBadMessagesAreRefusedInOneLine(t *testing.T) {
	for _, msg := range []string{"", " ", "hello", "[1]", `"x"`, `{"Tags":1}`, `{"Tags":[{"name":{},"value":"v"}]}`, `{"Data":`, "{\"Data\":\"\xff\"}", `{}` + strings.Repeat(" ", MaxMessage)} {
		err := Validate([]byte(msg))
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.20q: got %v", msg, err)
		}
	}
}

func TestRepliesBecomeResults(t *testing.T) {
	tests := []struct {
		name, reply, want string
		rollback          bool
	}{
		{"all there", `{"ok":true,"response":{"Output":{"data":"1"},"Messages":[{"Target":"t"}],"Spawns":[{}],"Assignments":[{}]}}`,
			`{"Output":{"data":"1"},"Messages":[{"Target":"t"}],"Spawns":[{}],"Assignments":[{}]}`, false},
		{"Lua's empty tables", `{"ok":true,"response":{"Output":"text","Messages":{},"Spawns":{},"Assignments":{}}}`,
			`{"Output":"text","Messages":[],"Spawns":[],"Assignments":[]}`, false},
		{"nothing there", `{"ok":true,"response":{}}`, `{"Output":"","Messages":[],"Spawns":[],"Assignments":[]}`, false},
		{"an error", `{"ok":true,"response":{"Error":"no","Messages":[{}]}}`, `{"Output":"","Messages":[{}],"Spawns":[],"Assignments":[],"Error":"no"}`, true},
		{"patches", `{"ok":true,"response":{"Patches":[{"a":1}]}}`, `{"Output":"","Messages":[],"Spawns":[],"Assignments":[],"Patches":[{"a":1}]}`, false},
		{"not ok", `{"ok":false,"response":"why"}`, `{"Output":"","Messages":[],"Spawns":[],"Assignments":[],"Error":"why"}`, true},
		{"not ok, as an error", `{"ok":false,"error":{"a":1}}`, `{"Output":"","Messages":[],"Spawns":[],"Assignments":[],"Error":{"a":1}}`, true},
		{"out of memory", `{"ok":true,"response":{"Output":"x not enough memory for buffer allocation"}}`,
			`{"Output":"x not enough memory for buffer allocation","Messages":[],"Spawns":[],"Assignments":[]}`, true},
		{"out of memory, further in", `{"ok":true,"response":{"Output":{"data":{"output":"not enough memory for buffer allocation"}}}}`,
			`{"Output":{"data":{"output":"not enough memory for buffer allocation"}},"Messages":[],"Spawns":[],"Assignments":[]}`, true},
		{"no response", `{"ok":true}`, `{"Output":"","Messages":[],"Spawns":[],"Assignments":[],"Error":"the module's reply has no response"}`, true},
		{"text for a response", `{"ok":true,"response":"x"}`, `{"Output":"","Messages":[],"Spawns":[],"Assignments":[]}`, false},
		{"Lua's empty table for a response", `{"ok":true,"response":[]}`, `{"Output":"","Messages":[],"Spawns":[],"Assignments":[]}`, false},
		{"an error of zero", `{"ok":true,"response":{"Error":0}}`, `{"Output":"","Messages":[],"Spawns":[],"Assignments":[],"Error":0}`, false},
		{"an error of nothing", `{"ok":true,"response":{"Error":""}}`, `{"Output":"","Messages":[],"Spawns":[],"Assignments":[],"Error":""}`, false},
		{"an error of false", `{"ok":true,"response":{"Error":false}}`, `{"Output":"","Messages":[],"Spawns":[],"Assignments":[],"Error":false}`, false},
		{"an error of one", `{"ok":true,"response":{"Error":1}}`, `{"Output":"","Messages":[],"Spawns":[],"Assignments":[],"Error":1}`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, rollback := readReply([]byte(tt.reply))
			if string(got) != tt.want || rollback != tt.rollback {
				t.Errorf("got %s, %v\nwant %s, %v", got, rollback, tt.want, tt.rollback)
			}
		})
	}
	if got, rollback := readReply([]byte("Error: not JSON")); !rollback || !strings.Contains(string(got), "isn't JSON") {
		t.Errorf("got %s, %v", got, rollback)
	}
}

func FuzzReadReply(f *testing.F) {
	f.Add([]byte(`{"ok":true,"response":{"Output":{"data":"1"}}}`))
	f.Add([]byte(`{"ok":false,"error":"x"}`))
	f.Fuzz(func(t *testing.T, reply []byte) {
		res, _ := readReply(reply)
		var r Result
		if err := json.Unmarshal(res, &r); err != nil {
			t.Errorf("%q became %q: %v", reply, res, err)
		}
	})
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"Id":"i","Data":"d","Tags":[{"name":"N","value":1}]}`))
	f.Fuzz(func(t *testing.T, msg []byte) {
		text, _, err := Texts(def, assignment(string(msg)))
		if err == nil && !json.Valid(text) {
			t.Errorf("%q became %q", msg, text)
		}
	})
}

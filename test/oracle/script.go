package oracle

import (
	"encoding/json"
	"strings"

	"aorta/process"
)

// Stranger is somebody who isn't the process's owner.
const Stranger = "Stranger-Stranger-Stranger-Stranger-Strange"

// Step is one message of a script.
type Step struct {
	// Name says what the message shows. It is the message's Lua if that is short.
	Name string
	// Message is in the legacy JSON form. What it leaves out is filled in when
	// it is assigned.
	Message []byte
}

// Script returns the messages that a module is tried with after its first one,
// the process's definition. Together they leave and read back state.
func Script(module string) []Step {
	var s script
	s.language()
	s.errors()
	s.values()
	s.libraries()
	if module == "sqlite" {
		s.sql()
	}
	s.handlers()
	s.outbox()
	s.envelopes()
	s.growth() // late, since memory is copied for each message after
	s.owner()
	return s.steps
}

type script struct{ steps []Step }

// longest is how much of a message's Data names it.
const longest = 100

// eval adds a line of Lua from the owner.
func (s *script) eval(lua string) { s.named(lua, lua) }

func (s *script) named(name, lua string) {
	s.message(name, map[string]any{"Tags": tags("Action", "Eval"), "Data": lua})
}

// evals adds lines of Lua, each a message.
func (s *script) evals(lua ...string) {
	for _, l := range lua {
		s.eval(l)
	}
}

// from adds a message from somebody, with tags as names and values in turn.
func (s *script) from(who, action, data string, more ...string) {
	s.message(action+" from "+who, map[string]any{
		"From": who, "Owner": who, "Data": data,
		"Tags": append(tags("Action", action), tags(more...)...),
	})
}

func (s *script) message(name string, fields map[string]any) {
	b, err := json.Marshal(fields)
	if err != nil {
		panic("oracle: a script's field can't be JSON: " + err.Error())
	}
	s.raw(name, string(b))
}

// raw adds a message as it is written.
func (s *script) raw(name, text string) {
	if len(name) > longest {
		name = strings.ToValidUTF8(name[:longest], "") + "…"
	}
	s.steps = append(s.steps, Step{Name: name, Message: []byte(text)})
}

func tags(pairs ...string) []process.Tag {
	out := []process.Tag{}
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, process.Tag{Name: pairs[i], Value: pairs[i+1]})
	}
	return out
}

package jsoniface

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"aorta/process"
	"aorta/vm"
	"aorta/vm/wasm"
)

// Result is what a slot came to, in the legacy JSON form (spec: the CU's
// §2.1). Every field but Error is always there.
type Result struct {
	Output      json.RawMessage `json:"Output"`
	Messages    json.RawMessage `json:"Messages"`
	Spawns      json.RawMessage `json:"Spawns"`
	Assignments json.RawMessage `json:"Assignments"`
	Patches     json.RawMessage `json:"Patches,omitempty"`
	Error       json.RawMessage `json:"Error,omitempty"`
}

// Error is what Result.Error holds when the node, not the module, found the
// fault.
type Error struct {
	Status  int          `json:"status"`
	Body    string       `json:"body"`
	Details ErrorDetails `json:"details"`
}

// ErrorDetails are for programs.
type ErrorDetails struct {
	Code    string `json:"code"`
	Process string `json:"process"`
	Slot    uint64 `json:"slot"`
	Limit   uint64 `json:"limit,omitempty"`
	Used    uint64 `json:"used,omitempty"`
	Trap    string `json:"trap,omitempty"`
}

var emptyList = json.RawMessage("[]")

// outOfBuffer ends the output of AOS when its allocator gave up without an
// error; the legacy units keep the memory from before, and so do we.
const outOfBuffer = "not enough memory for buffer allocation"

// readReply turns what handle returned into a result, and says whether the
// message must leave no trace.
func readReply(reply []byte) (result []byte, rollback bool) {
	var r struct {
		OK       bool            `json:"ok"`
		Response json.RawMessage `json:"response"`
		Error    json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(reply, &r); err != nil {
		return encode(Result{Error: quote("the module's reply isn't JSON: " + err.Error())}), true
	}
	if !r.OK {
		said := or(r.Response, or(r.Error, quote("the module reported a failure without saying why")))
		return encode(Result{Error: said}), true
	}
	if blank(r.Response) {
		return encode(Result{Error: quote("the module's reply has no response")}), true
	}
	var res Result
	if r.Response[0] == '{' {
		if err := json.Unmarshal(r.Response, &res); err != nil {
			return encode(Result{Error: quote("the module's response is malformed: " + err.Error())}), true
		}
	}
	// Anything else, such as Lua's empty table, has no fields in JavaScript,
	// where the legacy units read them, and so is an empty success.
	return encode(res), res.Failed() || exhausted(res.Output)
}

// Failed reports whether the result has an error. As in the legacy units, an
// error of null, false, "" or zero is none.
func (r *Result) Failed() bool {
	if blank(r.Error) {
		return false
	}
	var v any
	if json.Unmarshal(r.Error, &v) != nil {
		return true
	}
	return v != false && v != "" && v != 0.0
}

// exhausted reports whether an output says that the guest ran out of memory.
func exhausted(output json.RawMessage) bool {
	if !bytes.Contains(output, []byte(outOfBuffer)) {
		return false
	}
	var text string
	if json.Unmarshal(output, &text) == nil {
		return bytes.HasSuffix([]byte(text), []byte(outOfBuffer))
	}
	var o struct {
		Data struct {
			Output string `json:"output"`
		} `json:"data"`
	}
	return json.Unmarshal(output, &o) == nil && bytes.HasSuffix([]byte(o.Data.Output), []byte(outOfBuffer))
}

// encode writes a result with its defaults. The parts are the guest's own
// bytes, compacted.
func encode(r Result) []byte {
	r.Output = or(r.Output, json.RawMessage(`""`))
	r.Messages = list(r.Messages)
	r.Spawns = list(r.Spawns)
	r.Assignments = list(r.Assignments)
	if blank(r.Error) {
		r.Error = nil
	}
	if blank(r.Patches) {
		r.Patches = nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		// The parts were valid JSON before.
		panic(fmt.Sprintf("jsoniface: encode result: %v", err))
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// list is a JSON list: Lua can't tell an empty list from an empty object.
func list(m json.RawMessage) json.RawMessage {
	if blank(m) || string(m) == "{}" {
		return emptyList
	}
	return m
}

// result is the record of a slot that ended in an error of the sandbox.
func (m *machine) result(a *process.Assignment, err error) []byte {
	e := Error{Status: http.StatusInternalServerError, Body: err.Error(), Details: ErrorDetails{Code: "failed", Process: a.Process, Slot: a.Slot}}
	var (
		limit *vm.LimitError
		trap  *vm.TrapError
		exit  *vm.ExitError
		guest *vm.GuestError
		sig   *wasm.SignatureError
	)
	switch {
	case errors.As(err, &limit):
		e.Details.Code, e.Details.Limit, e.Details.Used = "limit-"+string(limit.Kind), limit.Max, limit.Used
	case errors.As(err, &trap):
		e.Details.Code, e.Details.Trap = "trap", trap.Code
	case errors.As(err, &exit):
		e.Details.Code = "exit"
	case errors.As(err, &guest), errors.As(err, &sig):
		e.Details.Code = "calling-convention"
	default:
		e.Status, e.Details.Code = http.StatusBadRequest, "message"
	}
	text, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("jsoniface: encode error: %v", err)) // plain fields
	}
	return encode(Result{Error: text})
}

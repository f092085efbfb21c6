package jsoniface

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"aorta/process"
)

// MaxMessage is the largest message that is accepted, in bytes. The network's
// schedulers take 10 MiB.
const MaxMessage = 12 << 20

// ErrTooLarge says that a message is larger than MaxMessage.
var ErrTooLarge = fmt.Errorf("a message can have at most %d MiB", MaxMessage>>20)

// incoming is a message in the legacy JSON form (spec: the CU's §5.2). Fields
// stay as they were written.
type incoming struct {
	ID          json.RawMessage `json:"Id"`
	Signature   json.RawMessage `json:"Signature"`
	Data        json.RawMessage `json:"Data"`
	Owner       json.RawMessage `json:"Owner"`
	Target      json.RawMessage `json:"Target"`
	Anchor      json.RawMessage `json:"Anchor"`
	From        json.RawMessage `json:"From"`
	ForwardedBy json.RawMessage `json:"Forwarded-By"`
	Tags        []tag           `json:"Tags"`
	Cron        json.RawMessage `json:"Cron"`
	ReadOnly    json.RawMessage `json:"Read-Only"`
}

type tag struct {
	Name  text `json:"name"`
	Value text `json:"value"`
}

// text is a JSON string, number or boolean, as the legacy units coerce tag
// values: to text.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	if len(data) == 0 {
		return errors.New("empty")
	}
	switch data[0] {
	case '"':
		return json.Unmarshal(data, (*string)(t))
	case '{', '[':
		return errors.New("a tag's name and value are text, not a structure")
	}
	*t = text(data)
	return nil
}

// Validate reports whether a message can be assigned: it must be one JSON
// object with fields of the right types.
func Validate(msg []byte) error {
	_, err := parse(msg)
	return err
}

func parse(msg []byte) (*incoming, error) {
	if len(msg) > MaxMessage {
		return nil, fmt.Errorf("%w; this one has %d", ErrTooLarge, len(msg))
	}
	if trimmed := bytes.TrimSpace(msg); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, errors.New(`a message is a JSON object, such as {"Tags":[{"name":"Action","value":"Eval"}],"Data":"1+1"}`)
	}
	if !utf8.Valid(msg) {
		return nil, errors.New("a message is text in UTF-8; this one isn't")
	}
	in := new(incoming)
	if err := json.Unmarshal(msg, in); err != nil {
		var typeErr *json.UnmarshalTypeError
		if errors.As(err, &typeErr) {
			return nil, fmt.Errorf("field %s of the message can't be a %s", typeErr.Field, typeErr.Value)
		}
		return nil, fmt.Errorf("the message isn't valid JSON: %w", err)
	}
	return in, nil
}

// Texts returns what handle gets for an assignment of a process: the message
// and its environment.
func Texts(def *process.Definition, a *process.Assignment) (msg, env []byte, err error) {
	msg, err = message(nil, def, a)
	return msg, environment(def), err
}

// message appends the JSON text that handle gets for an assignment: the
// message with what is missing filled in, and its place in the log.
func message(dst []byte, def *process.Definition, a *process.Assignment) ([]byte, error) {
	in, err := parse(a.Message)
	if err != nil {
		return nil, err
	}
	owner := or(in.Owner, quote(def.Owner))
	from := in.From
	if blank(from) {
		from = owner
		for _, t := range in.Tags {
			if t.Name == "From-Process" {
				from = quote(string(t.Value))
			}
		}
	}
	w := writer{out: append(dst, '{')}
	id := in.ID
	if blank(id) {
		id = quote(messageID(a))
	}
	w.raw("Id", id)
	w.raw("Signature", in.Signature)
	w.raw("Data", or(in.Data, json.RawMessage(`""`)))
	w.raw("Owner", owner)
	w.raw("Target", or(in.Target, quote(def.ID)))
	w.raw("Anchor", in.Anchor)
	w.raw("From", from)
	w.raw("Forwarded-By", in.ForwardedBy)
	w.key("Tags")
	w.out = append(w.out, '[')
	for i, t := range in.Tags {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.out = appendTag(w.out, string(t.Name), string(t.Value))
	}
	w.out = append(w.out, ']')
	w.int("Epoch", int64(a.Epoch))
	w.int("Nonce", int64(a.Slot))
	w.int("Timestamp", a.Timestamp)
	w.int("Block-Height", int64(a.BlockHeight))
	w.string("Hash-Chain", a.HashChain)
	w.string("Module", def.ModuleID)
	w.raw("Cron", or(in.Cron, json.RawMessage("false")))
	w.raw("Read-Only", in.ReadOnly)
	return append(w.out, '}'), nil
}

// environment is the JSON text of handle's second argument.
func environment(def *process.Definition) []byte {
	w := writer{out: []byte{'{'}}
	object := func(name, id, owner string, tags []process.Tag) {
		w.key(name)
		o := writer{out: append(w.out, '{')}
		o.string("Id", id)
		o.string("Owner", owner)
		o.key("Tags")
		o.out = append(o.out, '[')
		for i, t := range tags {
			if i > 0 {
				o.out = append(o.out, ',')
			}
			o.out = appendTag(o.out, t.Name, t.Value)
		}
		w.out = append(o.out, "]}"...)
	}
	object("Process", def.ID, def.Owner, def.Tags)
	object("Module", def.ModuleID, def.Owner, def.ModuleTags)
	return append(w.out, '}')
}

// writer appends the fields of a JSON object.
type writer struct{ out []byte }

func (w *writer) key(name string) {
	if w.out[len(w.out)-1] != '{' {
		w.out = append(w.out, ',')
	}
	w.out = append(strconv.AppendQuote(w.out, name), ':')
}

// raw writes a field unless it is absent.
func (w *writer) raw(name string, value json.RawMessage) {
	if blank(value) {
		return
	}
	w.key(name)
	w.out = append(w.out, value...)
}

func (w *writer) string(name, value string) {
	w.key(name)
	w.out = append(w.out, quote(value)...)
}

func (w *writer) int(name string, value int64) {
	w.key(name)
	w.out = strconv.AppendInt(w.out, value, 10)
}

func appendTag(dst []byte, name, value string) []byte {
	dst = append(dst, `{"name":`...)
	dst = append(dst, quote(name)...)
	dst = append(dst, `,"value":`...)
	dst = append(dst, quote(value)...)
	return append(dst, '}')
}

// quote returns s as a JSON string, leaving <, > and & as they are, as the
// legacy units' encoder does.
func quote(s string) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // strings always encode
	return bytes.TrimRight(b.Bytes(), "\n")
}

func blank(m json.RawMessage) bool { return len(m) == 0 || string(m) == "null" }

func or(m, other json.RawMessage) json.RawMessage {
	if blank(m) {
		return other
	}
	return m
}

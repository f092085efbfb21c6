package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"aorta/device/jsoniface"
	"aorta/process"
)

// readable is a result for people: the output, then what was sent, then what
// it cost.
func readable(res *process.Result, r *jsoniface.Result) string {
	var b strings.Builder
	switch {
	case r.Failed():
		fmt.Fprintf(&b, "error: %s\n", plainError(r.Error))
	default:
		if text := output(r.Output); text != "" {
			fmt.Fprintln(&b, text)
		}
	}
	for _, list := range []struct {
		what string
		raw  json.RawMessage
	}{{"message to", r.Messages}, {"spawn", r.Spawns}, {"assignment", r.Assignments}} {
		var items []struct {
			Target string
			Data   string
			Tags   []struct{ Name, Value any }
		}
		if json.Unmarshal(list.raw, &items) != nil {
			continue
		}
		for _, m := range items {
			fmt.Fprintf(&b, "  → %s %s", list.what, m.Target)
			for _, t := range m.Tags {
				if t.Name == "Action" {
					fmt.Fprintf(&b, " %v", t.Value)
				}
			}
			if m.Data != "" {
				fmt.Fprintf(&b, " %q", shorten(m.Data, 60))
			}
			b.WriteByte('\n')
		}
	}
	fmt.Fprintf(&b, "  slot %d, %s fuel, %s\n", res.Slot, count(res.Ledger.Fuel), res.Ledger.Wall.Round(10*time.Microsecond))
	return b.String()
}

// output is the text in a result's Output, which is a text or an object.
func output(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var o struct{ Data json.RawMessage }
	if json.Unmarshal(raw, &o) != nil || o.Data == nil {
		return string(raw)
	}
	if json.Unmarshal(o.Data, &text) == nil {
		return text
	}
	var inner struct{ Output json.RawMessage }
	if json.Unmarshal(o.Data, &inner) == nil && json.Unmarshal(inner.Output, &text) == nil {
		return text
	}
	return string(o.Data)
}

// prompt is the prompt in a result's Output, or "".
func prompt(raw json.RawMessage) string {
	var o struct {
		Prompt string
		Data   struct{ Prompt string }
	}
	if json.Unmarshal(raw, &o) != nil {
		// Data may be a text.
		var p struct{ Prompt string }
		if json.Unmarshal(raw, &p) == nil {
			return p.Prompt
		}
		return ""
	}
	if o.Prompt == "" {
		return o.Data.Prompt
	}
	return o.Prompt
}

func plainError(raw json.RawMessage) string {
	var e jsoniface.Error
	if json.Unmarshal(raw, &e) == nil && e.Body != "" {
		return e.Body
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + "…"
}

// count writes large numbers for people: 12.3M.
func count(n uint64) string {
	for _, u := range []struct {
		size uint64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f%s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprint(n)
}

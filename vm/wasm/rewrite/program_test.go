package rewrite

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// program writes a random module with legacy exception handling, as text. It
// exports a function "run" of a seed, and a global that everything which
// happens is mixed into. It always ends.
type program struct {
	random     *rand.Rand
	size       int
	statements int
	out        strings.Builder
	indent     int
	funcs      []signature
	self       int // index of the function being written
	labels     []label
	catchless  bool // try blocks may have no handler
}

type signature struct{ params, results []string }

// label is an open block.
type label struct {
	takes   []string // what a branch to it takes
	handler bool     // it is a try, in one of its handlers
}

var (
	numbers = []string{"i32", "i64", "f64"}
	tags    = [][]string{{}, {"i32"}, {"i64", "i32"}, {"f64", "i32", "i32"}}
)

// exceptional draws a program. Its choices come from a seed, for the library's
// own favour small numbers and so few kinds of statements.
func exceptional(t *rapid.T, catchless bool) string {
	return newProgram(rapid.IntRange(2, 6).Draw(t, "size"), rapid.Uint64().Draw(t, "seed"), catchless)
}

// newProgram is the program of a seed, with the helpers that it calls. Size
// bounds its depth.
func newProgram(size int, seed uint64, catchless bool) string {
	p := &program{random: rand.New(rand.NewPCG(seed, 0)), size: size, catchless: catchless}
	for range p.pick(1, 4) {
		p.funcs = append(p.funcs, signature{p.list(2), p.list(2)})
	}
	p.funcs[0] = signature{}
	p.line("(module")
	p.indent++
	for i, params := range tags {
		p.line("(tag $e%d%s)", i, typed("param", params))
	}
	p.line(`(global $trace (export "trace") (mut i32) (i32.const 0))`)
	p.line(`(global $fuel (mut i32) (i32.const 0))`)
	p.line(helpers)
	for i := range p.funcs {
		p.function(i)
	}
	p.indent--
	p.line(")")
	return p.out.String()
}

const helpers = `
  (func $mix_i32 (param i32)
    (global.set $trace (i32.add (i32.mul (global.get $trace) (i32.const 31)) (local.get 0))))
  (func $mix_i64 (param i64)
    (call $mix_i32 (i32.wrap_i64 (local.get 0)))
    (call $mix_i32 (i32.wrap_i64 (i64.shr_u (local.get 0) (i64.const 32)))))
  (func $mix_f64 (param f64) (call $mix_i64 (i64.reinterpret_f64 (local.get 0))))
  (func $tick
    (global.set $fuel (i32.sub (global.get $fuel) (i32.const 1)))
    (if (i32.eqz (global.get $fuel)) (then unreachable)))
  ;; coin is a random number below its argument.
  (func $coin (param i32) (result i32)
    (global.set $trace (i32.add (i32.mul (global.get $trace) (i32.const 1664525)) (i32.const 1013904223)))
    (i32.rem_u (i32.shr_u (global.get $trace) (i32.const 11)) (local.get 0)))
  (func (export "run") (param i32) (result i32)
    (global.set $trace (local.get 0))
    (global.set $fuel (i32.const 400))
    try
      call $f0
      i32.const 1
      call $mix_i32
    catch $e1
      call $mix_i32
      i32.const 2
      call $mix_i32
    catch $e2
      call $mix_i32
      call $mix_i64
    end
    global.get $trace)`

func typed(what string, ts []string) string {
	if len(ts) == 0 {
		return ""
	}
	return " (" + what + " " + strings.Join(ts, " ") + ")"
}

func (p *program) line(format string, args ...any) {
	fmt.Fprintf(&p.out, strings.Repeat(" ", min(p.indent, 40))+format+"\n", args...)
}

func (p *program) pick(low, high int) int { return low + p.random.IntN(high-low+1) }

func (p *program) maybe(n int) bool { return p.pick(1, n) == 1 }

func (p *program) list(most int) []string {
	out := make([]string, p.pick(0, most))
	for i := range out {
		out[i] = numbers[p.pick(0, len(numbers)-1)]
	}
	return out
}

func (p *program) function(i int) {
	s := p.funcs[i]
	p.self, p.labels = i, []label{{takes: s.results}}
	p.line("(func $f%d%s%s (local $i32 i32) (local $i64 i64) (local $f64 f64)", i, typed("param", s.params), typed("result", s.results))
	p.indent++
	p.line("call $tick")
	for k := range s.params {
		p.line("local.get %d", k)
	}
	p.sequence(p.size, s.params, s.results)
	p.indent--
	p.line(")")
}

func (p *program) push(ts []string) {
	for _, t := range ts {
		switch n := p.pick(-2, 90); {
		case n > 60:
			p.line("local.get $%s", t)
		case n < 0:
			p.line("i32.const %d", n)
			p.line("call $coin")
			if t != "i32" {
				p.line("%s", map[string]string{"i64": "i64.extend_i32_u", "f64": "f64.convert_i32_u"}[t])
			}
		default:
			p.line("%s.const %d", t, n)
		}
	}
}

// mix takes values of these types, the last one first.
func (p *program) mix(ts []string) {
	for _, t := range slices.Backward(ts) {
		p.line("call $mix_%s", t)
	}
}

// sequence goes from one stack to another.
func (p *program) sequence(depth int, from, to []string) {
	kept := 0 // values that stay below the statements for a while
	if p.maybe(3) {
		kept = len(from)
	}
	p.mix(from[kept:])
	for range p.pick(0, 3) {
		p.statement(depth)
	}
	if p.maybe(6) {
		p.leave()
		for range p.pick(0, 2) {
			p.dead(depth)
		}
		return
	}
	p.mix(from[:kept])
	p.push(to)
}

// dead writes code that is never reached.
func (p *program) dead(depth int) {
	switch p.pick(0, 3) {
	case 0:
		p.line("drop")
	case 1:
		p.line("i32.add")
		p.line("drop")
	default:
		p.statement(depth)
	}
}

// leave ends with an instruction that nothing comes after.
func (p *program) leave() {
	if k := p.handler(); k >= 0 && p.maybe(3) {
		p.line("rethrow %d", k)
		return
	}
	switch p.pick(0, 5) {
	case 0:
		p.line("unreachable")
	case 1:
		p.push(p.labels[0].takes)
		p.line("return")
	case 2, 3:
		p.throw()
	case 4:
		k := p.pick(0, len(p.labels)-1)
		p.push(p.label(k).takes)
		p.line("br %d", k)
	default:
		p.table()
	}
}

func (p *program) throw() {
	tag := p.pick(0, len(tags)-1)
	p.push(tags[tag])
	p.line("throw $e%d", tag)
}

// table branches to one of the labels that take the same.
func (p *program) table() {
	takes := p.label(p.pick(0, len(p.labels)-1)).takes
	var same []string
	for k := range p.labels {
		if slices.Equal(p.label(k).takes, takes) && (len(same) == 0 || p.maybe(2)) {
			same = append(same, fmt.Sprint(k))
		}
	}
	p.push(takes)
	p.line("i32.const %d", len(same)+1)
	p.line("call $coin")
	p.line("br_table %s", strings.Join(same, " "))
}

// handler is a label that can be rethrown to, or -1.
func (p *program) handler() int {
	var all []int
	for k := range p.labels {
		if p.label(k).handler {
			all = append(all, k)
		}
	}
	if all == nil {
		return -1
	}
	return all[p.pick(0, len(all)-1)]
}

func (p *program) label(k int) label { return p.labels[len(p.labels)-1-k] }

// statement writes code that leaves the stack as it was.
func (p *program) statement(depth int) {
	kind := p.pick(0, 12)
	if p.statements++; depth == 0 || p.statements > 300 {
		kind %= 5
	}
	switch kind {
	case 0:
		p.line("i32.const %d", p.pick(0, 99))
		p.line("call $mix_i32")
	case 1:
		t := []string{numbers[p.pick(0, len(numbers)-1)]}
		p.push(t)
		p.line("local.set $%s", t[0])
	case 2:
		if p.self+1 == len(p.funcs) {
			return
		}
		f := p.pick(p.self+1, len(p.funcs)-1)
		p.push(p.funcs[f].params)
		p.line("call $f%d", f)
		p.mix(p.funcs[f].results)
	case 3:
		k := p.pick(0, len(p.labels)-1)
		takes := p.label(k).takes
		p.push(takes)
		p.line("i32.const 3")
		p.line("call $coin")
		p.line("i32.eqz")
		p.line("br_if %d", k)
		p.mix(takes)
	case 4:
		p.line("i32.const 3")
		p.line("call $coin")
		p.line("i32.eqz")
		p.line("if")
		p.within(label{}, func() {
			if p.maybe(2) {
				p.throw()
			} else {
				p.leave()
			}
		})
		p.line("end")
	case 5:
		p.block("block", depth)
	case 6:
		from, to := p.list(1), p.list(2)
		p.push(from)
		p.line("loop%s%s", typed("param", from), typed("result", to))
		p.within(label{takes: from}, func() {
			p.line("call $tick")
			p.sequence(depth-1, from, to)
		})
		p.line("end")
		p.mix(to)
	case 7:
		from, to := p.list(1), p.list(1)
		p.push(from)
		p.line("i32.const 2")
		p.line("call $coin")
		p.line("if%s%s", typed("param", from), typed("result", to))
		p.within(label{takes: to}, func() { p.sequence(depth-1, from, to) })
		p.line("else")
		p.within(label{takes: to}, func() { p.sequence(depth-1, from, to) })
		p.line("end")
		p.mix(to)
	default:
		p.try(depth)
	}
}

func (p *program) within(l label, f func()) {
	p.labels = append(p.labels, l)
	p.indent++
	f()
	p.indent--
	p.labels = p.labels[:len(p.labels)-1]
}

func (p *program) block(op string, depth int) {
	from, to := p.list(1), p.list(2)
	p.push(from)
	p.line("%s%s%s", op, typed("param", from), typed("result", to))
	p.within(label{takes: to}, func() { p.sequence(depth-1, from, to) })
	p.line("end")
	p.mix(to)
}

func (p *program) try(depth int) {
	from, to := p.list(1), p.list(2)
	p.push(from)
	p.line("try%s%s", typed("param", from), typed("result", to))
	p.within(label{takes: to}, func() {
		if p.maybe(3) { // most often something is thrown
			p.mix(from)
			p.statement(depth - 1)
			p.throw()
		} else {
			p.sequence(depth-1, from, to)
		}
	})
	defer p.mix(to)
	if p.maybe(3) {
		p.line("delegate %d", p.pick(0, len(p.labels)-1))
		return
	}
	handlers := 0
	handle := func(from []string) {
		handlers++
		p.within(label{takes: to, handler: true}, func() { p.sequence(depth-1, from, to) })
	}
	for range p.pick(0, 3) {
		tag := p.pick(0, len(tags)-1)
		p.line("catch $e%d", tag)
		handle(tags[tag])
	}
	if p.maybe(2) || handlers == 0 && !p.catchless {
		p.line("catch_all")
		handle(nil)
	}
	p.line("end")
}

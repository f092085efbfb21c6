// Command ratios reads the output of benchmarks and prints what they say of each other.
//
// It reads standard input, in the form of Go's benchmarks, and prints a table
// of goals: each is a ratio of two benchmarks of the same run, or a bound on
// one. The medians of repeated lines are compared.
package main

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

func main() {
	runs, err := read()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ratios:", err)
		os.Exit(1)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tMEASURED\tGOAL\t")
	for _, g := range goals {
		value, ok := g.value(runs)
		if !ok {
			fmt.Fprintf(w, "%s\tnot measured\t%s\t\n", g.what, g.goal())
			continue
		}
		verdict := "met"
		if value > g.max && !g.atLeast || value < g.max && g.atLeast {
			verdict = "MISSED"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", g.what, g.format(value), g.goal(), verdict)
	}
	if err := w.Flush(); err != nil {
		os.Exit(1)
	}
}

// runs has the measurements of each benchmark, by unit.
type runs map[string]map[string][]float64

func read() (runs, error) {
	out := make(runs)
	s := bufio.NewScanner(os.Stdin)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := f[0]
		// Go appends the number of processors.
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			if _, err := strconv.Atoi(name[i+1:]); err == nil {
				name = name[:i]
			}
		}
		if out[name] == nil {
			out[name] = make(map[string][]float64)
		}
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", s.Text(), err)
			}
			out[name][f[i+1]] = append(out[name][f[i+1]], v)
		}
	}
	return out, s.Err()
}

// median of a benchmark's measurements in a unit.
func (r runs) median(name, unit string) (float64, bool) {
	v := slices.Sorted(slices.Values(r[name][unit]))
	if len(v) == 0 {
		return 0, false
	}
	return v[len(v)/2], true
}

// ratio is the geometric mean, over all benchmarks under a, of theirs to the
// one of the same name under b.
func (r runs) ratio(a, b string) (float64, bool) {
	sum, n := 0.0, 0
	for name := range r {
		rest, ok := strings.CutPrefix(name, a)
		if !ok || rest != "" && rest[0] != '/' {
			continue
		}
		x, okX := r.median(name, "ns/op")
		y, okY := r.median(b+rest, "ns/op")
		if okX && okY {
			sum += math.Log(x / y)
			n++
		}
	}
	return math.Exp(sum / float64(max(n, 1))), n > 0
}

type goal struct {
	what    string
	max     float64 // or min
	atLeast bool
	unit    string // of a bound; "" for a ratio
	scale   float64
	a, b    string
}

func (g goal) value(r runs) (float64, bool) {
	if g.b != "" {
		return r.ratio(g.a, g.b)
	}
	unit := "ns/op"
	if g.unit == "MiB" {
		unit = "MiB/op"
	}
	v, ok := r.median(g.a, unit)
	return v / g.scale, ok
}

func (g goal) format(v float64) string {
	if g.unit == "" {
		return fmt.Sprintf("%.2f×", v)
	}
	return fmt.Sprintf("%.2f %s", v, g.unit)
}

func (g goal) goal() string {
	word := "at most "
	if g.atLeast {
		word = "at least "
	}
	return word + g.format(g.max)
}

const eval = "/module=aos2_0_6/message=eval"

var goals = []goal{
	{what: "eval through a process, 32 at once, to the bare engine", max: 1.3, a: "BenchmarkProcessParallel" + eval, b: "BenchmarkEngineParallel" + eval},
	{what: "the legacy loader to the bare engine", max: 50, atLeast: true, a: "BenchmarkLoader" + eval, b: "BenchmarkEngine" + eval},
	{what: "the engine without fuel to V8, live", max: 1, a: "BenchmarkEngineNoFuel" + eval, b: "BenchmarkV8Live" + eval},
	{what: "the engine with fuel to V8, live", max: 1.25, a: "BenchmarkEngine" + eval, b: "BenchmarkV8Live" + eval},
	{what: "fuel (geometric mean)", max: 1.2, a: "BenchmarkEngine", b: "BenchmarkEngineNoFuel"},
	{what: "checkpoint after a message", max: 2, unit: "ms", scale: 1e6, a: "BenchmarkCheckpoint"},
	{what: "handed to the store for it", max: 1.5, unit: "MiB", scale: 1, a: "BenchmarkCheckpoint"},
	{what: "restore 256 MiB kept in memory, to the first call", max: 5, unit: "ms", scale: 1e6, a: "BenchmarkRestore/kept=memory/filled=256MiB"},
	{what: "restore 256 MiB (4 in use) from the store", max: 5, unit: "ms", scale: 1e6, a: "BenchmarkRestore/kept=store/filled=4MiB"},
	{what: "rollback", max: 1, unit: "ms", scale: 1e6, a: "BenchmarkRollback"},
	{what: "instantiate", max: 50, unit: "µs", scale: 1e3, a: "BenchmarkInstantiate"},
	{what: "module from the code cache", max: 20, unit: "ms", scale: 1e6, a: "BenchmarkCodeCache"},
}

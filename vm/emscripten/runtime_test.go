package emscripten

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"aorta/vm"
	"aorta/vm/wasi/wasitest"
	"aorta/vm/wasm"
)

func (g guest) float(name string) float64 {
	g.TB.Helper()
	return math.Float64frombits(g.Must("env", name, ":d"))
}

func TestTheClockCountsItsReadingsFromTheSameStartInEveryMessage(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		for range 2 {
			h.Begin(vm.Env{Time: 1_700_000_000_000}, vm.Limits{})
			got := []float64{g.float("emscripten_date_now"), g.float("emscripten_get_now"), g.float("emscripten_date_now")}
			if diff := cmp.Diff([]float64{10004, 10005, 10006}, got); diff != "" {
				t.Error(diff)
			}
			g.write(1, "x") // terminals and files read it too
			if now := g.float("emscripten_date_now"); now != 10008 {
				t.Errorf("after printing it is %v", now)
			}
		}
		if g.Must("env", "_emscripten_get_now_is_monotonic", ":i") != 1 || g.float("emscripten_get_now_res") != 1e6 {
			t.Error("the clock's kind changed")
		}
	})
}

func TestTheClockCanBeTheMessages(t *testing.T) {
	g, h := newGuest(t, Options{MessageClock: true}, true)
	for range 2 {
		h.Begin(vm.Env{Time: 77}, vm.Limits{})
		got := []float64{g.float("emscripten_date_now"), g.float("emscripten_get_now"), g.float("emscripten_get_now"), g.float("emscripten_date_now")}
		if diff := cmp.Diff([]float64{77, 1, 2, 77}, got); diff != "" {
			t.Error(diff)
		}
		if now := g.float("_emscripten_date_now"); now != 77 {
			t.Errorf("the old name gives %v", now)
		}
	}
}

func TestOldModulesSeeTheClockOfTheirFormat(t *testing.T) {
	g, _ := newGuest(t, Options{}, false)
	if now := g.float("_emscripten_date_now"); now != 0 {
		t.Errorf("generation 2 says %v", now)
	}
	g, h := newGuest(t, Options{}, false)
	if h.Lookup("env", "emscripten_memcpy_js", g.Type("ppp:")) == nil {
		t.Fatal("no memcpy")
	}
	if now := g.float("emscripten_date_now"); now != 10003 {
		t.Errorf("generation 3 says %v", now)
	}
}

func (g guest) tm() [9]int32 {
	var out [9]int32
	for i := range out {
		out[i] = g.Mem.I32(bufAt + 4*uint64(i))
	}
	return out
}

func (g guest) putTM(v [9]int32) {
	for i := range v {
		g.Mem.PutI32(bufAt+4*uint64(i), v[i])
	}
}

func TestTimesAreBrokenDownAndPutTogetherAsInUTC(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		rapid.Check(t, func(t *rapid.T) {
			s := rapid.Int64Range(-8.64e12, 8.64e12).Draw(t, "seconds")
			g.Must("env", "_gmtime_js", "lp:", uint64(s), bufAt)
			u := time.Unix(s, 0).UTC()
			want := [9]int32{int32(u.Second()), int32(u.Minute()), int32(u.Hour()), int32(u.Day()), int32(u.Month() - 1),
				int32(u.Year() - 1900), int32(u.Weekday()), int32(u.YearDay() - 1), 0}
			if got := g.tm(); got != want {
				t.Fatalf("%d is %v, want %v", s, got, want)
			}
			g.Mem.PutI32(bufAt+tmIsdst, 1)
			g.Must("env", "_localtime_js", "lp:", uint64(s), bufAt)
			if got := g.tm(); got != want {
				t.Fatalf("local %d is %v, want %v", s, got, want)
			}
			if u.Year() < 0 || u.Year() > 99 {
				if got := int64(g.Must("env", "_mktime_js", "p:l", bufAt)); got != s {
					t.Fatalf("%v is %d, want %d", want, got, s)
				}
			}
		})
	})
}

func TestTimesOutOfRangeAreAsInJavaScript(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		for _, c := range []struct {
			in   [9]int32
			want int64
			out  [9]int32
		}{
			{[9]int32{75, 61, 25, 32, 12, 100, 0, 0, -1}, 981079335, [9]int32{15, 2, 2, 2, 1, 101, 5, 32, 0}}, // 2001-02-02
			{[9]int32{0, 0, 0, 0, -1, 70, 0, 0, 0}, -2764800, [9]int32{0, 0, 0, 30, 10, 69, 0, 333, 0}},       // 1969-11-30
			{[9]int32{0, 0, 0, 1, 0, -1900, 0, 0, 0}, -2208988800, [9]int32{0, 0, 0, 1, 0, 0, 1, 0, 0}},       // the year 0 is 1900
			{[9]int32{0, 0, 0, 1, 0, math.MaxInt32 - 1900, 3, 3, 0}, -1, [9]int32{}},
			{[9]int32{0, 0, 0, math.MinInt32, 0, 0, 3, 3, 0}, -1, [9]int32{}},
		} {
			g.putTM(c.in)
			if got := int64(g.Must("env", "_mktime_js", "p:l", bufAt)); got != c.want {
				t.Errorf("%v is %d, want %d", c.in, got, c.want)
			}
			if got := g.tm(); got != c.out {
				t.Errorf("%v became %v, want %v", c.in, got, c.out)
			}
		}
		g.putTM([9]int32{1, 1, 1, 1, 1, 1, 1, 1, 1})
		over := int64(8_640_000_000_001)
		g.Must("env", "_gmtime_js", "lp:", uint64(over), bufAt)
		if got := g.tm(); got != [9]int32{0, 0, 0, 0, 0, 0, 0, 0, 1} {
			t.Errorf("an invalid date is %v", got)
		}
	})
}

func TestSplitTimesTravelInTwoHalves(t *testing.T) {
	g, h := newGuest(t, Options{}, false)
	const s = 1 << 33
	split := wasm.FuncType{Params: []wasm.ValueType{wasm.I32, wasm.I32, wasm.I32}}
	if err := h.Lookup("env", "_gmtime_js", split)(g, []uint64{s & 0xffffffff, s >> 32, bufAt}, nil); err != nil {
		t.Fatal(err)
	}
	one := wasm.FuncType{Params: []wasm.ValueType{wasm.I32}, Results: []wasm.ValueType{wasm.I32}}
	mktime := h.Lookup("env", "_mktime_js", one)
	for _, export := range []bool{false, true} {
		high := uint64(99)
		if export {
			g.Exports = map[string]func(...uint64) uint64{"_emscripten_tempret_set": func(args ...uint64) uint64 { high = args[0]; return 0 }}
		}
		out := make([]uint64, 1)
		if err := mktime(g, []uint64{bufAt}, out); err != nil {
			t.Fatal(err)
		}
		if !export {
			high = g.Must("env", "getTempRet0", ":i")
		}
		if got := high<<32 | uint64(uint32(out[0])); got != s {
			t.Errorf("export=%v: %#x", export, got)
		}
	}
}

func TestTheTimeZoneIsUTCInEveryGeneration(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		g.Mem.PutU64(outAt, 1<<64-1)
		g.Must("env", "_tzset_js", "pppp:", outAt, outAt+8, bufAt, bufAt+32)
		if g.Mem.Ptr(outAt) != 0 || g.Mem.U32(outAt+8) != 0 || g.String(bufAt, 4) != "UTC\x00" || g.String(bufAt+32, 4) != "UTC\x00" {
			t.Errorf("%q", g.String(bufAt, 40))
		}
	})
	g, h := newGuest(t, Options{}, false)
	h.generation = 2
	next := uint64(bufAt)
	g.Exports = map[string]func(...uint64) uint64{"malloc": func(args ...uint64) uint64 { next += args[0]; return next - args[0] }}
	for range 2 { // the names are allocated once
		g.Must("env", "_tzset_js", "ppp:", outAt, outAt+4, outAt+8)
	}
	const name = "Coordinated Universal Time\x00"
	if next != bufAt+2*uint64(len(name)) || g.String(uint64(g.Mem.U32(outAt+8)), uint64(len(name))) != name {
		t.Errorf("%#x: %q", next, g.String(bufAt, 64))
	}
	if h.Snapshot() == nil {
		t.Error("that it was done is no state")
	}
}

func (g guest) strftime(format string, room uint64) string {
	g.TB.Helper()
	n := g.Must("env", "strftime", "pppp:p", outAt, room, g.text(format), bufAt)
	return g.String(outAt, n)
}

func TestDatesAreFormatted(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		const monday = 1_704_067_199 + 1 // 2024-01-01
		for _, c := range []struct {
			at           int64
			format, want string
		}{
			{monday, "%Y-%m-%d %H:%M:%S", "2024-01-01 00:00:00"},
			{monday, "%c|%x|%X|%D|%F|%r|%R|%T|%h", "Mon Jan 01 00:00:00 2024|01/01/24|00:00:00|01/01/24|2024-01-01|12:00:00 AM|00:00|00:00:00|Jan"},
			{monday, "%a %A %b %B %C %d %e %I %j %n%t %p %u %w %y", "Mon Monday Jan January 20 01  1 12 001 \n\t AM 1 1 24"},
			{monday, "%U %W %V %G %g", "00 01 01 2024 24"},
			{monday - 1, "%U %W %V %G %g %j %u %p", "53 52 52 2023 23 365 7 PM"},
			{monday - 86400*365, "%U %W %V %G", "01 00 52 2022"},
			{1_609_459_200, "%V %G", "53 2020"},
			{monday, "%Ec %EC %Ex %Ey %EY %Od %OH %Oy", "%c 20 01/01/24 24 2024 01 00 24"}, // %c was looked for before %Ec
			{monday, "100%% %z %Q %", "100% +0000 %Q %"},
			{monday, "%%c", "%a Jan 01 00:00:00 2024"}, // the runtime expands before it looks for %%
			{951_782_400 + 86400, "%j", "061"},
			{-86400, "%Y %j", "1969 365"},
		} {
			g.Must("env", "_localtime_js", "lp:", uint64(c.at), bufAt)
			if got := g.strftime(c.format, 200); got != c.want {
				t.Errorf("%d by %q: %q, want %q", c.at, c.format, got, c.want)
			}
		}
		g.Must("env", "_localtime_js", "lp:", monday, bufAt)
		if got := g.strftime("%Y", 4); got != "" {
			t.Errorf("without room for the NUL: %q", got)
		}
		if got := g.strftime("%Y", 5); got != "2024" {
			t.Errorf("with just enough room: %q", got)
		}
		zone := bufAt + gmtoff(g.Mem.Wide) + g.Mem.PtrSize()
		g.Mem.PutPtr(zone, g.text2("CET"))
		g.Mem.PutPtr(bufAt+gmtoff(g.Mem.Wide), 3600)
		if got := g.strftime("%z %Z", 50); got != "+0100 CET" {
			t.Errorf("zone %q", got)
		}
		g.Mem.PutPtr(zone, 1<<30)
		if got := g.strftime("[%Z]%Y", 50); got != "[]2024" {
			t.Errorf("a zone that is nowhere: %q", got)
		}
		g.Mem.PutI32(bufAt+tmMon, 12)
		_, err := g.Try("env", "strftime", "pppp:p", outAt, 50, g.text("%b"), bufAt)
		var bad *vm.GuestError
		if !errors.As(err, &bad) {
			t.Errorf("a month that is none: %v", err)
		}
	})
}

func gmtoff(wide bool) uint64 {
	if wide {
		return 40
	}
	return 36
}

func TestWeeksAreThoseOfISO8601(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := time.Unix(rapid.Int64Range(-2e9, 1e10).Draw(t, "seconds"), 0).UTC()
		d := date{year: int64(u.Year() - 1900), yday: int64(u.YearDay() - 1), wday: int64(u.Weekday())}
		year, week := u.ISOWeek()
		// The runtime takes the year of the century for the year, which is
		// wrong when a leap year matters in one that ends a century.
		if century := u.Year()%100 == 0 || (u.Year()-1)%100 == 0; d.weekYear() != int64(year) || d.isoWeek() != int64(week) && !century {
			t.Fatalf("%v is in week %d of %d, want %d of %d", u, d.isoWeek(), d.weekYear(), week, year)
		}
	})
}

func TestTheHeapGrowsByAFifthIfItCan(t *testing.T) {
	// As JavaScript works it out, for the three attempts.
	for _, c := range []struct {
		size, requested, limit uint64
		want                   [3]uint64
	}{
		{71303168, 71303169, 17179869184, [3]uint64{85590016, 78446592, 74907648}},
		{71303168, 85563802, 17179869184, [3]uint64{85590016, 85590016, 85590016}},
		{71303168, 200000000, 17179869184, [3]uint64{200015872, 200015872, 200015872}},
		{1073741824, 1073741825, 17179869184, [3]uint64{1174470656, 1174470656, 1127481344}},
		{1073807360, 1073807361, 4294901760, [3]uint64{1174536192, 1174536192, 1127546880}},
		{4294836224, 4294901760, 4294901760, [3]uint64{4294901760, 4294901760, 4294901760}},
		{524222464, 524222465, 524288000, [3]uint64{524288000, 524288000, 524288000}},
		{65536, 65537, 17179869184, [3]uint64{131072, 131072, 131072}},
		{8589934592, 8589934593, 17179869184, [3]uint64{8690663424, 8690663424, 8690663424}},
		{720896, 720897, 4294901760, [3]uint64{917504, 851968, 786432}},
		{458752, 458753, 4294901760, [3]uint64{589824, 524288, 524288}},
	} {
		for i, cut := range []float64{1, 2, 4} {
			if got := grown(c.size, c.requested, c.limit, cut); got != c.want[i] {
				t.Errorf("from %d for %d, attempt %d: %d, want %d", c.size, c.requested, i, got, c.want[i])
			}
		}
	}
	both(t, func(t *testing.T, g guest, h *Host) {
		g.Mem.Bytes = make([]byte, 20*wasmPage)
		g.MaxPages = 22
		if r := g.sys("emscripten_resize_heap", 20*wasmPage+1); r != 1 || len(g.Mem.Bytes) != 22*wasmPage {
			t.Errorf("%d, %d pages", r, len(g.Mem.Bytes)/wasmPage)
		}
		if r := g.sys("emscripten_resize_heap", 5); r != 1 {
			t.Errorf("what is there already: %d", r)
		}
		if r := g.sys("emscripten_resize_heap", 23*wasmPage); r != 0 || !strings.Contains(string(h.Stderr()), "Failed to grow") {
			t.Errorf("past the maximum: %d, %q", r, h.Stderr())
		}
		limit := uint64(heapMax32)
		if g.Mem.Wide {
			limit = heapMax64
		}
		if got := g.Must("env", "emscripten_get_heap_max", ":p"); got != limit {
			t.Errorf("the heap's maximum is %d", got)
		}
		if g.Mem.Wide {
			if r := g.sys("emscripten_resize_heap", limit+1); r != 0 || !strings.Contains(string(h.Stderr()), "Cannot enlarge") {
				t.Errorf("past the heap's maximum: %d, %q", r, h.Stderr())
			}
		}
		h.generation = 2
		if got := g.Must("env", "emscripten_get_heap_max", ":p"); !g.Mem.Wide && got != 524288000 {
			t.Errorf("the heap's maximum in generation 2 is %d", got)
		}
	})
}

func TestMemoryIsCopiedWithinMemory(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		g.PutString(bufAt, "abcdef")
		g.Must("env", "_emscripten_memcpy_js", "ppp:", bufAt+2, bufAt, 4)
		if got := g.String(bufAt, 6); got != "ababcd" {
			t.Errorf("copied %q", got)
		}
		_, err := g.Try("env", "_emscripten_memcpy_js", "ppp:", bufAt, 1<<16-1, 2)
		var trap *vm.TrapError
		if !errors.As(err, &trap) || trap.Code != vm.TrapMemory {
			t.Errorf("from outside: %v", err)
		}
	})
}

func TestProcessesEnd(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		_, err := g.Try("env", "exit", "i:", 3)
		var exit *vm.ExitError
		if !errors.As(err, &exit) || exit.Code != 3 {
			t.Errorf("exit: %v", err)
		}
		for _, c := range []struct {
			name string
			args []uint64
			says string
		}{
			{"abort", nil, "Aborted(native code called abort())\n"},
			{"_abort_js", nil, "Aborted(native code called abort())\n"},
			{"__assert_fail", []uint64{g.text("x > 0"), g.text2("f.c"), 7, 0}, "Aborted(Assertion failed: x > 0, at: f.c,7,unknown function)\n"},
			{"_dlopen_js", []uint64{0, 0}, "Aborted(the module was linked without dynamic linking)\n"},
			{"__cxa_rethrow", nil, "Aborted(no exception to throw)\n"},
			{"__cxa_end_catch", nil, "Aborted(a catch clause ends that didn't begin)\n"},
			{"__cxa_call_unexpected", []uint64{0}, "Aborted(an unexpected exception was thrown)\n"},
		} {
			h.Begin(vm.Env{}, vm.Limits{})
			pattern := functions[c.name][0].pattern
			_, err := g.Try("env", c.name, pattern, c.args...)
			var trap *vm.TrapError
			if !errors.As(err, &trap) || trap.Code != vm.TrapUnreachable || string(h.Stderr()) != c.says {
				t.Errorf("%s: %v, %q", c.name, err, h.Stderr())
			}
		}
		h.Begin(vm.Env{}, vm.Limits{Output: 3})
		_, err = g.Try("env", "abort", ":")
		var limit *vm.LimitError
		if !errors.As(err, &limit) {
			t.Errorf("no room for the reason: %v", err)
		}
	})
}

func TestLogsAreCaptured(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		for _, name := range []string{"emscripten_out", "emscripten_console_log", "emscripten_err", "emscripten_console_error", "emscripten_console_warn"} {
			g.Must("env", name, "p:", g.text(name))
		}
		if got := string(h.Stdout()); got != "emscripten_out\nemscripten_console_log\n" {
			t.Errorf("out: %q", got)
		}
		if got := string(h.Stderr()); got != "emscripten_err\nemscripten_console_error\nemscripten_console_warn\n" {
			t.Errorf("err: %q", got)
		}
	})
}

func TestThereIsNoShell(t *testing.T) {
	g, _ := newGuest(t, Options{}, true)
	if a, b := g.sys("_emscripten_system", 0), g.sys("_emscripten_system", g.text("ls")); a != 0 || b != -52 {
		t.Errorf("%d and %d", a, b)
	}
	g, _ = newGuest(t, Options{}, false)
	g.Exports = map[string]func(...uint64) uint64{"__errno_location": func(...uint64) uint64 { return bufAt }}
	if a, b := g.sys("system", 0), g.sys("system", g.text("ls")); a != 0 || b != -1 || g.Mem.U32(bufAt) != 52 {
		t.Errorf("%d and %d, errno %d", a, b, g.Mem.U32(bufAt))
	}
}

func TestGasIsCountedByTheModule(t *testing.T) {
	h := New(Options{Gas: 100})
	h.Begin(vm.Env{}, vm.Limits{})
	g := guest{wasitest.New(t, h, true, 1)}
	use := func(n uint64) error {
		_, err := g.Try("metering", "usegas", "l:", n)
		return err
	}
	if err := errors.Join(use(60), use(40)); err != nil {
		t.Fatal(err)
	}
	if h.Gas() != 100 || g.Must("env", "metering_gasUsed", ":l") != 100 || math.Float64frombits(g.Must("env", "metering_gasUsed", ":d")) != 100 {
		t.Errorf("used %d", h.Gas())
	}
	var limit *vm.LimitError
	if err := use(1); !errors.As(err, &limit) || limit.Kind != vm.LimitFuel || limit.Used != 101 {
		t.Errorf("too much gas: %v", err)
	}
	if err := use(math.MaxUint64); !errors.As(err, &limit) {
		t.Errorf("far too much gas: %v", err)
	}
	h.Begin(vm.Env{}, vm.Limits{})
	if h.Gas() != 0 {
		t.Error("gas is carried over")
	}
}

func TestRandomBytesFollowFromTheSeed(t *testing.T) {
	both(t, func(t *testing.T, g guest, h *Host) {
		draw := func(seed byte) string {
			h.Begin(vm.Env{Seed: [32]byte{seed}}, vm.Limits{})
			g.sys("getentropy", bufAt, 16)
			return g.String(bufAt, 16)
		}
		if a, b, c := draw(1), draw(1), draw(2); a != b || a == c {
			t.Errorf("%x %x %x", a, b, c)
		}
	})
}

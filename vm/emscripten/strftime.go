package emscripten

import (
	"math"
	"strconv"
	"strings"
	"time"

	"aorta/vm"
	"aorta/vm/vfs"
	"aorta/vm/wasi/abi"
)

// date is a struct tm.
type date struct {
	sec, min, hour, mday, mon, year, wday, yday int64
	gmtoff                                      int64
	zone                                        string
}

// expansions are the formats that stand for others. They are put in in this
// order, each everywhere, even behind a doubled percent sign: so the runtime
// does it.
var expansions = [...][2]string{
	{"%c", "%a %b %d %H:%M:%S %Y"},
	{"%D", "%m/%d/%y"},
	{"%F", "%Y-%m-%d"},
	{"%h", "%b"},
	{"%r", "%I:%M:%S %p"},
	{"%R", "%H:%M"},
	{"%T", "%H:%M:%S"},
	{"%x", "%m/%d/%y"},
	{"%X", "%H:%M:%S"},
	{"%Ec", "%c"}, {"%EC", "%C"}, {"%Ex", "%m/%d/%y"}, {"%EX", "%H:%M:%S"}, {"%Ey", "%y"}, {"%EY", "%Y"},
	{"%Od", "%d"}, {"%Oe", "%e"}, {"%OH", "%H"}, {"%OI", "%I"}, {"%Om", "%m"}, {"%OM", "%M"}, {"%OS", "%S"},
	{"%Ou", "%u"}, {"%OU", "%U"}, {"%OV", "%V"}, {"%Ow", "%w"}, {"%OW", "%W"}, {"%Oy", "%y"},
}

var (
	weekdays = [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
	months   = [...]string{"January", "February", "March", "April", "May", "June", "July", "August", "September",
		"October", "November", "December"}
)

// conversions are put in in this order.
var conversions = [...]struct {
	name string
	text func(date) string
}{
	{"%a", func(d date) string { return weekdays[d.wday][:3] }},
	{"%A", func(d date) string { return weekdays[d.wday] }},
	{"%b", func(d date) string { return months[d.mon][:3] }},
	{"%B", func(d date) string { return months[d.mon] }},
	{"%C", func(d date) string { return zeros((d.year+1900)/100, 2) }},
	{"%d", func(d date) string { return zeros(d.mday, 2) }},
	{"%e", func(d date) string { return padded(d.mday, 2, ' ') }},
	{"%g", func(d date) string { return shortYear(d.weekYear()) }},
	{"%G", func(d date) string { return strconv.FormatInt(d.weekYear(), 10) }},
	{"%H", func(d date) string { return zeros(d.hour, 2) }},
	{"%I", func(d date) string { return zeros(d.hour12(), 2) }},
	{"%j", func(d date) string { return zeros(d.mday+d.daysBeforeMonth(), 3) }},
	{"%m", func(d date) string { return zeros(d.mon+1, 2) }},
	{"%M", func(d date) string { return zeros(d.min, 2) }},
	{"%n", func(date) string { return "\n" }},
	{"%p", func(d date) string {
		if d.hour >= 0 && d.hour < 12 {
			return "AM"
		}
		return "PM"
	}},
	{"%S", func(d date) string { return zeros(d.sec, 2) }},
	{"%t", func(date) string { return "\t" }},
	{"%u", func(d date) string {
		if d.wday == 0 {
			return "7"
		}
		return strconv.FormatInt(d.wday, 10)
	}},
	{"%U", func(d date) string { return zeros(floorDiv(d.yday+7-d.wday, 7), 2) }},
	{"%V", func(d date) string { return zeros(d.isoWeek(), 2) }},
	{"%w", func(d date) string { return strconv.FormatInt(d.wday, 10) }},
	{"%W", func(d date) string { return zeros(floorDiv(d.yday+7-(d.wday+6)%7, 7), 2) }},
	{"%y", func(d date) string { return shortYear(d.year + 1900) }},
	{"%Y", func(d date) string { return strconv.FormatInt(d.year+1900, 10) }},
	{"%z", func(d date) string { return d.offset() }},
	{"%Z", func(d date) string { return d.zone }},
}

func padded(v int64, width int, with byte) string {
	s := strconv.FormatInt(v, 10)
	if more := width - len(s); more > 0 {
		s = strings.Repeat(string(with), more) + s
	}
	return s
}

func zeros(v int64, width int) string { return padded(v, width, '0') }

// shortYear is a year without its first two characters.
func shortYear(year int64) string {
	s := strconv.FormatInt(year, 10)
	return s[min(2, len(s)):]
}

func (d date) hour12() int64 {
	switch {
	case d.hour == 0:
		return 12
	case d.hour > 12:
		return d.hour - 12
	}
	return d.hour
}

func leap(year int64) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

// daysBeforeMonth is how many days of the year come before its month.
func (d date) daysBeforeMonth() int64 {
	n := [...]int64{0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334}[d.mon]
	if d.mon > 1 && leap(d.year+1900) {
		n++
	}
	return n
}

// weekYear is the year that the week belongs to, by ISO 8601.
func (d date) weekYear() int64 {
	seconds, _ := civil(d.year+1900, 0, 1, 0, 0, 0)
	year, _ := time.Unix(seconds+max(d.yday, 0)*86400, 0).UTC().ISOWeek()
	return int64(year)
}

// isoWeek is the week of the year by ISO 8601, as C libraries work it out.
func (d date) isoWeek() int64 {
	week := floorDiv(d.yday+7-(d.wday+6)%7, 7)
	if (d.wday+371-d.yday-2)%7 <= 2 {
		week++
	}
	switch week {
	case 0:
		week = 52
		if last := (d.wday + 7 - d.yday - 1) % 7; last == 4 || last == 5 && leap(d.year%400-1) {
			week++
		}
	case 53:
		if first := (d.wday + 371 - d.yday) % 7; first != 4 && (first != 3 || !leap(d.year)) {
			week = 1
		}
	}
	return week
}

// offset is the zone's distance from UTC. The arithmetic is the runtime's,
// right for whole hours.
func (d date) offset() string {
	sign := "+"
	if d.gmtoff < 0 {
		sign = "-"
	}
	minutes := math.Abs(float64(d.gmtoff)) / 60
	v := float64(float64(minutes/60)*100) + math.Mod(minutes, 60)
	s := "0000" + strconv.FormatFloat(v, 'f', -1, 64)
	return sign + s[len(s)-4:]
}

// text formats a date. ok is false if the date can't be put in words.
func (d date) text(format string) (out string, ok bool) {
	if d.wday < 0 || d.wday >= int64(len(weekdays)) || d.mon < 0 || d.mon >= int64(len(months)) {
		return "", false
	}
	for _, e := range expansions {
		format = strings.ReplaceAll(format, e[0], e[1])
	}
	const percent = "\x00\x00"
	format = strings.ReplaceAll(format, "%%", percent)
	for _, c := range conversions {
		if strings.Contains(format, c.name) {
			format = strings.ReplaceAll(format, c.name, c.text(d))
		}
	}
	return strings.ReplaceAll(format, percent, "%"), true
}

// maxFormat bounds what is formatted at once, in bytes: an expansion makes up
// to ten times as much of it.
const maxFormat = 4 << 10

func strftime(_ *Host, f *abi.Frame) error {
	out, room, tm := f.Args[0], f.Args[1], f.Args[3]
	format := f.CString(f.Args[2], maxFormat)
	d := date{
		sec: int64(f.I32(tm + tmSec)), min: int64(f.I32(tm + tmMin)), hour: int64(f.I32(tm + tmHour)),
		mday: int64(f.I32(tm + tmMday)), mon: int64(f.I32(tm + tmMon)), year: int64(f.I32(tm + tmYear)),
		wday: int64(f.I32(tm + tmWday)), yday: int64(f.I32(tm + tmYday)),
		gmtoff: int64(f.Ptr(tm + gmtoffAt(f))),
	}
	if !f.Wide {
		d.gmtoff = int64(int32(d.gmtoff))
	}
	if strings.Contains(format, "%Z") && !f.Fault {
		// Only who asks for the zone needs to have set it.
		d.zone = f.CString(f.Ptr(tm+gmtoffAt(f)+f.PtrSize()), vfs.MaxName)
		f.Fault = false
	}
	text, ok := d.text(format)
	if f.Fault || !ok {
		return &vm.GuestError{What: "it formats a date that is none"}
	}
	if uint64(len(text))+1 > room {
		return nil
	}
	copy(f.Slice(out, uint64(len(text))), text)
	f.PutU8(out+uint64(len(text)), 0)
	if f.Fault {
		return &vm.GuestError{What: "it formats a date outside of its memory"}
	}
	f.Result = uint64(len(text))
	return nil
}

package emscripten

import (
	"math"
	"time"

	"aorta/vm/vfs"
	"aorta/vm/wasi/abi"
)

// nanos turns milliseconds into nanoseconds, as far as they go.
func nanos(ms int64) int64 {
	const perMs = 1_000_000
	return max(min(ms, math.MaxInt64/perMs), math.MinInt64/perMs) * perMs
}

// dateNow is what Date.now returns, in milliseconds.
func (h *Host) dateNow() int64 {
	if h.opts.MessageClock {
		return h.env.Time
	}
	h.ticks++
	if h.generation == 2 || h.generation == 3 {
		return clockReady3 + h.ticks - 1
	}
	return clockReady + h.ticks - 1
}

func result(f *abi.Frame, v float64) error { f.Result = math.Float64bits(v); return nil }

func dateNow(h *Host, f *abi.Frame) error { return result(f, float64(h.dateNow())) }

// dateNow2 is emscripten_date_now in the generation whose loader nailed it.
func dateNow2(h *Host, f *abi.Frame) error {
	if h.opts.MessageClock {
		return dateNow(h, f)
	}
	return result(f, 0)
}

func getNow(h *Host, f *abi.Frame) error {
	if h.opts.MessageClock {
		h.ticks++
		return result(f, float64(h.ticks))
	}
	return result(f, float64(h.dateNow()))
}

func getNowRes(_ *Host, f *abi.Frame) error { return result(f, 1_000_000) }

// lastTime is how far JavaScript's dates reach from the epoch, in seconds.
const lastTime = 8.64e12

// tm offsets, in bytes; all are C ints.
const (
	tmSec, tmMin, tmHour, tmMday, tmMon, tmYear, tmWday, tmYday, tmIsdst = 0, 4, 8, 12, 16, 20, 24, 28, 32
)

// gmtoffAt is where struct tm has its offset from UTC, a C long.
func gmtoffAt(f *abi.Frame) uint64 {
	if f.Wide {
		return 40
	}
	return 36
}

func putTime(f *abi.Frame, tm uint64, seconds int64) {
	if seconds > lastTime || seconds < -lastTime {
		for at := uint64(tmSec); at <= tmYday; at += 4 {
			f.PutU32(tm+at, 0) // an invalid date
		}
		return
	}
	t := time.Unix(seconds, 0).UTC()
	f.PutI32(tm+tmSec, int32(t.Second()))
	f.PutI32(tm+tmMin, int32(t.Minute()))
	f.PutI32(tm+tmHour, int32(t.Hour()))
	f.PutI32(tm+tmMday, int32(t.Day()))
	f.PutI32(tm+tmMon, int32(t.Month()-1))
	f.PutI32(tm+tmYear, int32(t.Year()-1900))
	f.PutI32(tm+tmWday, int32(t.Weekday()))
	f.PutI32(tm+tmYday, int32(t.YearDay()-1))
}

func gmtime(_ *Host, f *abi.Frame) error {
	putTime(f, f.Args[1], int64(f.Args[0]))
	return nil
}

func localtime(_ *Host, f *abi.Frame) error {
	tm := f.Args[1]
	putTime(f, tm, int64(f.Args[0]))
	f.PutU32(tm+tmIsdst, 0)
	f.PutPtr(tm+gmtoffAt(f), 0)
	return nil
}

// gmtime2 and localtime2 take a pointer to 32 bits of time.
func gmtime2(h *Host, f *abi.Frame) error {
	putTime(f, f.Args[1], int64(f.I32(f.Args[0])))
	return nil
}

func localtime2(h *Host, f *abi.Frame) error {
	putTime(f, f.Args[1], int64(f.I32(f.Args[0])))
	f.PutU32(f.Args[1]+tmIsdst, 0)
	f.PutPtr(f.Args[1]+gmtoffAt(f), 0)
	return nil
}

// mktime normalises a struct tm and returns its time in seconds, or -1.
func mktime(h *Host, f *abi.Frame) error {
	tm := f.Args[0]
	seconds, ok := civil(
		int64(f.I32(tm+tmYear))+1900, int64(f.I32(tm+tmMon)), int64(f.I32(tm+tmMday)),
		int64(f.I32(tm+tmHour)), int64(f.I32(tm+tmMin)), int64(f.I32(tm+tmSec)))
	if f.I32(tm+tmIsdst) < 0 {
		f.PutU32(tm+tmIsdst, 0)
	}
	if !ok {
		seconds = lastTime + 1
	}
	putTime(f, tm, seconds)
	if !ok {
		seconds = -1
	}
	f.Result = uint64(seconds)
	if f.Split {
		return h.setTempRet0(f, uint32(uint64(seconds)>>32))
	}
	return nil
}

// civil is JavaScript's new Date(year, month, …) in UTC: fields may be out of
// their ranges, and years of two digits are of the twentieth century.
func civil(year, month, day, hour, minute, second int64) (int64, bool) {
	if year >= 0 && year <= 99 {
		year += 1900
	}
	year += floorDiv(month, 12)
	month = month - 12*floorDiv(month, 12)
	days := daysBefore(year, month) + day - 1
	total := days*86400 + hour*3600 + minute*60 + second
	return total, total <= lastTime && total >= -lastTime
}

// daysBefore is the number of days from the epoch to the first of a month (0
// to 11) of the Gregorian calendar.
func daysBefore(year, month int64) int64 {
	// Years that start in March end with the leap day.
	y, m := year, month-2
	if m < 0 {
		y, m = y-1, m+12
	}
	return 365*y + floorDiv(y, 4) - floorDiv(y, 100) + floorDiv(y, 400) + (153*m+2)/5 - 719468
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// Names of the time zone, short and long.
const (
	zone     = "UTC"
	longZone = "Coordinated Universal Time"
	// longZoneRoom is how much of the long name fits, with its NUL.
	longZoneRoom = 7
)

// tzset tells the time zone.
func tzset(h *Host, f *abi.Frame) error {
	name := zone
	if h.generation == 3 {
		name = longZone[:longZoneRoom-1]
	}
	f.PutPtr(f.Args[0], 0)
	f.PutU32(f.Args[1], 0)
	for _, at := range f.Args[2:4] {
		copy(f.Slice(at, uint64(len(name))), name)
		f.PutU8(at+uint64(len(name)), 0)
	}
	return nil
}

// tzset2 is tzset in the generation that allocated the names.
func tzset2(h *Host, f *abi.Frame) error {
	if h.zoned {
		return nil
	}
	h.zoned = true
	f.PutU32(f.Args[0], 0)
	f.PutU32(f.Args[1], 0)
	var names [2]uint64
	for i := range names {
		at, err := h.allocate(f, uint64(len(longZone))+1)
		if err != nil {
			return err
		}
		if at != 0 {
			copy(f.Slice(at, uint64(len(longZone))), longZone)
			f.PutU8(at+uint64(len(longZone)), 0)
		}
		names[i] = at
	}
	f.PutPtr(f.Args[2], names[1])
	f.PutPtr(f.Args[2]+f.PtrSize(), names[0])
	return nil
}

// allocate calls the guest's malloc. A failure is 0.
func (h *Host) allocate(f *abi.Frame, size uint64) (uint64, error) {
	if !f.Guest.HasExport("malloc") {
		return 0, vfs.ENOMEM
	}
	out, err := f.Guest.Call("malloc", size)
	f.Renew()
	if err != nil || len(out) != 1 {
		return 0, err
	}
	return out[0], nil
}

func gasUsed(h *Host, f *abi.Frame) error {
	f.Result = h.gas
	return nil
}

func gasUsedFloat(h *Host, f *abi.Frame) error { return result(f, float64(h.gas)) }

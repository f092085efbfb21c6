package abi

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"aorta/vm/wasm"
)

const (
	i32 = wasm.I32
	i64 = wasm.I64
)

func TestSignatureChoosesTheLayout(t *testing.T) {
	type types = []wasm.ValueType
	for _, c := range []struct {
		pattern     string
		params      types
		results     types
		ok          bool
		wide, split bool
	}{
		{"ilip:i", types{i32, i64, i32, i32}, types{i32}, true, false, false},
		{"ilip:i", types{i32, i64, i32, i64}, types{i32}, true, true, false},
		{"ilip:i", types{i32, i32, i32, i32, i32}, types{i32}, true, false, true},
		{"ilip:i", types{i32, i64, i32}, types{i32}, false, false, false},
		{"ilip:i", types{i32, i64, i32, i32}, nil, false, false, false},
		{"ilip:i", types{i32, i64, i32, i32, i32}, types{i32}, false, false, false},
		{"p:l", types{i32}, types{i32}, true, false, true},
		{"p:l", types{i32}, types{i64}, true, false, false},
		{"p:l", types{i64}, types{i64}, true, true, false},
		{"p:p", types{i64}, types{i32}, false, false, false},
		{":d", nil, types{wasm.F64}, true, false, false},
		{":", nil, nil, true, false, false},
	} {
		s, ok := Match(c.pattern, wasm.FuncType{Params: c.params, Results: c.results})
		if ok != c.ok || s.Wide != c.wide || s.Split != c.split {
			t.Errorf("%s against %v -> %v: %v wide %v split %v", c.pattern, c.params, c.results, ok, s.Wide, s.Split)
		}
	}
}

func TestSplitArgumentsArePutTogether(t *testing.T) {
	s, ok := Match("ilip:i", wasm.FuncType{Params: []wasm.ValueType{i32, i32, i32, i32, i32}, Results: []wasm.ValueType{i32}})
	if !ok {
		t.Fatal("no match")
	}
	var buf [MaxArgs]uint64
	got := s.Args([]uint64{7, 0xfffffffe, 0xffffffff, 1, 64}, &buf)
	if diff := cmp.Diff([]uint64{7, 1<<64 - 2, 1, 64}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAccessOutsideOfMemoryIsAFaultAndNothingElse(t *testing.T) {
	for _, ptr := range []uint64{5, 8, 9, 1 << 32, 1<<64 - 1} {
		m := Mem{Bytes: make([]byte, 8), Wide: true}
		m.PutU32(ptr, 1)
		if !m.Fault {
			t.Errorf("a write at %d was no fault", ptr)
		}
		m = Mem{Bytes: []byte{1, 2, 3, 4, 5, 6, 7, 8}}
		if m.U32(ptr) != 0 || !m.Fault {
			t.Errorf("a read at %d was no fault", ptr)
		}
	}
}

func TestStringsEndAtTheNULAndWithinTheLimit(t *testing.T) {
	data := []byte("ab\x00cd")
	for _, c := range []struct {
		ptr   uint64
		max   int
		want  string
		fault bool
	}{
		{0, 9, "", false},
		{1, 9, "b", false},
		{1, 1, "b", false},
		{2, 0, "", false},
		{1, 0, "", true},
		{3, 9, "", true},
		{5, 9, "", true},
		{99, 9, "", true},
	} {
		m := Mem{Bytes: data}
		if got := m.CString(c.ptr, c.max); got != c.want || m.Fault != c.fault {
			t.Errorf("at %d within %d: %q, fault %v", c.ptr, c.max, got, m.Fault)
		}
	}
}

package pebble

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"aorta/store"
)

var update = flag.Bool("update", false, "write golden files anew")

// golden compares data with a file of testdata.
func golden(t *testing.T, name string, data []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(data)); diff != "" {
		t.Errorf("%s is written in another way than stores that exist (-want +got):\n%s", name, diff)
	}
}

// TestFormatsAreAsTheyEverWere writes everything that gets to disk by this
// package's own rules. The body of a compressed frame is the library's
// business: one that was written is read below.
func TestFormatsAreAsTheyEverWere(t *testing.T) {
	incompressible := []byte("\x9c\x1f\x00\xa7short")
	l := location{pack: 1, offset: 2, size: 300, start: 4, length: 5}
	loc := make([]byte, locationSize)
	l.encode(loc)
	k := recordKey("process/1", 258)
	rec := make([]byte, 4+len("data"))
	encodeRecord(rec, k, []byte("data"))
	var out strings.Builder
	for _, part := range []struct {
		name string
		data []byte
	}{
		{"pack header", encodePackHeader(7)},
		{"plain frame", appendFrame(nil, incompressible)},
		{"location of a chunk", loc},
		{"location of a value", run{1, 2, 3, 4}.encode()},
		{"mark", mark{7, 1 << 33, true}.encode()},
		{"key of a mark", mark{number: 7}.key()},
		{"key of a record", k},
		{"record", rec},
		{"key of a chunk", hashKey(keyChunk, store.Hash{1})},
	} {
		out.WriteString(part.name + "\n" + hex.EncodeToString(part.data) + "\n")
	}
	golden(t, "formats.v1", []byte(out.String()))
}

func TestFrameThatWasEverWrittenIsRead(t *testing.T) {
	path := filepath.Join("testdata", "frame.v1")
	raw := bytes.Repeat([]byte("a frame that is worth compressing; "), 100)
	if *update {
		if err := os.WriteFile(path, appendFrame(nil, raw), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	frame, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if frame[4] != codecS2 {
		t.Errorf("the frame has codec %d", frame[4])
	}
	got, err := decodeFrame(nil, frame)
	if err != nil || !bytes.Equal(got, raw) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestFramesOfAllLengthsAreRead(t *testing.T) {
	for _, n := range []int{0, 1, 19, 20, 21, 4096, chunkFrame, maxFrame} {
		for _, raw := range [][]byte{make([]byte, n), content("frame", 29, max(n, 12))[:n]} {
			before := []byte("before")
			out := appendFrame(before, raw)
			got, err := decodeFrame(make([]byte, 0, n/2), out[len(before):])
			if err != nil || !bytes.Equal(got, raw) || !bytes.HasPrefix(out, before) {
				t.Errorf("%d bytes: got %d, %v", n, len(got), err)
			}
		}
	}
}

func TestEveryFlippedBitOfAFrameIsNoticed(t *testing.T) {
	for _, raw := range [][]byte{[]byte("\x9c\x1f\x00\xa7short"), bytes.Repeat([]byte("long and dull "), 40)} {
		frame := appendFrame(nil, raw)
		for bit := range len(frame) * 8 {
			frame[bit/8] ^= 1 << (bit % 8)
			if got, err := decodeFrame(nil, frame); !errors.Is(err, store.ErrCorrupt) || got != nil {
				t.Fatalf("bit %d: got %q, %v", bit, got, err)
			}
			frame[bit/8] ^= 1 << (bit % 8)
		}
		for n := range frame {
			if _, err := decodeFrame(nil, frame[:n]); !errors.Is(err, store.ErrCorrupt) {
				t.Fatalf("cut to %d bytes: %v", n, err)
			}
		}
	}
}

func TestEveryFlippedBitOfARecordIsNoticed(t *testing.T) {
	k, data := recordKey("log", 3), []byte("a record")
	rec := make([]byte, 4+len(data))
	encodeRecord(rec, k, data)
	for _, part := range [][]byte{k, rec} {
		for bit := range len(part) * 8 {
			part[bit/8] ^= 1 << (bit % 8)
			if _, err := decodeRecord(k, rec); !errors.Is(err, store.ErrCorrupt) {
				t.Fatalf("bit %d: %v", bit, err)
			}
			part[bit/8] ^= 1 << (bit % 8)
		}
	}
	if got, err := decodeRecord(k, rec); err != nil || !bytes.Equal(got, data) {
		t.Fatal(got, err)
	}
}

func FuzzDecodeFrame(f *testing.F) {
	f.Add(appendFrame(nil, []byte("short")))
	f.Add(appendFrame(nil, bytes.Repeat([]byte("long"), 100)))
	f.Add(append(encodePackHeader(1), appendFrame(nil, nil)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		raw, err := decodeFrame(nil, data)
		if err == nil {
			again, err := decodeFrame(nil, appendFrame(nil, raw))
			if err != nil || !bytes.Equal(raw, again) {
				t.Fatalf("what was decoded can't be encoded: %v", err)
			}
		} else if !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrNewerFormat) {
			t.Fatal(err)
		}
		length, err := wholeLength(bytes.NewReader(data), mark{number: 1})
		if err != nil || length > int64(len(data)) {
			t.Fatalf("%d of %d bytes are whole, %v", length, len(data), err)
		}
		if l, err := decodeLocation(data); err == nil {
			out := make([]byte, locationSize)
			if l.encode(out); !bytes.Equal(out, data) {
				t.Fatal("a location changed")
			}
		}
		if r, err := decodeRun(data); err == nil && !bytes.Equal(r.encode(), data) {
			t.Fatal("a location changed")
		}
		if m, err := decodeMark([]byte("p1234"), data); err == nil && !bytes.Equal(m.encode(), data) {
			t.Fatal("a mark changed")
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	k := recordKey("log", 0)
	rec := make([]byte, 4+4)
	encodeRecord(rec, k, []byte("data"))
	f.Add(k, rec)
	f.Fuzz(func(t *testing.T, k, v []byte) {
		data, err := decodeRecord(k, v)
		if err != nil {
			if !errors.Is(err, store.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again := make([]byte, 4+len(data))
		if encodeRecord(again, k, data); !bytes.Equal(again, v) {
			t.Fatal("a record changed")
		}
	})
}

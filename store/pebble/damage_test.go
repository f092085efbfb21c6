package pebble

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"aorta/store"
)

// readFile and writeFile work on files of a file system in memory.
func readFile(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t *testing.T, fs vfs.FS, path string, data []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
}

const firstPack = "data/packs/00000001.pack"

func TestDamagedPackHandsOutNothingWrongAndIsHealed(t *testing.T) {
	ctx := t.Context()
	chunks := heapPages(1, 8)
	value := content("value", 1, maxInline+5)
	fs := vfs.NewMem()
	s, err := Open("data", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutChunks(ctx, chunks); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutValues(ctx, value); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole := readFile(t, fs, firstPack)
	for at := packHeader; at < len(whole); at += len(whole)/40 + 1 {
		broken := bytes.Clone(whole)
		broken[at] ^= 0x10
		writeFile(t, fs, firstPack, broken)
		s, err := Open("data", Options{FS: fs})
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		damaged := 0
		for _, c := range chunks {
			err := s.Chunks(ctx, []store.Hash{c.Hash}, func(_ int, data []byte) error {
				if !bytes.Equal(data, c.Data) {
					t.Errorf("byte %d: wrong bytes were handed out", at)
				}
				return nil
			})
			switch {
			case errors.Is(err, store.ErrCorrupt):
				damaged++
			case err != nil:
				t.Errorf("byte %d: %v", at, err)
			}
		}
		if got, err := s.Value(ctx, store.Sum(value)); errors.Is(err, store.ErrCorrupt) && got == nil {
			damaged++
		} else if err != nil || !bytes.Equal(got, value) {
			t.Errorf("byte %d: got %d bytes, %v", at, len(got), err)
		}
		if damaged == 0 {
			t.Errorf("byte %d: nothing was damaged", at)
		}
		// What is put again is there again.
		if err := s.PutChunks(ctx, chunks); err != nil {
			t.Error(err)
		}
		if _, err := s.PutValues(ctx, value); err != nil {
			t.Error(err)
		}
		if err := s.Sync(ctx); err != nil {
			t.Error(err)
		}
		if err := readAll(s, chunks); err != nil {
			t.Errorf("byte %d: put again: %v", at, err)
		}
		if _, err := s.Value(ctx, store.Sum(value)); err != nil {
			t.Errorf("byte %d: put again: %v", at, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		// The next round starts from where the index points to the first pack.
		fs = vfs.NewMem()
		if s, err = Open("data", Options{FS: fs}); err != nil {
			t.Fatal(err)
		}
		if err := s.PutChunks(ctx, chunks); err != nil {
			t.Fatal(err)
		}
		if _, err := s.PutValues(ctx, value); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestChunksOfALostOrShortenedPackAreNotFound(t *testing.T) {
	ctx := t.Context()
	for name, harm := range map[string]func(fs *vfs.MemFS){
		"Lost": func(fs *vfs.MemFS) {
			if err := fs.Remove(firstPack); err != nil {
				t.Fatal(err)
			}
		},
		"Shortened": func(fs *vfs.MemFS) {
			data := readFile(t, fs, firstPack)
			writeFile(t, fs, firstPack, data[:len(data)-1])
		},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			chunks := heapPages(1, 8)
			s := open(t, "data", Options{FS: fs})
			if err := s.PutChunks(ctx, chunks); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			harm(fs)
			s = open(t, "data", Options{FS: fs})
			err := readAll(s, chunks)
			if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("got %v", err)
			}
			if err := s.PutChunks(ctx, chunks); err != nil {
				t.Fatal(err)
			}
			if err := readAll(s, chunks); err != nil {
				t.Errorf("put again: %v", err)
			}
		})
	}
}

// TestDamagedDatabaseHandsOutNothingWrong damages values in place, and what
// the checks of Pebble itself don't see, by writing them anew.
func TestDamagedEntriesAreNoticed(t *testing.T) {
	ctx := t.Context()
	s := open(t, "data", Options{FS: vfs.NewMem()})
	hashes, err := s.PutValues(ctx, []byte("small"))
	if err != nil {
		t.Fatal(err)
	}
	for slot := range uint64(3) {
		if err := s.Append(ctx, "log", slot, []byte("record")); err != nil {
			t.Fatal(err)
		}
	}
	chunk := modelChunk(1)
	if err := s.PutChunks(ctx, []store.Chunk{chunk}); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	change := func(k []byte, f func(v []byte) []byte) {
		t.Helper()
		v, err := s.get(k)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.db.Set(k, f(v), pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	flip := func(v []byte) []byte { v[len(v)-1] ^= 1; return v }
	cut := func(v []byte) []byte { return v[:2] }

	change(hashKey(keyValue, hashes[0]), flip)
	if got, err := s.Value(ctx, hashes[0]); !errors.Is(err, store.ErrCorrupt) || got != nil {
		t.Errorf("value: %q, %v", got, err)
	}
	change(recordKey("log", 1), flip)
	n := 0
	for r, err := range s.Records(ctx, "log", 0) {
		if n++; n == 1 && (err != nil || string(r.Data) != "record") {
			t.Errorf("slot 0: %q, %v", r.Data, err)
		}
		if n == 2 && (!errors.Is(err, store.ErrCorrupt) || r.Data != nil || !strings.Contains(err.Error(), "slot 1")) {
			t.Errorf("slot 1: %q, %v", r.Data, err)
		}
	}
	if n != 2 {
		t.Errorf("there were %d steps, want one record and the error", n)
	}
	if err := s.db.Delete(recordKey("log", 1), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	for r, err := range s.Records(ctx, "log", 0) {
		if r.Slot != 0 && err == nil || err != nil && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("a gap in a log: slot %d, %v", r.Slot, err)
		}
	}
	change(hashKey(keyChunk, chunk.Hash), cut)
	if err := readAll(s, []store.Chunk{chunk}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("chunk: %v", err)
	}
	if err := s.PutChunks(ctx, []store.Chunk{chunk}); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if err := readAll(s, []store.Chunk{chunk}); err != nil {
		t.Errorf("chunk, put again: %v", err)
	}
}

func TestDamagedDatabaseHandsOutNothingWrong(t *testing.T) {
	ctx := t.Context()
	fs := vfs.NewMem()
	s, err := Open("data", with(tiny, fs))
	if err != nil {
		t.Fatal(err)
	}
	m := newModel()
	for i := range 200 {
		if err := m.step(ctx, s, operations[i%len(operations)], i); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List("data/db")
	if err != nil {
		t.Fatal(err)
	}
	broken := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") || broken == 3 {
			continue
		}
		broken++
		data := readFile(t, fs, "data/db/"+name)
		for at := len(data) / 4; at < len(data)/2; at += 97 {
			data[at] ^= 4
		}
		writeFile(t, fs, "data/db/"+name, data)
	}
	if broken == 0 {
		t.Fatal("there is no table to break")
	}
	s, err = Open("data", with(tiny, fs))
	if err != nil {
		return // it was noticed at once
	}
	defer s.Close()
	for log := range m.acknowledged {
		for r, err := range s.Records(ctx, log, 0) {
			if err == nil && !bytes.Equal(r.Data, modelRecord(log, r.Slot)) {
				t.Errorf("%s: slot %d holds something else", log, r.Slot)
			}
		}
	}
	for n := range m.values {
		v := modelValue(n)
		if got, err := s.Value(ctx, store.Sum(v)); err == nil && !bytes.Equal(got, v) {
			t.Errorf("value %d is another", n)
		}
	}
}

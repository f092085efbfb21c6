package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// modes are all ways to track pages; a test that runs over them all proves
// that they agree.
func eachMode(t *testing.T, f func(t *testing.T, s *Space)) {
	t.Helper()
	for _, m := range []Mode{ModeScan, ModePagemap, ModeCompare} {
		t.Run(m.String(), func(t *testing.T) {
			s, err := NewSpace(m)
			if err != nil {
				if m != ModeCompare {
					t.Skipf("this kernel doesn't offer it: %v", err)
				}
				t.Fatal(err)
			}
			f(t, s)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// region stands for the address range that an engine reserves for a memory.
type region struct {
	mem  []byte
	size int
}

func newRegion(t testing.TB, reserve int) *region {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, reserve, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(mem) })
	return &region{mem: mem}
}

func (r *region) base() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(r.mem)) }
func (r *region) live() []byte         { return r.mem[:r.size] }

func attach(t testing.TB, s *Space, pages int) (*region, *Image) {
	t.Helper()
	r := newRegion(t, 64*WasmPage)
	r.size = pages * WasmPage
	b, err := s.Capture(r.base(), r.size)
	if err != nil {
		t.Fatal(err)
	}
	img, err := s.Attach(r.base(), r.size, b)
	b.Release()
	if err != nil {
		t.Fatal(err)
	}
	return r, img
}

// chunkMap is a sink and a source in memory that checks what it is given.
type chunkMap map[Hash][]byte

func (c chunkMap) PutChunks(_ context.Context, hashes []Hash, data [][]byte) error {
	for i, h := range hashes {
		if sha256.Sum256(data[i]) != h {
			return errors.New("chunk under a wrong hash")
		}
		c[h] = bytes.Clone(data[i])
	}
	return nil
}

func (c chunkMap) Chunks(_ context.Context, hashes []Hash, f func(int, []byte) error) error {
	for i, h := range hashes {
		data, ok := c[h]
		if !ok {
			return errors.New("chunk not found")
		}
		if err := f(i, data); err != nil {
			return err
		}
	}
	return nil
}

func TestRollbackReturnsToTheLastMark(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Space) {
		r, img := attach(t, s, 4)
		defer img.Detach()
		r.live()[5] = 1
		if n := mark(img, r); n != 1 {
			t.Errorf("mark found %d changed pages, want 1", n)
		}
		r.live()[5] = 2
		r.live()[3*WasmPage] = 9
		if err := img.Rollback(r.size); err != nil {
			t.Fatal(err)
		}
		if r.live()[5] != 1 || r.live()[3*WasmPage] != 0 {
			t.Errorf("after rollback: %d, %d", r.live()[5], r.live()[3*WasmPage])
		}
	})
}

func mark(img *Image, r *region) int {
	n, err := img.Mark(r.size)
	if err != nil {
		panic(err)
	}
	return n
}

func TestGrownMemoryIsMarkedButNotRolledBack(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Space) {
		r, img := attach(t, s, 1)
		defer img.Detach()
		r.size = 3 * WasmPage
		r.live()[2*WasmPage+7] = 7
		if err := img.Rollback(r.size); !errors.Is(err, ErrGrown) {
			t.Errorf("rollback over growth: %v", err)
		}
		mark(img, r)
		r.live()[2*WasmPage+7] = 8
		if err := img.Rollback(r.size); err != nil {
			t.Fatal(err)
		}
		if got := r.live()[2*WasmPage+7]; got != 7 {
			t.Errorf("grown page holds %d after rollback, want 7", got)
		}
	})
}

func TestForkAndOwnerDontSeeEachOther(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Space) {
		r, img := attach(t, s, 2)
		defer img.Detach()
		r.live()[0] = 1
		mark(img, r)

		f := newRegion(t, 8*WasmPage)
		f.size = r.size
		fork, err := s.Attach(f.base(), f.size, img.Backing())
		if err != nil {
			t.Fatal(err)
		}
		f.live()[1] = 2
		r.live()[0] = 3
		r.live()[WasmPage] = 4
		mark(img, r)
		if f.live()[0] != 1 || f.live()[WasmPage] != 0 {
			t.Errorf("fork sees its owner's writes: %d %d", f.live()[0], f.live()[WasmPage])
		}
		if r.live()[1] != 0 {
			t.Error("owner sees its fork's write")
		}
		fork.Detach()
		r.live()[0] = 5
		if err := img.Rollback(r.size); err != nil {
			t.Fatal(err)
		}
		if r.live()[0] != 3 || r.live()[WasmPage] != 4 {
			t.Errorf("owner after rollback: %d %d", r.live()[0], r.live()[WasmPage])
		}
	})
}

func TestRestoreRefusesWhatDoesNotFit(t *testing.T) {
	s := must1(NewSpace(ModeAuto))
	defer s.Close()
	r, img := attach(t, s, 2)
	r.live()[9] = 9
	mark(img, r)
	chunks := chunkMap{}
	cp, err := img.Backing().Save(t.Context(), chunks)
	if err != nil {
		t.Fatal(err)
	}
	img.Detach()
	if _, err := s.Restore(t.Context(), chunks, cp, WasmPage); err == nil {
		t.Error("a memory over the limit was restored")
	}
	bad := cp
	bad.Size = WasmPage + 1
	if _, err := s.Restore(t.Context(), chunks, bad, 1<<30); err == nil {
		t.Error("a memory of a broken size was restored")
	}
	clear(chunks)
	if _, err := s.Restore(t.Context(), chunks, cp, 1<<30); err == nil {
		t.Error("a memory without its chunks was restored")
	}
	// Content past the end of memory: the page tree of 32 pages under a size
	// of 16.
	n := new(node)
	n.hash[20] = sha256.Sum256(bytes.Repeat([]byte{1}, PageSize))
	top := sha256.Sum256(n.bytes())
	chunks[top] = n.bytes()
	if _, err := s.Restore(t.Context(), chunks, Checkpoint{Size: WasmPage, Top: top}, 1<<30); err == nil {
		t.Error("a memory with content past its end was restored")
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestImageAgreesWithAModel runs random writes, growth, marks, rollbacks,
// forks, saves and restores against plain byte slices.
func TestImageAgreesWithAModel(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Space) {
		rapid.Check(t, func(rt *rapid.T) {
			const maxPages = 24
			r := newRegion(t, maxPages*WasmPage)
			r.size = rapid.IntRange(0, 3).Draw(rt, "pages") * WasmPage
			b := must1(s.Capture(r.base(), r.size))
			img := must1(s.Attach(r.base(), r.size, b))
			b.Release()
			defer func() { img.Detach() }()
			chunks := chunkMap{}
			live := make([]byte, r.size)
			marked := bytes.Clone(live)
			rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))

			remake := func(back *Backing) {
				next := newRegion(t, maxPages*WasmPage)
				next.size = back.Size()
				fresh := must1(s.Attach(next.base(), next.size, back))
				img.Detach()
				img, r = fresh, next
			}
			rt.Repeat(map[string]func(*rapid.T){
				"write": func(*rapid.T) {
					for range 1 + rnd.IntN(20) {
						if len(live) == 0 {
							return
						}
						at, v := rnd.IntN(len(live)), byte(rnd.IntN(4))
						live[at], r.live()[at] = v, v
					}
				},
				"grow": func(*rapid.T) {
					if r.size >= maxPages*WasmPage {
						return
					}
					r.size += WasmPage
					live = append(live, make([]byte, WasmPage)...)
				},
				"mark": func(*rapid.T) {
					mark(img, r)
					marked = bytes.Clone(live)
				},
				"rollback": func(*rapid.T) {
					err := img.Rollback(r.size)
					if errors.Is(err, ErrGrown) {
						remake(img.Backing())
					} else if err != nil {
						rt.Fatal(err)
					}
					live = bytes.Clone(marked)
				},
				"fork": func(*rapid.T) {
					f := newRegion(t, maxPages*WasmPage)
					f.size = img.Size()
					fork := must1(s.Attach(f.base(), f.size, img.Backing()))
					if !bytes.Equal(f.live(), marked) {
						rt.Fatal("a fork isn't the state of the mark")
					}
					for at := range f.live() {
						if at%PageSize == 0 {
							f.live()[at]++
						}
					}
					fork.Detach()
				},
				"save and restore": func(*rapid.T) {
					mark(img, r)
					marked = bytes.Clone(live)
					cp := must1(img.Backing().Save(t.Context(), chunks))
					if cp.Root() != img.Backing().Root() {
						rt.Fatal("checkpoint and state have different roots")
					}
					back := must1(s.Restore(t.Context(), chunks, cp, 1<<30))
					remake(back)
					back.Release()
				},
				"": func(*rapid.T) {
					if !bytes.Equal(r.live(), live) {
						rt.Fatal("memory differs from the model")
					}
				},
			})
			// The same bytes reached in one go have the same root.
			mark(img, r)
			fresh := must1(s.Capture(unsafe.Pointer(unsafe.SliceData(append(live, 0))), len(live)))
			defer fresh.Release()
			if fresh.Root() != img.Backing().Root() {
				rt.Fatal("the root depends on how the state was reached")
			}
		})
	})
}

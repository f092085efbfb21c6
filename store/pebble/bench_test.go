package pebble

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"aorta/store"
)

// heapPages makes pages that look like the heap of a Lua program: small tables,
// strings and pointers near to each other. S2 makes some 2.5 times less of
// them, as it does of real ones.
func heapPages(seed uint64, n int) []store.Chunk {
	rng := rand.New(rand.NewPCG(seed, 1))
	words := []string{"balance", "transfer", "Process", "tags", "handlers", "__index", "user", "Message", "return", "function"}
	out := make([]store.Chunk, n)
	for i := range out {
		page := make([]byte, 0, 4<<10)
		base := uint64(0x100000 + rng.IntN(1<<22))
		for len(page)+64 <= 4<<10 {
			switch rng.IntN(4) {
			case 0: // a string
				page = binary.LittleEndian.AppendUint64(page, base+uint64(rng.IntN(1<<14))&^7)
				page = append(page, 4, 1, byte(rng.IntN(2)), 7)
				page = binary.LittleEndian.AppendUint32(page, rng.Uint32())
				page = append(page, fmt.Sprintf("%-16.16s", words[rng.IntN(len(words))]+fmt.Sprint(rng.IntN(100)))...)
			case 1: // a table
				page = binary.LittleEndian.AppendUint64(page, base+uint64(rng.IntN(1<<14))&^7)
				page = append(page, 5, 1, 0, byte(rng.IntN(5)), 0, 0, 0, 0)
				for range 4 {
					page = binary.LittleEndian.AppendUint64(page, base+uint64(rng.IntN(1<<16))&^15)
				}
			case 2: // values
				for range 3 {
					page = binary.LittleEndian.AppendUint64(page, uint64(rng.IntN(1000)))
					page = binary.LittleEndian.AppendUint64(page, 0x13)
				}
			case 3: // nothing
				page = append(page, make([]byte, 48)...)
			}
		}
		page = append(page, make([]byte, 4<<10-len(page))...)
		out[i] = store.Chunk{Hash: store.Sum(page), Data: page}
	}
	return out
}

// processor returns the processor time that this process has used.
func processor(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 32} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := open(b, b.TempDir(), Options{})
			data := make([]byte, 1000)
			rand.NewChaCha8([32]byte{}).Read(data)
			var n atomic.Int64
			var wg sync.WaitGroup
			before := processor(b)
			b.ResetTimer()
			for c := range callers {
				wg.Go(func() {
					log := fmt.Sprintf("process/%043d", c)
					for slot := uint64(0); n.Add(1) <= int64(b.N); slot++ {
						if err := s.Append(b.Context(), log, slot, data); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(processor(b)-before)/float64(b.N)/1e3, "cpu-µs/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

func BenchmarkPutChunks(b *testing.B) {
	for name, again := range map[string]bool{"new": false, "known": true} {
		b.Run(name, func(b *testing.B) {
			s := open(b, b.TempDir(), Options{})
			const n = 300
			chunks := heapPages(1, n)
			size := 0
			for _, c := range chunks {
				size += len(c.Data)
			}
			b.SetBytes(int64(size))
			before := processor(b)
			b.ResetTimer()
			for i := range b.N {
				b.StopTimer()
				if !again {
					for j := range chunks {
						binary.LittleEndian.PutUint64(chunks[j].Data[j*8:], uint64(i))
						chunks[j].Hash = store.Sum(chunks[j].Data)
					}
				}
				b.StartTimer()
				if err := s.PutChunks(b.Context(), chunks); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			st, err := s.Stats(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(processor(b)-before)/float64(b.N)/1e3, "cpu-µs/op")
			b.ReportMetric(float64(st.PackBytes)/float64(b.N), "packed-B/op")
		})
	}
}

// BenchmarkPutChunksSync is what a checkpoint costs until it is durable.
func BenchmarkPutChunksSync(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	const n = 300
	chunks := heapPages(1, n)
	b.SetBytes(n * 4 << 10)
	for i := 0; b.Loop(); i++ {
		for j := range chunks {
			binary.LittleEndian.PutUint64(chunks[j].Data[j*8:], uint64(i))
			chunks[j].Hash = store.Sum(chunks[j].Data)
		}
		if err := s.PutChunks(b.Context(), chunks); err != nil {
			b.Fatal(err)
		}
		if err := s.Sync(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChunks(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	const n = 1000
	chunks := heapPages(1, n)
	hashes := make([]store.Hash, n)
	for i, c := range chunks {
		hashes[i] = c.Hash
	}
	if err := s.PutChunks(b.Context(), chunks); err != nil {
		b.Fatal(err)
	}
	if err := s.Sync(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(n * 4 << 10)
	for b.Loop() {
		got := 0
		err := s.Chunks(b.Context(), hashes, func(_ int, data []byte) error {
			got += len(data)
			return nil
		})
		if err != nil || got != n*4<<10 {
			b.Fatal(got, err)
		}
	}
}

func BenchmarkPutValues(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	data := make([]byte, 1<<10)
	rand.NewChaCha8([32]byte{}).Read(data)
	b.SetBytes(1 << 10)
	for i := 0; b.Loop(); i++ {
		binary.LittleEndian.PutUint64(data, uint64(i))
		if _, err := s.PutValues(b.Context(), data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValue(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	const n = 10_000
	hashes := make([]store.Hash, n)
	data := make([]byte, 1<<10)
	rand.NewChaCha8([32]byte{}).Read(data)
	for i := range hashes {
		binary.LittleEndian.PutUint64(data, uint64(i))
		h, err := s.PutValues(b.Context(), data)
		if err != nil {
			b.Fatal(err)
		}
		hashes[i] = h[0]
	}
	b.SetBytes(1 << 10)
	for i := 0; b.Loop(); i++ {
		if _, err := s.Value(b.Context(), hashes[i*7919%n]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSetLinks(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	target := make([]byte, 100)
	links := make([]store.Link, 10)
	for i := 0; b.Loop(); i++ {
		for j := range links {
			links[j] = store.Link{Name: fmt.Sprintf("result/%020d", i*10+j), Target: target}
		}
		if err := s.SetLinks(b.Context(), links...); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSwapLink(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	var old []byte
	for i := 0; b.Loop(); i++ {
		target := binary.BigEndian.AppendUint64(nil, uint64(i))
		if err := s.SwapLink(b.Context(), "link", old, target); err != nil {
			b.Fatal(err)
		}
		old = target
	}
}

func BenchmarkLink(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	for i := range 1000 {
		if err := s.SetLinks(b.Context(), store.Link{Name: fmt.Sprint("link/", i), Target: make([]byte, 100)}); err != nil {
			b.Fatal(err)
		}
	}
	for i := 0; b.Loop(); i++ {
		if _, err := s.Link(b.Context(), fmt.Sprint("link/", i%1000)); err != nil {
			b.Fatal(err)
		}
	}
}

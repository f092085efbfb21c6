package image

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"
	"runtime"
	"slices"
	"sync"
)

// Hash is a SHA-256. The zero Hash stands for a page, or a whole subtree, of
// zero bytes: those cost neither space nor time.
type Hash [hashSize]byte

const hashSize = sha256.Size

// fanout is the number of children of a node. 64 makes a node's children fit
// a machine word as a set, and a node chunk 2 KiB: for the 70 MiB of an AOS
// process the tree has three levels, and one message rewrites about 40 nodes.
const fanout = 64

// node holds the hashes of its children: pages on level 0, nodes above.
type node struct {
	hash [fanout]Hash
	// stale children have changed since their hash was computed; unsaved ones
	// have a hash that the last checkpoint didn't hold; present ones may be
	// other than zero.
	stale, unsaved, present uint64
}

func (n *node) bytes() []byte {
	out := make([]byte, 0, fanout*hashSize)
	for i := range n.hash {
		out = append(out, n.hash[i][:]...)
	}
	return out
}

// Tree is the Merkle tree over a memory's pages. Its shape is given by the
// memory's size, its root by size and content.
//
// The hash of a page is its SHA-256, that of a node the SHA-256 of its 64
// children's hashes one after another, except that a page or subtree of zero
// bytes has the zero Hash. The root is SHA-256 of "aorta.image.1", a zero
// byte, the size in bytes as a big-endian uint64, and the top node's hash.
type Tree struct {
	mu     sync.Mutex
	size   int
	levels [][]*node // levels[0] is next to the pages; nil nodes are zero
}

// NewTree returns the tree of a memory of size zero bytes.
func NewTree(size int) *Tree {
	t := &Tree{}
	t.shape(size)
	return t
}

func (t *Tree) shape(size int) {
	t.size = size
	n := (size + PageSize - 1) / PageSize
	for l := 0; ; l++ {
		n = max(1, (n+fanout-1)/fanout)
		if l == len(t.levels) {
			t.levels = append(t.levels, nil)
		}
		for len(t.levels[l]) < n {
			t.levels[l] = append(t.levels[l], nil)
		}
		if n == 1 {
			return
		}
	}
}

// grow makes the memory larger; the new pages are zero.
func (t *Tree) grow(size int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := len(t.levels)
	t.shape(size)
	// Nodes above the former top have children that they don't know of yet.
	for l := before; l < len(t.levels); l++ {
		t.touch(l, 0)
	}
}

func (t *Tree) at(level, i int) *node {
	n := t.levels[level][i]
	if n == nil {
		n = new(node)
		t.levels[level][i] = n
	}
	return n
}

// touch marks child i of level stale, and with it the path to the top.
func (t *Tree) touch(level, i int) {
	for ; level < len(t.levels); level++ {
		n, bit := t.at(level, i/fanout), uint64(1)<<(i%fanout)
		if n.stale&bit != 0 {
			return
		}
		n.stale |= bit
		n.present |= bit
		i /= fanout
	}
}

// stale says that the content of page p has changed.
func (t *Tree) stale(p int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.touch(0, p)
}

// occupied yields the pages that may be other than zero.
func (t *Tree) occupied() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, n := range t.levels[0] {
			if n == nil {
				continue
			}
			for set := n.present; set != 0; set &= set - 1 {
				if !yield(i*fanout + bits.TrailingZeros64(set)) {
					return
				}
			}
		}
	}
}

func (t *Tree) nonZero() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	count := 0
	for _, n := range t.levels[0] {
		if n != nil {
			count += bits.OnesCount64(n.present)
		}
	}
	return count
}

func (t *Tree) clone() *Tree {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &Tree{size: t.size, levels: make([][]*node, len(t.levels))}
	for l, nodes := range t.levels {
		c.levels[l] = slices.Clone(nodes)
		for i, n := range nodes {
			if n != nil {
				copied := *n
				c.levels[l][i] = &copied
			}
		}
	}
	return c
}

// refresh computes what is stale, given the pages' content, and returns the
// top node's hash.
func (t *Tree) refresh(page func(int) []byte) Hash {
	top := len(t.levels) - 1
	return t.refreshNode(top, 0, t.hashPages(page))
}

// parallelPages is from how many pages on hashing them is worth a second
// goroutine: some 100 µs of work.
const parallelPages = 64

// hashPages hashes the stale pages, on several processors if they are many,
// and returns a function that looks a page's hash up.
func (t *Tree) hashPages(page func(int) []byte) func(int) Hash {
	var stale []int
	for i, n := range t.levels[0] {
		if n == nil {
			continue
		}
		for set := n.stale; set != 0; set &= set - 1 {
			stale = append(stale, i*fanout+bits.TrailingZeros64(set))
		}
	}
	hashes := make([]Hash, len(stale))
	hash := func(from, to int) {
		for i := from; i < to; i++ {
			if p := page(stale[i]); !isZero(p) {
				hashes[i] = sha256.Sum256(p)
			}
		}
	}
	if workers := min(runtime.GOMAXPROCS(0), len(stale)/parallelPages+1); workers > 1 {
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() { hash(w*len(stale)/workers, (w+1)*len(stale)/workers) })
		}
		wg.Wait()
	} else {
		hash(0, len(stale))
	}
	// The pages are asked for in the same order.
	next := 0
	return func(p int) Hash {
		for stale[next] != p {
			next++
		}
		return hashes[next]
	}
}

func (t *Tree) refreshNode(level, i int, page func(int) Hash) Hash {
	n := t.levels[level][i]
	if n == nil {
		return Hash{}
	}
	for set := n.stale; set != 0; set &= set - 1 {
		c := bits.TrailingZeros64(set)
		child := i*fanout + c
		var h Hash
		if level > 0 {
			h = t.refreshNode(level-1, child, page)
		} else {
			h = page(child)
		}
		bit := uint64(1) << c
		if h != n.hash[c] {
			n.hash[c] = h
			n.unsaved |= bit
		}
		if h == (Hash{}) {
			n.present &^= bit
			n.unsaved &^= bit
		}
	}
	n.stale = 0
	if n.present == 0 {
		return Hash{}
	}
	return sha256.Sum256(n.bytes())
}

// rootOf is the fingerprint of a memory of that size whose top node has that hash.
func rootOf(size int, top Hash) Hash {
	h := sha256.New()
	h.Write([]byte("aorta.image.1\x00"))
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(size))
	h.Write(b[:])
	h.Write(top[:])
	return Hash(h.Sum(nil))
}

// parseNode reads a node chunk and says which children it has. Children past
// the end of the memory must be zero.
func parseNode(data []byte, children int) (*node, error) {
	if len(data) != fanout*hashSize {
		return nil, fmt.Errorf("a tree node of %d bytes, not %d", len(data), fanout*hashSize)
	}
	n := new(node)
	for c := range n.hash {
		copy(n.hash[c][:], data[c*hashSize:])
		if n.hash[c] == (Hash{}) {
			continue
		}
		if c >= children {
			return nil, fmt.Errorf("a tree node has content past the end of memory")
		}
		n.present |= 1 << c
	}
	return n, nil
}

package process

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"aorta/store"
)

// The records of this package start with a byte that says their version.
// Numbers are varints; texts and bytes have their length before them.
const (
	assignmentVersion = 1
	resultVersion     = 1
	checkpointVersion = 1
)

// inlineResult is the largest result that is kept in its link. Larger ones
// are values, since a link has room for store.MaxLink bytes.
const inlineResult = 32 << 10

var errRecord = errors.New("the record is damaged")

// encodeAssignment returns a's record; the message is its tail.
func encodeAssignment(a *Assignment, chain [32]byte) []byte {
	b := make([]byte, 0, 1+3*binary.MaxVarintLen64+len(chain)+len(a.Message))
	b = append(b, assignmentVersion)
	b = binary.AppendUvarint(b, a.Epoch)
	b = binary.AppendVarint(b, a.Timestamp)
	b = binary.AppendUvarint(b, a.BlockHeight)
	b = append(b, chain[:]...)
	return append(b, a.Message...)
}

// decodeAssignment reads a record of process's log. The message shares data.
func decodeAssignment(process string, slot uint64, data []byte) (*Assignment, [32]byte, error) {
	var chain [32]byte
	d, err := open(data, assignmentVersion)
	if err != nil {
		return nil, chain, fmt.Errorf("read slot %d of process %s: %w", slot, process, err)
	}
	a := &Assignment{Process: process, Slot: slot, Epoch: d.uint(), Timestamp: d.int(), BlockHeight: d.uint()}
	copy(chain[:], d.take(len(chain)))
	if d.bad {
		return nil, chain, fmt.Errorf("read slot %d of process %s: %w", slot, process, errRecord)
	}
	a.HashChain = base64.RawURLEncoding.EncodeToString(chain[:])
	a.Message = d.rest
	return a, chain, nil
}

// chainStart is the hash chain before slot 0.
func chainStart(process string) [32]byte { return sha256.Sum256([]byte(process)) }

// chainNext is the hash chain after a message.
func chainNext(chain [32]byte, message []byte) [32]byte {
	h := sha256.Sum256(message)
	var both [64]byte
	copy(both[:32], chain[:])
	copy(both[32:], h[:])
	return sha256.Sum256(both[:])
}

// resultHash is what two nodes compare: version, failed, data.
func resultHash(failed bool, data []byte) store.Hash {
	h := sha256.New()
	h.Write([]byte{resultVersion, bit(failed)})
	h.Write(data)
	return store.Hash(h.Sum(nil))
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// storedResult is a result as its link holds it.
type storedResult struct {
	Result
	inline bool
	// value and size say where the data is, if not inline.
	value store.Hash
	size  uint64
}

// encodeResult returns the link target for r, whose data is stored apart, under
// value, if it is larger than inlineResult.
func encodeResult(r *Result, value store.Hash) []byte {
	b := make([]byte, 0, 160+len(r.Profile)+min(len(r.Data), inlineResult))
	inline := len(r.Data) <= inlineResult
	b = append(b, resultVersion, bit(inline), bit(r.Failed))
	b = binary.AppendUvarint(b, r.Ledger.Fuel)
	b = binary.AppendUvarint(b, uint64(max(r.Ledger.DirtyPages, 0)))
	b = binary.AppendUvarint(b, r.Ledger.MemoryBytes)
	b = binary.AppendUvarint(b, uint64(max(r.Ledger.Wall, 0)))
	b = binary.AppendUvarint(b, uint64(len(r.Ledger.HostCalls)))
	for _, name := range slices.Sorted(maps.Keys(r.Ledger.HostCalls)) {
		b = appendText(b, name)
		b = binary.AppendUvarint(b, r.Ledger.HostCalls[name])
	}
	b = appendText(b, r.Profile)
	h := r.Hash()
	b = append(b, h[:]...)
	if inline {
		return append(b, r.Data...)
	}
	b = append(b, value[:]...)
	return binary.AppendUvarint(b, uint64(len(r.Data)))
}

func decodeResult(process string, slot uint64, data []byte) (*storedResult, error) {
	d, err := open(data, resultVersion)
	if err != nil {
		return nil, fmt.Errorf("read result %d of process %s: %w", slot, process, err)
	}
	r := &storedResult{Result: Result{Process: process, Slot: slot}}
	r.inline = d.flag()
	r.Failed = d.flag()
	r.Ledger.Fuel = d.uint()
	r.Ledger.DirtyPages = int(d.uint() & (1<<31 - 1))
	r.Ledger.MemoryBytes = d.uint()
	r.Ledger.Wall = time.Duration(d.uint() & (1<<63 - 1))
	// Each entry takes at least two bytes, so a wild count can't make a
	// large map.
	if n := d.uint(); n > uint64(len(d.rest)/2) {
		d.bad = true
	} else if n > 0 {
		r.Ledger.HostCalls = make(map[string]uint64, n)
		for range n {
			name := d.text()
			r.Ledger.HostCalls[name] = d.uint()
		}
	}
	r.Profile = d.text()
	copy(r.hash[:], d.take(len(r.hash)))
	if r.inline {
		r.Data = d.rest
	} else {
		copy(r.value[:], d.take(len(r.value)))
		r.size = d.uint()
		d.bad = d.bad || len(d.rest) > 0
	}
	if d.bad || r.inline && resultHash(r.Failed, r.Data) != r.hash {
		return nil, fmt.Errorf("read result %d of process %s: %w", slot, process, errRecord)
	}
	return r, nil
}

// Checkpoint is a stored state of a process.
type Checkpoint struct {
	Process string
	// Next is the first slot that the state hasn't seen.
	Next uint64
	Snapshot
	// Time is when it was taken, in milliseconds since the Unix epoch.
	Time int64
}

func encodeCheckpoint(c *Checkpoint) []byte {
	b := make([]byte, 0, 96+len(c.Profile)+len(c.Manifest))
	b = append(b, checkpointVersion)
	b = binary.AppendUvarint(b, c.Next)
	b = append(b, c.Root[:]...)
	b = binary.AppendUvarint(b, c.Written)
	b = binary.AppendVarint(b, c.Time)
	b = appendText(b, c.Profile)
	return append(b, c.Manifest...)
}

func decodeCheckpoint(process string, next uint64, data []byte) (*Checkpoint, error) {
	d, err := open(data, checkpointVersion)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint %d of process %s: %w", next, process, err)
	}
	c := &Checkpoint{Process: process, Next: d.uint()}
	copy(c.Root[:], d.take(len(c.Root)))
	c.Written = d.uint()
	c.Time = d.int()
	c.Profile = d.text()
	c.Manifest = d.rest
	if d.bad || c.Next != next {
		return nil, fmt.Errorf("read checkpoint %d of process %s: %w", next, process, errRecord)
	}
	return c, nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder reads a record; after the first thing that isn't there it is bad,
// and yields zeros.
type decoder struct {
	rest []byte
	bad  bool
}

func open(data []byte, version byte) (*decoder, error) {
	switch {
	case len(data) == 0 || data[0] == 0:
		return nil, errRecord
	case data[0] > version:
		return nil, fmt.Errorf("%w: version %d of a record", store.ErrNewerFormat, data[0])
	}
	return &decoder{rest: data[1:]}, nil
}

func (d *decoder) take(n int) []byte {
	if n > len(d.rest) {
		d.bad, d.rest = true, nil
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) flag() bool {
	b := d.take(1)
	if len(b) == 1 && b[0] > 1 {
		d.bad = true
	}
	return len(b) == 1 && b[0] == 1
}

func (d *decoder) text() string {
	n := d.uint()
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return ""
	}
	return string(d.take(int(n)))
}

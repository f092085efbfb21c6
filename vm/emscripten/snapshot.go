package emscripten

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// The state is encoded as a version byte, 1, then as uvarints: the last
// exception, the number of uncaught ones, the second result, whether there is
// a time zone, the number of exceptions being handled and each; and then the
// file system's own encoding, empty if that is in its initial state.
const snapshotVersion = 1

// maxHandled bounds the exceptions that are being handled at the end of a
// call; catch clauses nest a few deep.
const maxHandled = 1 << 16

func (h *Host) encodeExceptions() []byte {
	e := &h.exc
	if e.last == 0 && e.uncaught == 0 && e.tempRet0 == 0 && len(e.caught) == 0 && !h.zoned {
		return nil
	}
	zoned := uint64(0)
	if h.zoned {
		zoned = 1
	}
	out := []byte{snapshotVersion}
	for _, v := range [...]uint64{e.last, uint64(e.uncaught), uint64(e.tempRet0), zoned, uint64(len(e.caught))} {
		out = binary.AppendUvarint(out, v)
	}
	for _, v := range e.caught {
		out = binary.AppendUvarint(out, v)
	}
	return out
}

// Snapshot implements wasm.Host. The state is the file system and the
// exceptions that are under way.
func (h *Host) Snapshot() []byte {
	files, exc := h.fs.Snapshot(), h.encodeExceptions()
	if files == nil && exc == nil {
		return nil
	}
	if exc == nil {
		exc = []byte{snapshotVersion, 0, 0, 0, 0, 0}
	}
	if h.lastSnapshot != nil && bytes.Equal(files, h.lastFiles) && bytes.Equal(exc, h.lastExc) {
		return h.lastSnapshot
	}
	h.lastFiles, h.lastExc = files, exc
	h.lastSnapshot = append(bytes.Clone(exc), files...)
	return h.lastSnapshot
}

var errSnapshot = errors.New("the encoded state is malformed")

// Restore implements wasm.Host. It keeps the snapshot.
func (h *Host) Restore(snapshot []byte) error {
	exc, zoned, files, err := parse(snapshot)
	if err != nil {
		return fmt.Errorf("restore Emscripten's state: %w", err)
	}
	if len(snapshot) > 0 && len(snapshot) == len(h.lastSnapshot) && &snapshot[0] == &h.lastSnapshot[0] {
		files = h.lastFiles // the very slice that the file system may still have
	}
	if err := h.fs.Restore(files); err != nil {
		return fmt.Errorf("restore Emscripten's state: %w", err)
	}
	h.exc, h.zoned = exc, zoned
	return nil
}

func parse(data []byte) (e exceptions, zoned bool, files []byte, err error) {
	if data == nil {
		return e, false, nil, nil
	}
	if len(data) == 0 || data[0] != snapshotVersion {
		return e, false, nil, errSnapshot
	}
	data = data[1:]
	next := func(max uint64) uint64 {
		v, n := binary.Uvarint(data)
		if n <= 0 || v > max || n > 1 && data[n-1] == 0 { // one encoding a number
			err = errSnapshot
			return 0
		}
		data = data[n:]
		return v
	}
	e.last = next(1<<64 - 1)
	e.uncaught = uint32(next(1<<32 - 1))
	e.tempRet0 = uint32(next(1<<32 - 1))
	zoned = next(1) == 1
	for n := next(maxHandled); n > 0 && err == nil; n-- {
		e.caught = append(e.caught, next(1<<64-1))
	}
	if err == nil && len(data) > 0 {
		files = data
	}
	if err == nil && files == nil && !zoned && len(e.caught) == 0 && e.last == 0 && e.uncaught == 0 && e.tempRet0 == 0 {
		err = errSnapshot // the initial state is nil
	}
	return e, zoned, files, err
}

package wasm

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"aorta/vm"
	"aorta/vm/image"
)

// Checkpoint names the stored state of an instance: its chunks are wherever
// Save put them.
type Checkpoint struct {
	// Module is the SHA-256 of the module's binary.
	Module [32]byte
	// Image is the stored memory.
	Image image.Checkpoint
	// Rest is the length in bytes, and the hash of the list of chunks, of the
	// state that isn't memory.
	RestSize int
	Rest     image.Hash
	// Root is the state's fingerprint: SHA-256 of "aorta.state.1", a zero
	// byte, the module, the image's root, and SHA-256 of the encoded rest.
	// The engine profile isn't a part of it, so that states of different
	// engines can be compared.
	Root image.Hash
}

const (
	// restChunk is how the state that isn't memory is cut up, in bytes.
	restChunk = 32 << 10
	// maxRest bounds it, in bytes: a full virtual file system and its
	// descriptors fit, and its list of chunks fits one chunk.
	maxRest = restChunk * (64 << 10) / sha256.Size
)

// Save stores the present state, which becomes the mark. Only what changed
// since the last Save of this instance is handed to sink.
func (in *Instance) Save(ctx context.Context, sink image.Sink) (Checkpoint, error) {
	if _, err := in.Mark(); err != nil {
		return Checkpoint{}, err
	}
	cp := Checkpoint{Module: in.mod.id}
	if in.image != nil {
		var err error
		if cp.Image, err = in.image.Backing().Save(ctx, sink); err != nil {
			return Checkpoint{}, err
		}
	}
	rest := in.marked.encode()
	if len(rest) > maxRest {
		return Checkpoint{}, fmt.Errorf("save state: %d bytes besides memory are over the limit of %d", len(rest), maxRest)
	}
	cp.RestSize = len(rest)
	var hashes []image.Hash
	var data [][]byte
	var list []byte
	for at := 0; at < len(rest); at += restChunk {
		chunk := rest[at:min(at+restChunk, len(rest))]
		h := image.Hash(sha256.Sum256(chunk))
		hashes, data, list = append(hashes, h), append(data, chunk), append(list, h[:]...)
	}
	cp.Rest = sha256.Sum256(list)
	hashes, data = append(hashes, cp.Rest), append(data, list)
	if err := sink.PutChunks(ctx, hashes, data); err != nil {
		return Checkpoint{}, fmt.Errorf("save state: %w", err)
	}
	for _, d := range data {
		cp.Image.Written += len(d)
	}
	cp.Root = stateRoot(cp.Module, cp.Image.Root(), rest)
	return cp, nil
}

// Root is the fingerprint of the state at the last mark.
func (in *Instance) Root() image.Hash {
	var root image.Hash
	if in.image != nil {
		root = in.image.Backing().Root()
	} else {
		root = image.Checkpoint{}.Root()
	}
	return stateRoot(in.mod.id, root, in.marked.encode())
}

func stateRoot(module [32]byte, memory image.Hash, rest []byte) image.Hash {
	h := sha256.New()
	h.Write([]byte("aorta.state.1\x00"))
	h.Write(module[:])
	h.Write(memory[:])
	sum := sha256.Sum256(rest)
	h.Write(sum[:])
	return image.Hash(h.Sum(nil))
}

// Restore returns an instance with a stored state, marked. What doesn't add
// up to the checkpoint's root is refused.
func (m *Module) Restore(ctx context.Context, hosts []Host, source image.Source, cp Checkpoint, limits vm.Limits) (*Instance, error) {
	in, err := m.restore(ctx, hosts, source, cp, limits.WithDefaults())
	if err != nil {
		return nil, fmt.Errorf("restore state: %w", err)
	}
	return in, nil
}

func (m *Module) restore(ctx context.Context, hosts []Host, source image.Source, cp Checkpoint, limits vm.Limits) (*Instance, error) {
	if cp.Module != m.id {
		return nil, errors.New("it is of another module")
	}
	if cp.RestSize < 0 || cp.RestSize > maxRest {
		return nil, fmt.Errorf("%d bytes besides memory are over the limit of %d", cp.RestSize, maxRest)
	}
	rest := make([]byte, cp.RestSize)
	var hashes []image.Hash
	err := source.Chunks(ctx, []image.Hash{cp.Rest}, func(_ int, data []byte) error {
		if len(data) != (cp.RestSize+restChunk-1)/restChunk*sha256.Size {
			return errors.New("the list of chunks has a wrong length")
		}
		for at := 0; at < len(data); at += sha256.Size {
			hashes = append(hashes, image.Hash(data[at:at+sha256.Size]))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = source.Chunks(ctx, hashes, func(i int, data []byte) error {
		if want := min(restChunk, cp.RestSize-i*restChunk); len(data) != want {
			return fmt.Errorf("a chunk of %d bytes, not %d", len(data), want)
		}
		copy(rest[i*restChunk:], data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if stateRoot(cp.Module, cp.Image.Root(), rest) != cp.Root {
		return nil, errors.New("the parts don't add up to the root")
	}
	r, err := parseResidue(rest)
	if err != nil {
		return nil, err
	}
	back, err := m.engine.space.Restore(ctx, source, cp.Image, int(min(limits.Memory, MaxMemory)))
	if err != nil {
		return nil, err
	}
	defer back.Release()
	return m.with(ctx, hosts, back, r)
}

// A checkpoint is encoded as a version byte, 1, and then: module (32 bytes),
// memory size (uint64), top of the tree (32), rest size (uint64), rest (32),
// root (32). Integers are big-endian.
const (
	checkpointVersion = 1
	checkpointSize    = 1 + 32 + 8 + 32 + 8 + 32 + 32
)

// MarshalBinary never fails.
func (c Checkpoint) MarshalBinary() ([]byte, error) {
	out := make([]byte, 0, checkpointSize)
	out = append(out, checkpointVersion)
	out = append(out, c.Module[:]...)
	out = binary.BigEndian.AppendUint64(out, uint64(c.Image.Size))
	out = append(out, c.Image.Top[:]...)
	out = binary.BigEndian.AppendUint64(out, uint64(c.RestSize))
	out = append(out, c.Rest[:]...)
	return append(out, c.Root[:]...), nil
}

// UnmarshalBinary is the inverse of MarshalBinary.
func (c *Checkpoint) UnmarshalBinary(data []byte) error {
	if len(data) == 0 || data[0] != checkpointVersion {
		return errors.New("checkpoint of an unknown version")
	}
	if len(data) != checkpointSize {
		return fmt.Errorf("checkpoint of %d bytes, not %d", len(data), checkpointSize)
	}
	data = data[1:]
	take := func(n int) []byte {
		out := data[:n]
		data = data[n:]
		return out
	}
	copy(c.Module[:], take(32))
	size := binary.BigEndian.Uint64(take(8))
	copy(c.Image.Top[:], take(32))
	rest := binary.BigEndian.Uint64(take(8))
	if size > MaxMemory || rest > maxRest {
		return errors.New("checkpoint of an impossible size")
	}
	c.Image.Size, c.RestSize = int(size), int(rest)
	copy(c.Rest[:], take(32))
	copy(c.Root[:], take(32))
	return nil
}

package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/s2"

	"aorta/store"
)

// A frame is what packs are made of: some bytes, compressed together.
//
//	0   "AOF1"
//	4   codec: 0 for none, 1 for S2
//	5   three zero bytes
//	8   length of the body
//	12  length of what is in it
//	16  CRC-32C of bytes 4 to 16 and of the body
//	20  body
//
// Numbers are big-endian, in 4 bytes.
const (
	frameMagic  = "AOF1"
	frameHeader = 20
	// chunkFrame is about how much of chunks goes into a frame, in bytes:
	// enough to compress well (twice as much saves 2 % more, half as much
	// costs 4 %), little enough that reading one chunk of it is cheap.
	chunkFrame = 128 << 10
	// valueFrame is how much of a large value goes into a frame, in bytes:
	// nobody reads less than all of it.
	valueFrame = 512 << 10
	// maxFrame bounds what a damaged header can ask for, in bytes.
	maxFrame = max(valueFrame, chunkFrame+store.MaxChunk)
)

const (
	codecNone = 0
	codecS2   = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func frameChecksum(frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[4:16], castagnoli), castagnoli, frame[frameHeader:])
}

// maxEncoded is the most bytes that a frame of n bytes takes.
func maxEncoded(n int) int { return frameHeader + max(s2.MaxEncodedLen(n), n) }

// appendFrame appends a frame of raw, which has at most maxFrame bytes.
func appendFrame(dst, raw []byte) []byte {
	start := len(dst)
	need := start + maxEncoded(len(raw))
	if cap(dst) < need {
		dst = append(make([]byte, 0, need), dst...)
	}
	frame := dst[start:need:need]
	clear(frame[:frameHeader])
	body := s2.Encode(frame[frameHeader:], raw)
	frame[4] = codecS2
	if len(body) >= len(raw) {
		frame[4] = codecNone
		body = frame[frameHeader : frameHeader+len(raw)]
		copy(body, raw)
	}
	copy(frame, frameMagic)
	binary.BigEndian.PutUint32(frame[8:], uint32(len(body)))
	binary.BigEndian.PutUint32(frame[12:], uint32(len(raw)))
	frame = frame[:frameHeader+len(body)]
	binary.BigEndian.PutUint32(frame[16:], frameChecksum(frame))
	return dst[:start+len(frame)]
}

func damaged(what string) error { return fmt.Errorf("%w: %s", store.ErrCorrupt, what) }

// frameLength returns how long the frame is that begins with header, header
// included. It needs the first frameHeader bytes of the frame.
func frameLength(header []byte) (int, error) {
	if len(header) < frameHeader || string(header[:4]) != frameMagic {
		return 0, damaged("no frame begins here")
	}
	body, raw := binary.BigEndian.Uint32(header[8:]), binary.BigEndian.Uint32(header[12:])
	if raw > maxFrame || int64(body) > int64(maxEncoded(int(raw))) {
		return 0, damaged("a frame says it is too long")
	}
	return frameHeader + int(body), nil
}

// rawLength returns how much is in the frame that begins with header.
func rawLength(header []byte) int64 { return int64(binary.BigEndian.Uint32(header[12:])) }

// checkFrame returns the length of the frame that data begins with, if all of
// it is there and whole.
func checkFrame(data []byte) (int, error) {
	n, err := frameLength(data)
	if err != nil {
		return 0, err
	}
	if n > len(data) {
		return 0, damaged("a frame is cut short")
	}
	if frameChecksum(data[:n]) != binary.BigEndian.Uint32(data[16:]) {
		return 0, damaged("a frame's checksum is wrong")
	}
	return n, nil
}

// decodeFrame returns what is in frame, which ends where data ends. The bytes
// may be part of data, or of buf if that is large enough.
func decodeFrame(buf, data []byte) ([]byte, error) {
	n, err := checkFrame(data)
	if err != nil {
		return nil, err
	}
	if n != len(data) {
		return nil, damaged("a frame is shorter than the index says")
	}
	body, length := data[frameHeader:], int(binary.BigEndian.Uint32(data[12:]))
	switch data[4] {
	case codecNone:
		if len(body) != length {
			return nil, damaged("a frame's lengths don't agree")
		}
		return body, nil
	case codecS2:
		if have, err := s2.DecodedLen(body); err != nil || have != length {
			return nil, damaged("a frame's lengths don't agree")
		}
		raw, err := s2.Decode(buf[:0:cap(buf)], body)
		if err != nil {
			return nil, errors.Join(store.ErrCorrupt, err)
		}
		return raw, nil
	}
	return nil, fmt.Errorf("%w: codec %d of a frame", store.ErrNewerFormat, data[4])
}

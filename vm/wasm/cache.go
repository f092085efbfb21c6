package wasm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/bytecodealliance/wasmtime-go/v39"

	"aorta/vm/wasm/rewrite"
)

// A cache entry is
//
//	"aorta.code.1\n"  SHA-256 of the rest  uint32 length of info  info (JSON)  machine code
//
// in a file named by module, rewriter and engine profile. It is written to a
// temporary file and renamed, so processes that share the directory see whole
// entries only. An entry that is damaged in any way is built again.
const cacheMagic = "aorta.code.1\n"

func (e *Engine) cachePath(module string) string {
	p := sha256.Sum256([]byte(e.profile))
	return filepath.Join(e.config.CacheDir, module+"-"+hex.EncodeToString(p[:8])+".code")
}

// load returns the module's cache entry, or nils.
func (e *Engine) load(module string) (*rewrite.Module, *wasmtime.Module) {
	if e.config.CacheDir == "" {
		return nil, nil
	}
	data, err := os.ReadFile(e.cachePath(module))
	if err != nil {
		return nil, nil
	}
	info, code, err := parseEntry(data)
	if err != nil {
		return nil, nil
	}
	native, err := wasmtime.NewModuleDeserialize(e.native, code)
	if err != nil {
		return nil, nil
	}
	return info, native
}

func parseEntry(data []byte) (*rewrite.Module, []byte, error) {
	rest, ok := bytes.CutPrefix(data, []byte(cacheMagic))
	if !ok || len(rest) < sha256.Size+4 {
		return nil, nil, errors.New("not a cache entry")
	}
	sum, rest := rest[:sha256.Size], rest[sha256.Size:]
	if have := sha256.Sum256(rest); !bytes.Equal(have[:], sum) {
		return nil, nil, errors.New("cache entry is damaged")
	}
	n := binary.BigEndian.Uint32(rest)
	rest = rest[4:]
	if uint64(n) > uint64(len(rest)) {
		return nil, nil, errors.New("cache entry is damaged")
	}
	info := new(rewrite.Module)
	if err := json.Unmarshal(rest[:n], info); err != nil {
		return nil, nil, err
	}
	return info, rest[n:], nil
}

// save writes a cache entry. A cache that can't be written is no reason to
// refuse the module: it will be compiled again.
func (e *Engine) save(module string, info *rewrite.Module, native *wasmtime.Module) {
	if e.config.CacheDir == "" {
		return
	}
	code, err := native.Serialize()
	if err != nil {
		return
	}
	meta, err := json.Marshal(info)
	if err != nil {
		return
	}
	body := binary.BigEndian.AppendUint32(nil, uint32(len(meta)))
	body = append(append(body, meta...), code...)
	sum := sha256.Sum256(body)
	if os.MkdirAll(e.config.CacheDir, 0o700) != nil {
		return
	}
	path := e.cachePath(module)
	f, err := os.CreateTemp(e.config.CacheDir, strings.TrimSuffix(filepath.Base(path), ".code")+".*.tmp")
	if err != nil {
		return
	}
	_, err = f.Write(append(append([]byte(cacheMagic), sum[:]...), body...))
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
}

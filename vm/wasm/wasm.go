// Package wasm compiles, links and calls WebAssembly modules within limits, deterministically.
package wasm

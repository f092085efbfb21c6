// Package wasm compiles, links and calls WebAssembly modules within limits, deterministically.
//
// An Engine compiles modules (after the rewrite package has prepared them)
// and keeps the machine code on disk. A Module makes Instances. An Instance
// is called, marked, rolled back, forked, and saved to and restored from a
// checkpoint; its memory is an image (package image), so each of these costs
// what changed.
//
// Engines and Modules are safe for concurrent use. An Instance belongs to one
// goroutine at a time. Nothing here knows what the bytes mean.
package wasm

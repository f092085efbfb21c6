package process

import "aorta/vm"

// Tag is a name and a value, in the order and case in which they were signed.
type Tag struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Definition is what a process is. It never changes after slot 0 exists.
type Definition struct {
	// ID names the process: 43 characters of base64url.
	ID string `json:"id"`
	// Device names the execution device, as "name@version".
	Device string `json:"device"`
	// Module is the SHA-256 of the module's bytes, in hexadecimal; the bytes
	// are a value of the store.
	Module string `json:"module"`
	// ModuleID and ModuleTags are the module's as its messages name it.
	ModuleID   string `json:"module-id"`
	ModuleTags []Tag  `json:"module-tags,omitempty"`
	Owner      string `json:"owner"`
	Tags       []Tag  `json:"tags,omitempty"`
	// Limits bound each slot; they are a part of the definition since results
	// depend on them. Zero fields are the defaults of vm at the time of the
	// spawn, which are filled in before the definition is stored.
	Limits vm.Limits `json:"limits"`
}

// Assignment is a message with its place in a process's log.
type Assignment struct {
	Process string `json:"process"`
	// Slot counts from 0.
	Slot  uint64 `json:"slot"`
	Epoch uint64 `json:"epoch"`
	// Timestamp is in milliseconds since the Unix epoch, and never smaller
	// than the slot's before.
	Timestamp   int64  `json:"timestamp"`
	BlockHeight uint64 `json:"block-height"`
	// HashChain is base64url(SHA-256(previous chain ++ SHA-256(Message))), the
	// chain before slot 0 being SHA-256 of the process id.
	HashChain string `json:"hash-chain"`
	// Message is the message's bytes, in the form the device reads.
	Message []byte `json:"message"`
}

package node

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"aorta/device/jsoniface"
	"aorta/process"
	"aorta/store"
	"aorta/vm"
)

// Local describes a process that isn't on the network: it is made from a
// module and a name, and always found again by them.
type Local struct {
	Module []byte
	// Name tells processes of one module apart.
	Name string
	// Owner is an address; empty means LocalOwner.
	Owner  string
	Limits vm.Limits
}

// LocalOwner owns local processes, and sends what comes without a sender. Its
// key doesn't exist.
var LocalOwner = id("aorta.local.owner")

func id(parts ...string) string {
	h := store.Hash{}
	for _, p := range parts {
		h = store.Sum(append(h[:], p...))
	}
	return base64.RawURLEncoding.EncodeToString(h[:])
}

// ProcessID is the id of the process that l describes.
func (l Local) ProcessID() string {
	sum := store.Sum(l.Module)
	return id("aorta.local.process", hex.EncodeToString(sum[:]), l.Name, l.owner())
}

func (l Local) owner() string {
	if l.Owner == "" {
		return LocalOwner
	}
	return l.Owner
}

// Definition is the definition of the process that l describes.
func (l Local) Definition() *process.Definition {
	sum := store.Sum(l.Module)
	module := base64.RawURLEncoding.EncodeToString(sum[:])
	return &process.Definition{
		ID:       l.ProcessID(),
		Device:   jsoniface.Name,
		Module:   hex.EncodeToString(sum[:]),
		ModuleID: module,
		ModuleTags: []process.Tag{
			{Name: "Data-Protocol", Value: "ao"}, {Name: "Type", Value: "Module"},
			{Name: "Input-Encoding", Value: "JSON-V1"}, {Name: "Output-Encoding", Value: "JSON-V1"},
		},
		Owner: l.owner(),
		Tags: []process.Tag{
			{Name: "Data-Protocol", Value: "ao"}, {Name: "Variant", Value: "ao.TN.1"}, {Name: "Type", Value: "Process"},
			{Name: "Module", Value: module}, {Name: "Name", Value: l.Name}, {Name: "Authority", Value: l.owner()},
		},
		Limits: l.Limits,
	}
}

// Ensure spawns the process that l describes unless it is there, and gives it
// its first message, the definition, as the network's schedulers do.
func (n *Node) Ensure(ctx context.Context, l Local) (*process.Definition, error) {
	def := l.Definition()
	info, err := n.Runtime.Inspect(ctx, def.ID)
	if process.Wire(err).Details.Code == process.CodeNoProcess {
		if err := n.Runtime.Spawn(ctx, def, l.Module); err != nil {
			return nil, err
		}
		info, err = n.Runtime.Inspect(ctx, def.ID)
	}
	if err != nil {
		return nil, err
	}
	def = &info.Definition
	if info.Assigned > 0 {
		return def, nil
	}
	first, err := json.Marshal(map[string]any{
		"Id": def.ID, "Owner": def.Owner, "From": def.Owner, "Target": def.ID, "Tags": def.Tags, "Data": "",
	})
	if err != nil {
		return nil, fmt.Errorf("encode the first message: %w", err)
	}
	if _, err := n.Runtime.Assign(ctx, def.ID, process.Message{Data: first}); err != nil {
		return nil, err
	}
	return def, nil
}

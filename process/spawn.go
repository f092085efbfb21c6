package process

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"unicode/utf8"

	"aorta/store"
	"aorta/vm"
)

// definitionFormat is the version of a stored definition.
const definitionFormat = 1

// maxDefinition is the largest definition, in bytes. It is read whenever a
// process is, and messages of the network may have some 100 tags of 4 KiB.
const maxDefinition = 1 << 20

// storedDefinition is the value that a definition's link names.
type storedDefinition struct {
	Format     int        `json:"format"`
	Definition Definition `json:"definition"`
}

// Spawn makes the process that def defines. module is the module's bytes; nil
// if the store has them already.
//
// A machine is made before the definition is stored, so that a module that
// can't run is refused; it stays in memory for the first message. Spawning the
// same definition again does nothing; another definition of the same id is a
// conflict (409).
func (r *Runtime) Spawn(ctx context.Context, def *Definition, module []byte) error {
	if def == nil {
		return fault(http.StatusBadRequest, CodeBadDefinition, Details{Phase: PhaseSpawn}, nil, "there is no definition")
	}
	p, err := r.hold(def.ID, PhaseSpawn)
	if err != nil {
		return err
	}
	defer r.leave(p)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	d := Details{Process: def.ID, Phase: PhaseSpawn, Device: def.Device}
	if err := lock(ctx, p.loading); err != nil {
		return fault(0, "", d, err, "spawn process %s", def.ID)
	}
	defer unlock(p.loading)

	own := *def
	own.Tags = append([]Tag(nil), def.Tags...)
	own.ModuleTags = append([]Tag(nil), def.ModuleTags...)
	known, err := r.definition(ctx, def.ID)
	switch {
	case err == nil:
		return spawnAgain(&own, known, d)
	case !errors.Is(err, store.ErrNotFound):
		return storeFault(d, err, "spawn process %s: look for it", def.ID)
	}
	own.Limits = own.Limits.WithDefaults()
	device, err := r.validate(&own, module, d)
	if err != nil {
		return err
	}
	if c, ok := device.(ModuleChecker); ok && module != nil {
		if err := check(ctx, c, module); err != nil {
			return moduleFault(d, err)
		}
	}
	target, value, err := encodeDefinition(&own)
	if err != nil {
		return fault(http.StatusBadRequest, CodeBadDefinition, d, err, "spawn process %s", def.ID)
	}
	if len(value) > maxDefinition {
		return fault(http.StatusRequestEntityTooLarge, CodeTooLarge, d, nil,
			"spawn process %s: its definition has %d bytes; at most %d are taken", def.ID, len(value), maxDefinition)
	}
	values := [][]byte{value}
	if len(module) > 0 {
		values = append(values, module)
	}
	if _, err := r.store.PutValues(ctx, values...); err != nil {
		return storeFault(d, err, "spawn process %s: store its module", def.ID)
	}
	w, err := r.firstMachine(ctx, p, device, &own)
	if err != nil {
		return err
	}
	err = r.store.Sync(ctx)
	if err == nil {
		err = r.store.SwapLink(ctx, definitionName(def.ID), nil, target)
	}
	var conflict *store.ConflictError
	if errors.As(err, &conflict) {
		// Another node was faster; it may have had the same definition.
		w.abandon()
		known, err := r.definition(ctx, def.ID)
		if err != nil {
			return storeFault(d, err, "spawn process %s: look for it", def.ID)
		}
		return spawnAgain(&own, known, d)
	}
	if err == nil {
		err = p.adopt(ctx, &own)
	}
	if err != nil {
		w.abandon()
		return storeFault(d, err, "spawn process %s: store its definition", def.ID)
	}
	w.begin()
	if f := r.opts.Events.Spawned; f != nil {
		f(def.ID)
	}
	return nil
}

// validate checks what can be checked without a machine.
func (r *Runtime) validate(def *Definition, module []byte, d Details) (Device, error) {
	device := r.opts.Devices[def.Device]
	if device == nil {
		return nil, fault(http.StatusBadRequest, CodeUnknownDevice, d, nil,
			"spawn process %s: this node has no execution device %.80q", def.ID, def.Device)
	}
	if def.Module == "" && module == nil {
		return device, nil
	}
	h, err := hex.DecodeString(def.Module)
	if err != nil || len(h) != len(store.Hash{}) || hex.EncodeToString(h) != def.Module {
		return nil, fault(http.StatusBadRequest, CodeBadDefinition, d, nil,
			"spawn process %s: its module %.80q is not a SHA-256 in lower-case hexadecimal", def.ID, def.Module)
	}
	if module != nil && store.Sum(module) != store.Hash(h) {
		return nil, fault(http.StatusBadRequest, CodeBadModule, d, nil,
			"spawn process %s: the module's bytes hash to %s, not to %s as defined", def.ID, store.Sum(module), def.Module)
	}
	return device, nil
}

// moduleFault places an error of a device that was given a new module.
func moduleFault(d Details, err error) error {
	var (
		panik *PanicError
		limit *vm.LimitError
	)
	switch {
	case errors.As(err, &panik), errors.As(err, &limit) && !limit.Deterministic(),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return trouble(d, err)
	}
	return fault(http.StatusBadRequest, CodeBadModule, d, err, "spawn process %s: its module can't run", d.Process)
}

// spawnAgain compares a definition with the one that is stored. What the new
// one leaves to the defaults agrees.
func spawnAgain(def, known *Definition, d Details) error {
	def.Limits = merge(def.Limits, known.Limits)
	_, a, errA := encodeDefinition(def)
	_, b, errB := encodeDefinition(known)
	if err := errors.Join(errA, errB); err != nil {
		return fault(http.StatusBadRequest, CodeBadDefinition, d, err, "spawn process %s", def.ID)
	}
	if !bytes.Equal(a, b) {
		return fault(http.StatusConflict, CodeConflict, d, nil, "process %s exists with another definition", def.ID)
	}
	return nil
}

// merge fills l's zero fields from other.
func merge(l, other vm.Limits) vm.Limits {
	orDefault(&l.Fuel, other.Fuel)
	orDefault(&l.Wall, other.Wall)
	orDefault(&l.Memory, other.Memory)
	orDefault(&l.Table, other.Table)
	orDefault(&l.Output, other.Output)
	return l
}

// encodeDefinition returns a definition's value, and the target of its link: a
// version and the value's hash.
func encodeDefinition(def *Definition) (target, value []byte, err error) {
	// JSON would replace what isn't UTF-8, and the process would be another
	// one after a restart.
	texts := []string{def.ID, def.Device, def.Module, def.ModuleID, def.Owner}
	for _, t := range slices.Concat(def.Tags, def.ModuleTags) {
		texts = append(texts, t.Name, t.Value)
	}
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return nil, nil, fmt.Errorf("%.80q is not UTF-8", text)
		}
	}
	value, err = json.Marshal(storedDefinition{definitionFormat, *def})
	if err != nil {
		return nil, nil, err
	}
	h := store.Sum(value)
	return append([]byte{definitionFormat}, h[:]...), value, nil
}

// definition reads a process's definition: ErrNotFound if there is none.
func (r *Runtime) definition(ctx context.Context, id string) (*Definition, error) {
	target, err := r.store.Link(ctx, definitionName(id))
	if err != nil {
		return nil, err
	}
	d, err := open(target, definitionFormat)
	if err == nil && len(d.rest) != len(store.Hash{}) {
		err = errRecord
	}
	if err != nil {
		return nil, fmt.Errorf("read the definition of process %s: %w", id, err)
	}
	value, err := r.store.Value(ctx, store.Hash(d.rest))
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			err = fmt.Errorf("%w: the value is missing", store.ErrCorrupt)
		}
		return nil, fmt.Errorf("read the definition of process %s: %w", id, err)
	}
	var s storedDefinition
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, fmt.Errorf("read the definition of process %s: %w", id, err)
	}
	switch {
	case s.Format > definitionFormat:
		return nil, fmt.Errorf("read the definition of process %s: %w", id, store.ErrNewerFormat)
	case s.Definition.ID != id:
		return nil, fmt.Errorf("read the definition of process %s: %w: it is of process %.64q", id, store.ErrCorrupt, s.Definition.ID)
	}
	return &s.Definition, nil
}

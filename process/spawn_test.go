package process_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"aorta/process"
	"aorta/store"
	"aorta/vm"
)

func TestBadDefinitionsAreRefused(t *testing.T) {
	bad := []byte("bad module")
	for _, test := range []struct {
		name   string
		change func(*process.Definition)
		module []byte
		status int
		code   string
	}{
		{"no id", func(d *process.Definition) { d.ID = "" }, module, 400, process.CodeBadProcessID},
		{"id with a path", func(d *process.Definition) { d.ID = "../" + id(1)[3:] }, module, 400, process.CodeBadProcessID},
		{"id with a slash", func(d *process.Definition) { d.ID = id(1)[:42] + "/" }, module, 400, process.CodeBadProcessID},
		{"id with a zero", func(d *process.Definition) { d.ID = id(1)[:42] + "\x00" }, module, 400, process.CodeBadProcessID},
		{"long id", func(d *process.Definition) { d.ID = strings.Repeat("a", 44) }, module, 400, process.CodeBadProcessID},
		{"unknown device", func(d *process.Definition) { d.Device = "none@1.0" }, module, 400, process.CodeUnknownDevice},
		{"no device", func(d *process.Definition) { d.Device = "" }, module, 400, process.CodeUnknownDevice},
		{"module that isn't a hash", func(d *process.Definition) { d.Module = "x" }, module, 400, process.CodeBadDefinition},
		{"module in capitals", func(d *process.Definition) { d.Module = strings.ToUpper(d.Module) }, module, 400, process.CodeBadDefinition},
		{"other module", func(*process.Definition) {}, []byte("other"), 400, process.CodeBadModule},
		{"module that the device refuses", func(d *process.Definition) { d.Module = store.Sum(bad).String() }, bad, 400, process.CodeBadModule},
		{"module that doesn't start", func(d *process.Definition) {
			d.Tags = append(d.Tags, process.Tag{Name: "Init", Value: "fails"})
		}, module, 400, process.CodeBadModule},
		{"tag that isn't UTF-8", func(d *process.Definition) {
			d.Tags = append(d.Tags, process.Tag{Name: "Name", Value: "\xff"})
		}, module, 400, process.CodeBadDefinition},
		{"definition that is too large", func(d *process.Definition) {
			d.Tags = append(d.Tags, process.Tag{Name: "Name", Value: strings.Repeat("x", 1<<20)})
		}, module, 413, process.CodeTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, process.Options{})
			def := definition(1)
			test.change(def)
			wantCode(t, b.Spawn(ctx, def, test.module), test.status, test.code)
			if len(b.store.now.links) != 0 {
				t.Errorf("the store has links %v", b.store.now.links)
			}
			if test.name == "module that the device refuses" && len(b.store.now.values) != 0 {
				t.Error("a refused module was stored")
			}
			for p, err := range b.Processes(ctx) {
				t.Errorf("there is a process %s, %v", p, err)
			}
		})
	}
	b := newBench(t, process.Options{})
	wantCode(t, b.Spawn(ctx, nil, nil), 400, process.CodeBadDefinition)
}

func TestSpawnAgainDoesNothing(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	b.say(p, "add 1")
	b.spawn(1)
	b = b.restart()
	b.spawn(1)
	if got := b.say(p, "add 1"); got != "2" {
		t.Errorf("the sum is %s", got)
	}
	// The defaults of the first spawn are the process's, also when written out.
	def := definition(1)
	def.Limits = vm.Limits{}.WithDefaults()
	if err := b.Spawn(ctx, def, module); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*process.Definition){
		"other owner":  func(d *process.Definition) { d.Owner = "thief" },
		"other tag":    func(d *process.Definition) { d.Tags = nil },
		"other limit":  func(d *process.Definition) { d.Limits.Fuel = 5 },
		"other device": func(d *process.Definition) { d.Device = "x" },
	} {
		def := definition(1)
		change(def)
		if err := b.Spawn(ctx, def, module); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			wantCode(t, err, 409, process.CodeConflict)
		}
	}
}

func TestDefaultLimitsAreFilledInAtSpawn(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	info, err := b.Inspect(ctx, p)
	if err != nil || info.Definition.Limits != (vm.Limits{}).WithDefaults() {
		t.Errorf("limits %+v, %v", info.Definition.Limits, err)
	}
}

func TestFailedSpawnLeavesNoProcess(t *testing.T) {
	for _, op := range []string{"PutValues", "Sync", "SwapLink", "Link"} {
		b := newBench(t, process.Options{})
		b.store.setFail(func(o string) error {
			if o == op {
				return errors.New("disk is full")
			}
			return nil
		})
		wantCode(t, b.Spawn(ctx, definition(1), module), 503, process.CodeStore)
		if body := wire(t, b.Spawn(ctx, definition(1), module)).Body; strings.Contains(body, "disk") {
			t.Errorf("%s: the body tells about the host: %s", op, body)
		}
		b.store.setFail(nil)
		_, err := b.Assign(ctx, id(1), process.Message{Data: []byte("add 1")})
		wantCode(t, err, 404, process.CodeNoProcess)
		p := b.spawn(1)
		b.say(p, "add 1")
	}
}

func TestSpawnedAtOnceIsOneProcess(t *testing.T) {
	b := newBench(t, process.Options{})
	errs := make(chan error)
	for range 8 {
		go func() { errs <- b.Spawn(ctx, definition(1), module) }()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if made := b.device.made.Load(); made != 1 {
		t.Errorf("%d machines were made", made)
	}
}

func TestProcessesAreListedInOrder(t *testing.T) {
	b := newBench(t, process.Options{})
	for _, n := range []int{3, 1, 2} {
		b.spawn(n)
	}
	var got []string
	for p, err := range b.Processes(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
	}
	if want := []string{id(1), id(2), id(3)}; !slices.Equal(got, want) {
		t.Errorf("processes %v", got)
	}
}

func TestProcessOfAnUnknownDeviceIsKept(t *testing.T) {
	b := newBench(t, process.Options{})
	p := b.spawn(1)
	slot := b.assign(p, "add 1").Slot
	b.result(p, slot)
	b.stop()
	r, err := process.Open(ctx, b.store, process.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	if _, err := r.Result(ctx, p, slot); err != nil {
		t.Errorf("a recorded result: %v", err)
	}
	if info, err := r.Inspect(ctx, p); err != nil || info.State != process.StateDormant {
		t.Errorf("inspect: %+v, %v", info, err)
	}
	_, err = r.Assign(ctx, p, process.Message{Data: []byte("add 1")})
	wantCode(t, err, 501, process.CodeUnknownDevice)
	_, err = r.Read(ctx, p, process.Message{Data: []byte("add 1")})
	wantCode(t, err, 501, process.CodeUnknownDevice)
	_, err = r.Checkpoint(ctx, p)
	wantCode(t, err, 501, process.CodeUnknownDevice)
}

func TestPanicInInitIsThisNodesTrouble(t *testing.T) {
	b := newBench(t, process.Options{})
	b.device.setHook(failNth("init", 1, nil))
	wantCode(t, b.Spawn(ctx, definition(1), module), 500, process.CodePanic)
	b.spawn(1)
}

func TestCancelledSpawnLeavesNoProcess(t *testing.T) {
	b := newBench(t, process.Options{})
	c, cancel := context.WithCancel(ctx)
	cancel()
	err := b.Spawn(c, definition(1), module)
	if err == nil || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	b.spawn(1)
}

package process_test

import (
	"testing"

	"aorta/process"
	"aorta/process/processtest"
	"aorta/store"
)

func TestFakeDeviceConforms(t *testing.T) {
	processtest.Run(t, processtest.Config{
		Store:      func(testing.TB) store.Store { return newMemStore() },
		Device:     func(_ testing.TB, st store.Store) process.Device { return newFakeDevice(st) },
		Definition: *definition(1),
		Module:     module,
		Messages: []processtest.Message{
			{Data: []byte("set a 1")}, {Data: []byte("add 4")}, {Data: []byte("fail x"), Fails: true},
			{Data: []byte("get a")}, {Data: []byte("set b a long value that takes more than one page of sixty-four bytes")},
			{Data: []byte("what"), Fails: true}, {Data: []byte("add 3")}, {Data: []byte("get wreck")},
		},
	})
}

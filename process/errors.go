package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"aorta/store"
	"aorta/vm"
)

// Error is the error that callers and clients see: an HTTP status, a readable
// sentence, and details for programs. Every error that a Runtime returns is
// one, or holds one for errors.As; what caused it is there for errors.Is, and
// is never encoded.
type Error struct {
	Status  int     `json:"status"`
	Body    string  `json:"body"`
	Details Details `json:"details"`
	cause   error
}

// Details says where it went wrong.
type Details struct {
	Process string  `json:"process,omitempty"`
	Slot    *uint64 `json:"slot,omitempty"`
	// Phase is what was being done: one of the Phase constants.
	Phase  string `json:"phase,omitempty"`
	Device string `json:"device,omitempty"`
	// Code is one of the Code constants.
	Code string `json:"code"`
	// Retryable says that the same call may succeed later.
	Retryable bool `json:"retryable"`
}

// Phases of a process's life, as errors name them.
const (
	PhaseSpawn      = "spawn"
	PhaseAssign     = "assign"
	PhaseRestore    = "restore"
	PhaseCompute    = "compute"
	PhaseCheckpoint = "checkpoint"
	PhaseRead       = "read"
	PhaseInspect    = "inspect"
	PhaseReplay     = "replay"
	PhaseReadmit    = "readmit"
)

// Codes of errors.
const (
	CodeBadDefinition  = "bad-definition"
	CodeBadMessage     = "bad-message"
	CodeBadModule      = "bad-module"
	CodeBadProcessID   = "bad-process-id"
	CodeBusy           = "busy"
	CodeCanceled       = "canceled"
	CodeClosed         = "closed"
	CodeConflict       = "definition-conflict"
	CodeDiverged       = "diverged"
	CodeFateUnknown    = "fate-unknown"
	CodeNoProcess      = "no-such-process"
	CodeNoSlot         = "no-such-slot"
	CodeNodeTrouble    = "node-trouble"
	CodePanic          = "panic"
	CodeStore          = "store"
	CodeTimestampOrder = "timestamp-order"
	CodeTooLarge       = "too-large"
	CodeUnknownDevice  = "unknown-device"
	CodeWallTime       = "wall-time"
)

// Error is the sentence and what caused it. The Body of an error of the node's
// own leaves the cause out, since it may speak of the host.
func (e *Error) Error() string {
	if e.cause != nil && e.Status >= http.StatusInternalServerError {
		return e.Body + ": " + e.cause.Error()
	}
	return e.Body
}
func (e *Error) Unwrap() error { return e.cause }

// ErrClosed is the cause of errors of a closed runtime.
var ErrClosed = errors.New("the runtime is closed")

// BusyError says that a process has more assigned slots without a result than
// its queue may hold. Nothing was assigned; trying later may succeed.
type BusyError struct {
	Process string
	// Lag is how many slots wait, Depth how many may.
	Lag, Depth uint64
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("process %s is busy: %d of at most %d assigned messages wait for their result", e.Process, e.Lag, e.Depth)
}

// As lets errors.As find the Error in it.
func (e *BusyError) As(target any) bool {
	t, ok := target.(**Error)
	if ok {
		*t = &Error{
			Status:  http.StatusServiceUnavailable,
			Body:    e.Error(),
			Details: Details{Process: e.Process, Phase: PhaseAssign, Code: CodeBusy, Retryable: true},
			cause:   e,
		}
	}
	return ok
}

// PanicError is what a panic in a device or a machine becomes.
type PanicError struct {
	// Call is the method that panicked, Value what it panicked with. Stack is
	// for the node's log only.
	Call  string
	Value string
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("%s panicked: %s", e.Call, e.Value) }

// fault places an error: err is nil or the cause. Contexts, closed runtimes
// and errors that are placed already keep their own status.
func fault(status int, code string, d Details, err error, format string, args ...any) error {
	var placed *Error
	if errors.As(err, &placed) {
		return err
	}
	body := fmt.Sprintf(format, args...)
	d.Code = code
	switch {
	case errors.Is(err, ErrClosed):
		status, d.Code, d.Retryable = http.StatusServiceUnavailable, CodeClosed, true
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		status, d.Code, d.Retryable = http.StatusServiceUnavailable, CodeCanceled, true
	}
	if err != nil && status < http.StatusInternalServerError {
		body += ": " + err.Error()
	}
	return &Error{Status: status, Body: body, Details: d, cause: err}
}

// storeFault places an error of the store.
func storeFault(d Details, err error, format string, args ...any) error {
	d.Retryable = !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrNewerFormat)
	return fault(http.StatusServiceUnavailable, CodeStore, d, err, format, args...)
}

// trouble places an error that a machine or a device returned: this node's
// own, so another attempt, or another node, may succeed.
func trouble(d Details, err error) error {
	var (
		limit *vm.LimitError
		panik *PanicError
	)
	d.Retryable = true
	what := fmt.Sprintf("%s process %s", d.Phase, d.Process)
	if d.Slot != nil {
		what = fmt.Sprintf("%s slot %d of process %s", d.Phase, *d.Slot, d.Process)
	}
	switch {
	case errors.As(err, &limit) && limit.Kind == vm.LimitWall:
		return fault(http.StatusGatewayTimeout, CodeWallTime, d, err, "%s: %s", what, limit)
	case errors.As(err, &panik):
		return fault(http.StatusInternalServerError, CodePanic, d, err, "%s: the device failed on this node", what)
	}
	return fault(http.StatusServiceUnavailable, CodeNodeTrouble, d, err, "%s: this node has trouble", what)
}

func slotPtr(slot uint64) *uint64 { return &slot }

// Wire returns the Error in err, for encoding. An err without one becomes a
// plain 500 whose text stays on the node.
func Wire(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Status: http.StatusInternalServerError, Body: "internal error", Details: Details{Code: CodeNodeTrouble}, cause: err}
}

// Package process is the runtime of processes: a durable log, one worker a live process, residency, checkpoints and results.
package process

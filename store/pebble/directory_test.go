package pebble

import (
	"os"
	"os/exec"
)

const childVariable = "AORTA_TEST_OPEN"

// childsDirectory reports whether this process was started by a test to open
// a directory.
func childsDirectory() (string, bool) { return os.LookupEnv(childVariable) }

func child(dir string) {
	s, err := Open(dir, Options{})
	if err != nil {
		os.Stdout.WriteString(err.Error())
		return
	}
	_ = s.Close()
}

func openInChild(dir string) (string, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	out, err := cmd.Output()
	return string(out), err
}

package process

import (
	"fmt"
	"strconv"
)

const (
	logPrefix        = "process/"
	definitionPrefix = "definition/"
	resultPrefix     = "result/"
	checkpointPrefix = "checkpoint/"
	divergencePrefix = "divergence/"
)

// idLength is what 32 bytes take in base64url without padding.
const idLength = 43

// slotDigits is what the largest uint64 takes in decimal.
const slotDigits = 20

// validID reports whether id names a process. The alphabet leaves no room for
// separators, so an id can't escape its place in a name.
func validID(id string) bool {
	if len(id) != idLength {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

func logName(id string) string        { return logPrefix + id }
func definitionName(id string) string { return definitionPrefix + id }
func divergenceName(id string) string { return divergencePrefix + id }
func resultsOf(id string) string      { return resultPrefix + id + "/" }
func checkpointsOf(id string) string  { return checkpointPrefix + id + "/" }

func resultName(id string, slot uint64) string     { return slotName(resultPrefix, id, slot) }
func checkpointName(id string, next uint64) string { return slotName(checkpointPrefix, id, next) }

// slotName is prefix + id + "/" + slot in 20 digits, in one allocation.
func slotName(prefix, id string, slot uint64) string {
	var room [128]byte
	b := append(room[:0], prefix...)
	b = append(b, id...)
	b = append(b, '/')
	var digits [slotDigits]byte
	d := strconv.AppendUint(digits[:0], slot, 10)
	for range slotDigits - len(d) {
		b = append(b, '0')
	}
	return string(append(b, d...))
}

// slotOf reads the slot at the end of a name under prefix.
func slotOf(name, prefix string) (uint64, error) {
	if len(name) != len(prefix)+slotDigits || name[:len(prefix)] != prefix {
		return 0, fmt.Errorf("the store has an unexpected name %q", name)
	}
	slot, err := strconv.ParseUint(name[len(prefix):], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the store has an unexpected name %q", name)
	}
	return slot, nil
}

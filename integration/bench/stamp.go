package bench

import (
	"bytes"
	"errors"
	"fmt"
)

// stampVariable is the variable that passes the first time on, with its initial value. See
// testdata/stamp.
const (
	stampName     = "BENCH_T="
	stampLength   = 16
	stampVariable = stampName + "................"
)

// parseStamps finds what the workload has printed on the console, and returns the time between its
// two stamps, in ticks of the guest's time stamp counter.
func parseStamps(console []byte) (uint64, error) {
	_, stamps, found := bytes.Cut(console, []byte(stampName))
	if !found {
		return 0, errors.New("the workload has printed no times")
	}
	if len(stamps) < 2*stampLength {
		return 0, fmt.Errorf("times %q are cut short", stamps)
	}
	start, err := parseStamp(stamps[:stampLength])
	if err != nil {
		return 0, err
	}
	finish, err := parseStamp(stamps[stampLength : 2*stampLength])
	if err != nil {
		return 0, err
	}
	if finish < start {
		return 0, fmt.Errorf("the counter went back, from %d to %d", start, finish)
	}
	return finish - start, nil
}

// parseStamp returns the number that is written as sixteen letters from A, which is 0, to P, which
// is 15.
func parseStamp(text []byte) (uint64, error) {
	var n uint64
	for _, c := range text {
		if c < 'A' || c > 'P' {
			return 0, fmt.Errorf("time %q: want letters from A to P", text)
		}
		n = n<<4 | uint64(c-'A')
	}
	return n, nil
}

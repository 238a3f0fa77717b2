package bench

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// stampVariable is the variable that the first time is passed in, with its initial value. See testdata/stamp.
const (
	stampName     = "BENCH_T="
	stampLength   = 16
	stampVariable = stampName + "................"
)

// parseStamps finds what the workload has printed on the console, and returns the time between its two stamps.
func parseStamps(console []byte) (time.Duration, error) {
	_, rest, found := bytes.Cut(console, []byte(stampName))
	if !found {
		return 0, errors.New("the workload has printed no times")
	}
	if len(rest) < 2*stampLength {
		return 0, fmt.Errorf("times %q are cut short", rest)
	}
	start, err := parseStamp(rest[:stampLength])
	if err != nil {
		return 0, err
	}
	finish, err := parseStamp(rest[stampLength : 2*stampLength])
	if err != nil {
		return 0, err
	}
	if finish < start {
		return 0, fmt.Errorf("the clock went back, from %v to %v", start, finish)
	}
	return finish - start, nil
}

// parseStamp returns the time that is written as sixteen characters from A, which is 0, to P, which is 15.
func parseStamp(text []byte) (time.Duration, error) {
	var t uint64
	for _, c := range text {
		if c < 'A' || c > 'P' {
			return 0, fmt.Errorf("time %q has a character that is not one of A to P", text)
		}
		t = t<<4 | uint64(c-'A')
	}
	return time.Duration(t), nil
}

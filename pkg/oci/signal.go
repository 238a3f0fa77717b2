package oci

import (
	"slices"
	"strconv"
	"strings"
)

// The first and the last real-time signal, signal(7). The C library reserves 32 and 33.
const rtMin, rtMax = 34, 64

// signals holds the names of the signals of Linux by number, without SIG, signal(7).
var signals = [...]string{
	1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 5: "TRAP", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL",
	10: "USR1", 11: "SEGV", 12: "USR2", 13: "PIPE", 14: "ALRM", 15: "TERM", 16: "STKFLT",
	17: "CHLD", 18: "CONT", 19: "STOP", 20: "TSTP", 21: "TTIN", 22: "TTOU", 23: "URG", 24: "XCPU",
	25: "XFSZ", 26: "VTALRM", 27: "PROF", 28: "WINCH", 29: "IO", 30: "PWR", 31: "SYS",
}

// ParseSignal returns the number of a signal, given as in StopSignal of the OCI image-spec: by a name
// such as "SIGTERM", "SIGRTMIN+3" or "SIGRTMAX-1", in upper or lower case, with or without SIG, or by
// a number from 1 to 64. It returns false for any other text.
func ParseSignal(s string) (number int, ok bool) {
	if n, err := strconv.Atoi(s); err == nil {
		return n, n >= 1 && n <= rtMax
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if offset, ok := strings.CutPrefix(name, "RTMIN"); ok {
		return realTime(rtMin, "+", offset)
	}
	if offset, ok := strings.CutPrefix(name, "RTMAX"); ok {
		return realTime(rtMax, "-", offset)
	}
	switch name {
	case "IOT":
		name = "ABRT"
	case "CLD":
		name = "CHLD"
	case "POLL":
		name = "IO"
	}
	number = slices.Index(signals[1:], name) + 1
	return number, number > 0
}

// realTime returns the real-time signal from plus offset, a decimal number that begins with sign. An
// empty offset is 0.
func realTime(from int, sign, offset string) (int, bool) {
	if offset == "" {
		return from, true
	}
	if !strings.HasPrefix(offset, sign) {
		return 0, false
	}
	n, err := strconv.Atoi(offset)
	n += from
	return n, err == nil && n >= rtMin && n <= rtMax
}

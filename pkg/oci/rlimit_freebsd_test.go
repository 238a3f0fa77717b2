package oci

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestResourceNumbers(t *testing.T) {
	for name, want := range map[string]int{
		"RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE,
		"RLIMIT_DATA": unix.RLIMIT_DATA, "RLIMIT_STACK": unix.RLIMIT_STACK,
		"RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_RSS": unix.RLIMIT_RSS,
		"RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK, "RLIMIT_NPROC": unix.RLIMIT_NPROC,
		"RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_AS": unix.RLIMIT_AS,
	} {
		if got, ok := ParseResource(name); got != want || !ok {
			t.Errorf("ParseResource(%q) = %d, %v, want %d, true", name, got, ok, want)
		}
	}
	for _, name := range []string{"RLIMIT_LOCKS", "RLIMIT_NICE"} {
		if got, ok := ParseResource(name); ok {
			t.Errorf("ParseResource(%q) = %d, true, want false: only Linux has it", name, got)
		}
	}
}

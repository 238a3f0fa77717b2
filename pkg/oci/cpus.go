package oci

import (
	"strconv"
	"strings"
)

// CPUs is a set of CPUs: bit N%64 of word N/64 stands for CPU N, as sched_setaffinity(2) has it on 64-bit machines.
type CPUs [16]uint64

// ParseCPUs reads a list of CPUs, such as "0-3,7", process.execCPUAffinity of the OCI runtime specification. Blanks around
// an element, and empty ones, are let through, as container runtimes do. It returns false for anything else, and for
// numbers above 1023.
func ParseCPUs(list string) (cpus CPUs, ok bool) {
	for item := range strings.SplitSeq(list, ",") {
		item = strings.Trim(item, " \t")
		if item == "" {
			continue
		}
		low, high, isRange := strings.Cut(item, "-")
		if !isRange {
			high = low
		}
		first, err := strconv.ParseUint(low, 10, 10)
		if err != nil {
			return CPUs{}, false
		}
		last, err := strconv.ParseUint(high, 10, 10)
		if err != nil || last < first {
			return CPUs{}, false
		}
		for n := first; n <= last; n++ {
			cpus[n/64] |= 1 << (n % 64)
		}
	}
	return cpus, true
}

// Has tells whether CPU n, from 0 on, is in the set.
func (c *CPUs) Has(n int) bool { return n < 64*len(c) && c[n/64]>>(n%64)&1 != 0 }

// String renders the set as ParseCPUs reads it.
func (c *CPUs) String() string {
	var b []byte
	for n := 0; n < 64*len(c); n++ {
		if !c.Has(n) {
			continue
		}
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
		first := n
		for c.Has(n + 1) {
			n++
		}
		if n > first {
			b = strconv.AppendInt(append(b, '-'), int64(n), 10)
		}
	}
	return string(b)
}

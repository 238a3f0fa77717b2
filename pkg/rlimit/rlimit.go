// Package rlimit knows the resource limits of Linux, getrlimit(2), and, built
// for FreeBSD, those of FreeBSD: their numbers, their names in the OCI
// runtime-spec, and the notation in which a libkrun host hands them to the guest.
//
// It only reads and prints limits; setting them is up to the caller. It
// formats without package fmt, which the program that runs as PID 1 would pay
// for in every boot.
package rlimit

import (
	"errors"
	"strconv"
	"strings"
)

// Infinity is the value of a limit that is none, RLIM_INFINITY of Linux; for
// FreeBSD it is all above its own RLIM_INFINITY, 1<<63 - 1.
const Infinity uint64 = 1<<64 - 1

// Limit is one resource limit of a process.
type Limit struct {
	Resource int    // number of the resource, RLIMIT_* of the system
	Soft     uint64 // what the kernel enforces, in the unit of the resource
	Hard     uint64 // up to where the process may raise Soft
}

// String renders l as "RLIMIT_NOFILE=1024:4096", with "unlimited" for Infinity.
func (l Limit) String() string {
	return Name(l.Resource) + "=" + format(l.Soft) + ":" + format(l.Hard)
}

func format(value uint64) string {
	if value == Infinity {
		return "unlimited"
	}
	return strconv.FormatUint(value, 10)
}

// Validate reports a resource that the system does not have, or a soft limit above
// the hard one, which the kernel would refuse.
func (l Limit) Validate() error {
	if l.Resource < 0 || l.Resource >= len(names) {
		return errors.New("resource " + strconv.Itoa(l.Resource) +
			" is not one of " + system + ", 0 to " + strconv.Itoa(len(names)-1))
	}
	if l.Soft > l.Hard {
		return errors.New("soft limit " + format(l.Soft) + " is above hard limit " + format(l.Hard))
	}
	return nil
}

// Parse reads the value of the variable KRUN_RLIMITS: limits written ID=SOFT:HARD
// or ID:SOFT:HARD, separated by commas. All three are decimal; ID is the number
// of the resource, and 18446744073709551615 is Infinity.
//
// The host puts the list in double quotes to get it through the kernel command
// line, and what the kernel leaves of them depends on how it did: quotes at
// either end are ignored. So are blanks around a limit, and empty places in the
// list. Where a resource is given twice, the later limit replaces the earlier.
//
// An error names the variable, the place in the list, and what is wrong there.
func Parse(s string) ([]Limit, error) {
	var limits []Limit
	place := 0
	for item := range strings.SplitSeq(strings.Trim(s, "\""+blanks), ",") {
		place++
		item = strings.Trim(item, blanks)
		if item == "" {
			continue
		}
		limit, err := parseItem(item)
		if err != nil {
			return nil, errors.New("KRUN_RLIMITS: item " + strconv.Itoa(place) + " " +
				strconv.Quote(item) + ": " + err.Error())
		}
		limits = set(limits, limit)
	}
	return limits, nil
}

const blanks = " \t\r\n"

func parseItem(item string) (Limit, error) {
	separator := strings.IndexAny(item, "=:")
	if separator < 0 {
		return Limit{}, errors.New("expected ID=SOFT:HARD")
	}
	soft, hard, ok := strings.Cut(item[separator+1:], ":")
	if !ok {
		return Limit{}, errors.New("expected ID=SOFT:HARD")
	}
	var limit Limit
	resource, err := parseNumber("resource", item[:separator])
	if err != nil {
		return Limit{}, err
	}
	limit.Resource = int(min(resource, 1<<63-1)) // int has no more
	if limit.Soft, err = parseNumber("soft limit", soft); err != nil {
		return Limit{}, err
	}
	if limit.Hard, err = parseNumber("hard limit", hard); err != nil {
		return Limit{}, err
	}
	return limit, limit.Validate()
}

func parseNumber(what, digits string) (uint64, error) {
	n, err := strconv.ParseUint(digits, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, errors.New(what + " " + digits + " is above " + strconv.FormatUint(Infinity, 10))
	case err != nil:
		return 0, errors.New(what + " " + strconv.Quote(digits) + " is not a decimal number")
	}
	return n, nil
}

// set adds limit to limits, or puts it in the place of one for its resource.
func set(limits []Limit, limit Limit) []Limit {
	for i := range limits {
		if limits[i].Resource == limit.Resource {
			limits[i] = limit
			return limits
		}
	}
	return append(limits, limit)
}

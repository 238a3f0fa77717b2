package oci

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Unlimited is the value of a soft or hard limit that does not limit, RLIM_INFINITY of Linux. On
// FreeBSD, whose RLIM_INFINITY is 1<<63 - 1, a caller must replace it by that value.
const Unlimited uint64 = 1<<64 - 1

// ParseResource returns the number of a resource, given by its name in the OCI runtime-spec, such as
// RLIMIT_NOFILE. It returns false if the system has no such resource.
func ParseResource(name string) (number int, ok bool) {
	number = slices.Index(resources[:], name)
	return number, number >= 0
}

// ResourceName returns the name of the resource with a number in the OCI runtime-spec, or the number
// in decimal if the system has no such resource.
func ResourceName(number int) string { return nameOf(resources[:], number) }

// FormatRlimit formats l as "RLIMIT_NOFILE=1024:4096", with "unlimited" for Unlimited.
func FormatRlimit(l specs.POSIXRlimit) string {
	return fmt.Sprintf("%s=%s:%s", l.Type, formatLimit(l.Soft), formatLimit(l.Hard))
}

func formatLimit(value uint64) string {
	if value == Unlimited {
		return "unlimited"
	}
	return strconv.FormatUint(value, 10)
}

// ValidateRlimit returns an error if the system does not have the resource of l, or if its soft
// limit is above the hard one, which setrlimit(2) refuses.
func ValidateRlimit(l specs.POSIXRlimit) error {
	if _, ok := ParseResource(l.Type); !ok {
		return fmt.Errorf("%s has no resource %q", system, l.Type)
	}
	if l.Soft > l.Hard {
		return fmt.Errorf("soft limit %s is above hard limit %s",
			formatLimit(l.Soft), formatLimit(l.Hard))
	}
	return nil
}

const blanks = " \t\r\n"

// ParseRlimits parses the value of the variable KRUN_RLIMITS, in which a libkrun host hands
// limits to the guest: ID=SOFT:HARD or ID:SOFT:HARD, separated by commas. All three are decimal;
// ID is the number of the resource, and 18446744073709551615 is Unlimited.
//
// The host quotes the list for the kernel command line, and the kernel may leave either quote in
// place, so double quotes at both ends are ignored. Blanks around a limit and empty items are
// ignored too. If a resource is given twice, the later limit replaces the earlier one.
//
// An error names the variable, the position of the item in the list, and what is wrong with it.
func ParseRlimits(s string) ([]specs.POSIXRlimit, error) {
	var limits []specs.POSIXRlimit
	for i, item := range strings.Split(strings.Trim(s, `"`+blanks), ",") {
		item = strings.Trim(item, blanks)
		if item == "" {
			continue
		}
		limit, err := parseRlimit(item)
		if err != nil {
			return nil, fmt.Errorf("KRUN_RLIMITS: item %d %q: %w", i+1, item, err)
		}
		same := func(l specs.POSIXRlimit) bool { return l.Type == limit.Type }
		if i := slices.IndexFunc(limits, same); i >= 0 {
			limits[i] = limit
		} else {
			limits = append(limits, limit)
		}
	}
	return limits, nil
}

// parseRlimit parses an item of KRUN_RLIMITS.
func parseRlimit(item string) (limit specs.POSIXRlimit, err error) {
	separator := strings.IndexAny(item, "=:")
	soft, hard, ok := strings.Cut(item[separator+1:], ":")
	if separator < 0 || !ok {
		return limit, errors.New("expected ID=SOFT:HARD")
	}
	number, err := parseNumber("resource", item[:separator])
	if err != nil {
		return limit, err
	}
	if limit.Soft, err = parseNumber("soft limit", soft); err != nil {
		return limit, err
	}
	if limit.Hard, err = parseNumber("hard limit", hard); err != nil {
		return limit, err
	}
	if number >= uint64(len(resources)) {
		return limit, fmt.Errorf("resource %d is not one of %s, 0 to %d",
			number, system, len(resources)-1)
	}
	limit.Type = resources[number]
	return limit, ValidateRlimit(limit)
}

// parseNumber parses a decimal number without a sign. name is what it means, for the error.
func parseNumber(name, digits string) (uint64, error) {
	// ParseUint reports an overflow before it reads the rest, which may not be digits.
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, fmt.Errorf("%s %q is not a decimal number", name, digits)
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s %s is above %d", name, digits, Unlimited)
	}
	return n, nil
}

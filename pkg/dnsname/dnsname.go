// Package dnsname checks domain names that come from the network, and parses lists of them.
package dnsname

import (
	"errors"
	"slices"
	"strings"
)

// Limits of RFC 1035 section 2.3.4 in bytes.
const (
	maxLabel   = 63
	maxEncoded = 255
	maxText    = maxEncoded - 2 // without the length of the first label and the root
)

// ErrMalformed is the error that Parse returns.
var ErrMalformed = errors.New("malformed list of domain names")

// Valid reports whether name is a host or domain name that can safely be written to a configuration
// file: at most 253 bytes, in labels of 1 to 63 letters, digits, hyphens and underscores, separated
// by single dots. A label must not start with a hyphen. A final dot is not allowed.
func Valid(name string) bool {
	if len(name) > maxText {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
			if digit := c >= '0' && c <= '9'; !letter && !digit && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// Parse returns the domain names of a list in the encoding of RFC 1035 section 4.1.4, such as a
// search list. It skips names that are not Valid, and the empty names that pad a list.
//
// If compressed is true, names may end in a pointer to an earlier part of b, as RFC 3397 allows for
// DHCP option 119. RFC 8106 and RFC 8415 forbid pointers.
//
// Parse returns ErrMalformed if a label or name is too long, if the last name has no end, or if a
// pointer is not allowed or does not point backwards.
func Parse(b []byte, compressed bool) ([]string, error) {
	var names []string
	for next := 0; next < len(b); {
		labels, after, ok := parseName(b, next, compressed)
		if !ok {
			return nil, ErrMalformed
		}
		next = after
		// Joined, a label that contains a dot would become two labels.
		if slices.ContainsFunc(labels, func(l string) bool { return strings.Contains(l, ".") }) {
			continue
		}
		if name := strings.Join(labels, "."); Valid(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// parseName returns the labels of the name at the offset at in b, and the offset of the next name.
// It terminates even if pointers form a cycle: a cycle contains a label, and the total size is
// limited.
func parseName(b []byte, at int, compressed bool) (labels []string, next int, ok bool) {
	size := 1 // of the name encoded without pointers; 1 for the root
	for at < len(b) {
		length := int(b[at])
		switch {
		case length == 0:
			if next == 0 {
				next = at + 1
			}
			return labels, next, true
		case length <= maxLabel:
			end := at + 1 + length
			size += 1 + length
			if end > len(b) || size > maxEncoded {
				return nil, 0, false
			}
			labels = append(labels, string(b[at+1:end]))
			at = end
		case length >= 0xc0 && compressed && at+1 < len(b):
			to := length&0x3f<<8 | int(b[at+1])
			if to >= at {
				return nil, 0, false
			}
			if next == 0 {
				next = at + 2
			}
			at = to
		default:
			return nil, 0, false
		}
	}
	return nil, 0, false
}

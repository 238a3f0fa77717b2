package guest

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// This file parses passwd(5) and group(5) itself. Package github.com/moby/sys/user reads a
// malformed number as 0, so that a user with a malformed line becomes root, and refuses IDs above
// 1<<31 - 1.

// LookupUser returns the IDs of a user, given the contents of an image's passwd(5) and group(5)
// files; either may be empty. The user is written as User of the OCI image-spec is: USER or
// USER:GROUP. Each of the two is a name or a number; a number need not be in the files.
//
// Without GROUP, the group is that of the user's entry, or 0 if there is no such entry, and the
// additional groups are those that have the user as a member. An empty USER stands for root.
//
// A name that is not in the files is an error, except that root always has the ID 0. So is an ID
// above 4294967294.
func LookupUser(passwd, group []byte, user string) (specs.User, error) {
	name, groupName, _ := strings.Cut(user, ":")
	if name == "" {
		name = "root"
	}
	uid, err := parseID(name)
	if errors.Is(err, errRange) {
		return specs.User{}, fmt.Errorf("user %q: %w", name, err)
	}
	isNumber := err == nil
	u, found := specs.User{UID: uid}, false
	for e := range entries(passwd) {
		gid, err := parseID(e.fields[3])
		if err == nil && (isNumber && e.id == uid || !isNumber && e.fields[0] == name) {
			u.UID, u.GID, name, found = e.id, gid, e.fields[0], true
			break
		}
	}
	if !found && !isNumber && name != "root" {
		return specs.User{}, fmt.Errorf("user %q: not in the image's /etc/passwd", name)
	}
	if groupName != "" {
		u.GID, err = lookupGroup(group, groupName)
		return u, err
	}
	for e := range entries(group) {
		if (found || !isNumber) && slices.Contains(strings.Split(e.fields[3], ","), name) {
			u.AdditionalGids = append(u.AdditionalGids, e.id)
		}
	}
	return u, nil
}

func lookupGroup(group []byte, name string) (uint32, error) {
	gid, err := parseID(name)
	switch {
	case err == nil:
		return gid, nil
	case errors.Is(err, errRange):
		return 0, fmt.Errorf("group %q: %w", name, err)
	}
	for e := range entries(group) {
		if e.fields[0] == name {
			return e.id, nil
		}
	}
	return 0, fmt.Errorf("group %q: not in the image's /etc/group", name)
}

// HomeOf returns the home directory of a user, given the contents of a passwd(5) file, or "" if
// the file has none.
func HomeOf(passwd []byte, uid uint32) string {
	for e := range entries(passwd) {
		if e.id == uid && len(e.fields) >= 7 {
			return e.fields[5]
		}
	}
	return ""
}

// entry is a line of a passwd(5) or group(5) file. It has at least four fields; the third is the
// ID.
type entry struct {
	fields []string
	id     uint32
}

// entries returns the well-formed lines of a passwd(5) or group(5) file.
func entries(text []byte) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		for line := range strings.Lines(string(text)) {
			fields := strings.Split(strings.TrimRight(line, "\r\n"), ":")
			if len(fields) < 4 {
				continue
			}
			if id, err := parseID(fields[2]); err == nil && !yield(entry{fields, id}) {
				return
			}
		}
	}
}

var errRange = errors.New("not an ID from 0 to 4294967294")

// parseID parses the decimal ID of a user or group. The error is errRange for a number that is
// too large; 4294967295 is, because setresuid(2) takes it for "unchanged".
func parseID(s string) (uint32, error) {
	// ParseUint would stop at the digit that overflows, but 4294967296x is a name.
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, errRange
	}
	return uint32(n), nil
}

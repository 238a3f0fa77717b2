package exec

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// LookupUser finds a user in the text of a passwd(5) and a group(5) file, either of which may be empty. The user is written
// as User of the OCI image specification is: USER or USER:GROUP, where each is a name or, if it is a number, an ID that need
// not be in the files. Without a group it is that of the user's entry, or 0; the additional groups are then those that have
// the user as a member. A name that is not there, and an ID above 4294967294, is an error; but root, which is also what no
// name stands for, is 0 even then.
func LookupUser(passwd, group []byte, user string) (User, error) {
	name, groupName, _ := strings.Cut(user, ":")
	if name == "" {
		name = "root"
	}
	uid, isNumber, err := parseID(name)
	if err != nil {
		return User{}, fmt.Errorf("user %q: %w", name, err)
	}
	u := User{UID: uid}
	found := false
	eachEntry(passwd, func(f []string, id uint32) bool {
		gid, ok, _ := parseID(f[3])
		if found = ok && (isNumber && id == uid || !isNumber && f[0] == name); found {
			u.UID, u.GID, name = id, gid, f[0]
		}
		return !found
	})
	switch {
	case found:
	case isNumber:
		name = "" // a member of no group
	case name != "root":
		return User{}, fmt.Errorf("user %q: %w", name, errors.New("not in the image's /etc/passwd"))
	}
	if groupName != "" {
		u.GID, err = lookupGroup(group, groupName)
		return u, err
	}
	eachEntry(group, func(f []string, gid uint32) bool {
		if name != "" && slices.Contains(strings.Split(f[3], ","), name) {
			u.AdditionalGIDs = append(u.AdditionalGIDs, gid)
		}
		return true
	})
	return u, nil
}

func lookupGroup(group []byte, name string) (gid uint32, err error) {
	gid, isNumber, err := parseID(name)
	if !isNumber && err == nil {
		err = errors.New("not in the image's /etc/group")
		eachEntry(group, func(f []string, id uint32) bool {
			if f[0] == name {
				gid, err = id, nil
			}
			return err != nil
		})
	}
	if err != nil {
		return gid, fmt.Errorf("group %q: %w", name, err)
	}
	return gid, nil
}

// eachEntry calls visit for each entry of a passwd(5) or group(5) file, with its fields and its ID, until that returns false.
// Lines with less than four fields, or without a good ID, are none.
func eachEntry(text []byte, visit func(fields []string, id uint32) bool) {
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(f) < 4 {
			continue
		}
		if id, ok, _ := parseID(f[2]); ok && !visit(f, id) {
			return
		}
	}
}

// parseID reads the number of a user or group. What is no number is not ok, and only a number that is too large is an error.
// The largest one of 32 bits is nobody's: to setresuid(2) and its like it means "as it is".
func parseID(s string) (id uint32, ok bool, err error) {
	n, err := strconv.ParseUint(s, 10, 32)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return 0, false, nil
	case err != nil || n == 1<<32-1:
		return 0, false, errors.New("not an ID from 0 to 4294967294")
	}
	return uint32(n), true, nil
}

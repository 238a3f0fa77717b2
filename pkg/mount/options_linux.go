package mount

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// propagationTypes are the flags for propagation, of which a mount has exactly one.
const propagationTypes = unix.MS_SHARED | unix.MS_SLAVE | unix.MS_PRIVATE | unix.MS_UNBINDABLE

// flags are the options that mount(2) takes as bits, by their names in mount(8) and in the OCI
// runtime specification. An option with clear set clears the bit. Names of several bits come before
// names of one of these bits, as flagNames needs it.
var flags = [...]struct {
	name  string
	bit   uintptr
	clear bool
}{
	{"ro", unix.MS_RDONLY, false},
	{"rw", unix.MS_RDONLY, true},
	{"nosuid", unix.MS_NOSUID, false},
	{"suid", unix.MS_NOSUID, true},
	{"nodev", unix.MS_NODEV, false},
	{"dev", unix.MS_NODEV, true},
	{"noexec", unix.MS_NOEXEC, false},
	{"exec", unix.MS_NOEXEC, true},
	{"nosymfollow", unix.MS_NOSYMFOLLOW, false},
	{"symfollow", unix.MS_NOSYMFOLLOW, true},
	{"sync", unix.MS_SYNCHRONOUS, false},
	{"async", unix.MS_SYNCHRONOUS, true},
	{"dirsync", unix.MS_DIRSYNC, false},
	{"noatime", unix.MS_NOATIME, false},
	{"atime", unix.MS_NOATIME, true},
	{"nodiratime", unix.MS_NODIRATIME, false},
	{"diratime", unix.MS_NODIRATIME, true},
	{"relatime", unix.MS_RELATIME, false},
	{"norelatime", unix.MS_RELATIME, true},
	{"strictatime", unix.MS_STRICTATIME, false},
	{"nostrictatime", unix.MS_STRICTATIME, true},
	{"lazytime", unix.MS_LAZYTIME, false},
	{"nolazytime", unix.MS_LAZYTIME, true},
	{"iversion", unix.MS_I_VERSION, false},
	{"noiversion", unix.MS_I_VERSION, true},
	{"mand", unix.MS_MANDLOCK, false},
	{"nomand", unix.MS_MANDLOCK, true},
	{"silent", unix.MS_SILENT, false},
	{"loud", unix.MS_SILENT, true},
	{"remount", unix.MS_REMOUNT, false},
	{"rbind", unix.MS_BIND | unix.MS_REC, false},
	{"bind", unix.MS_BIND, false},
	{"rshared", unix.MS_SHARED | unix.MS_REC, false},
	{"shared", unix.MS_SHARED, false},
	{"rslave", unix.MS_SLAVE | unix.MS_REC, false},
	{"slave", unix.MS_SLAVE, false},
	{"rprivate", unix.MS_PRIVATE | unix.MS_REC, false},
	{"private", unix.MS_PRIVATE, false},
	{"runbindable", unix.MS_UNBINDABLE | unix.MS_REC, false},
	{"unbindable", unix.MS_UNBINDABLE, false},
}

// options are mount options, sorted by how they take effect.
type options struct {
	flags   uintptr // MS_* for mount(2), without propagation
	cleared uintptr // MS_* flags that an option clears and no later option sets
	data    string  // for the file system
	copyUp  bool    // tmpcopyup
	// after holds the propagation and the recursive attributes, which are set after the mount.
	after       Attrs
	unsupported []string
}

// parse sorts a list of options. set holds the initial flags. Later options override earlier ones.
func parse(set uintptr, list []string) options {
	o := options{flags: set}
	var data []string
	for _, name := range list {
		switch {
		case o.setFlag(name), forUserSpace(name):
		case name == "tmpcopyup":
			o.copyUp = true
		case name == "idmap", name == "ridmap":
			o.unsupported = append(o.unsupported, name)
		default:
			data = append(data, name)
		}
	}
	o.data = strings.Join(data, ",")
	return o
}

// setFlag applies an option that is listed in flags, or is the recursive form of a listed
// attribute, whose name has the prefix r. It returns false for any other option.
func (o *options) setFlag(name string) bool {
	rest, recursive := strings.CutPrefix(name, "r")
	for _, f := range flags {
		set, cleared := &o.flags, &o.cleared
		switch {
		case f.name == name:
		case recursive && f.name == rest && f.bit&attributes != 0:
			set, cleared = &o.after.RecSet, &o.after.RecClear
		default:
			continue
		}
		switch {
		case f.bit&propagationTypes != 0:
			o.after.Propagation = f.bit
		case f.clear:
			*set &^= f.bit
			*cleared |= f.bit
		default:
			*set |= f.bit
			*cleared &^= f.bit
		}
		return true
	}
	return false
}

// forUserSpace reports whether an option of fstab(5) is for mount(8) and other programs that read
// that file, never for the kernel.
func forUserSpace(name string) bool {
	switch name {
	case "", "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "nogroup",
		"_netdev", "nofail":
		return true
	}
	return strings.HasPrefix(name, "x-") || strings.HasPrefix(name, "X-") ||
		strings.HasPrefix(name, "comment=")
}

// ParseOptions splits mount options, as in fstab(5) or an OCI configuration, into the flags of
// mount(2) and the data for the file system. set holds the initial flags. Later options override
// earlier ones. Options that need other system calls (propagation, recursive attributes) are
// dropped.
func ParseOptions(set uintptr, list []string) (uintptr, string) {
	o := parse(set, list)
	return o.flags, o.data
}

// flagNames returns the names of flags to set and flags to clear: the inverse of parse.
func flagNames(set, cleared uintptr) []string {
	var names []string
	for _, f := range flags {
		from := &set
		if f.clear {
			from = &cleared
		}
		if *from&f.bit == f.bit {
			names = append(names, f.name)
			*from &^= f.bit
		}
	}
	return names
}

// optionText returns flags, data and additional options as a comma-separated list.
func optionText(set uintptr, data string, after ...string) string {
	names := flagNames(set, 0)
	if data != "" {
		names = append(names, data)
	}
	return strings.Join(slices.Concat(names, after), ",")
}

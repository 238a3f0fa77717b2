package mount

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// propagationTypes are the flags for propagation, of which a mount has exactly one.
const propagationTypes = unix.MS_SHARED | unix.MS_SLAVE | unix.MS_PRIVATE | unix.MS_UNBINDABLE

// flags are the options that mount(2) takes as bits, by their names in mount(8) and in the OCI
// runtime specification, and the options that clear these bits. Options of several bits come before
// options of one of these bits, as flagNames needs it.
var flags = [...]struct {
	name, inverse string
	bits          uintptr
}{
	{"ro", "rw", unix.MS_RDONLY},
	{"nosuid", "suid", unix.MS_NOSUID},
	{"nodev", "dev", unix.MS_NODEV},
	{"noexec", "exec", unix.MS_NOEXEC},
	{"nosymfollow", "symfollow", unix.MS_NOSYMFOLLOW},
	{"sync", "async", unix.MS_SYNCHRONOUS},
	{"dirsync", "", unix.MS_DIRSYNC},
	{"noatime", "atime", unix.MS_NOATIME},
	{"nodiratime", "diratime", unix.MS_NODIRATIME},
	{"relatime", "norelatime", unix.MS_RELATIME},
	{"strictatime", "nostrictatime", unix.MS_STRICTATIME},
	{"lazytime", "nolazytime", unix.MS_LAZYTIME},
	{"iversion", "noiversion", unix.MS_I_VERSION},
	{"mand", "nomand", unix.MS_MANDLOCK},
	{"silent", "loud", unix.MS_SILENT},
	{"remount", "", unix.MS_REMOUNT},
	{"rbind", "", unix.MS_BIND | unix.MS_REC},
	{"bind", "", unix.MS_BIND},
	{"rshared", "", unix.MS_SHARED | unix.MS_REC},
	{"shared", "", unix.MS_SHARED},
	{"rslave", "", unix.MS_SLAVE | unix.MS_REC},
	{"slave", "", unix.MS_SLAVE},
	{"rprivate", "", unix.MS_PRIVATE | unix.MS_REC},
	{"private", "", unix.MS_PRIVATE},
	{"runbindable", "", unix.MS_UNBINDABLE | unix.MS_REC},
	{"unbindable", "", unix.MS_UNBINDABLE},
}

// options are mount options, sorted by how they take effect.
type options struct {
	flags   uintptr // MS_* for mount(2), without propagation
	cleared uintptr // MS_* flags that an option clears and no later option sets
	data    string  // for the file system
	copyUp  Copy    // tmpcopyup
	noFail  bool    // nofail
	// after holds the propagation and the recursive attributes, which are set after the mount.
	after       Attrs
	unsupported []string
}

// parse sorts a list of options. Later options override earlier ones.
func parse(list []string) options {
	var o options
	var data []string
	for _, name := range list {
		o.noFail = o.noFail || name == "nofail"
		switch {
		case o.setFlag(name), forUserSpace(name):
		case name == "tmpcopyup":
			o.copyUp = CopyAll
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
	if name == "" {
		return false
	}
	rest, recursive := strings.CutPrefix(name, "r")
	for _, f := range flags {
		option, set, cleared := name, &o.flags, &o.cleared
		if recursive && f.bits&attributes != 0 && (rest == f.name || rest == f.inverse) {
			option, set, cleared = rest, &o.after.RecSet, &o.after.RecClear
		}
		switch {
		case option != f.name && option != f.inverse:
			continue
		case f.bits&propagationTypes != 0:
			o.after.Propagation = f.bits
		case option == f.inverse:
			*set &^= f.bits
			*cleared |= f.bits
		default:
			*set |= f.bits
			*cleared &^= f.bits
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

// ParseOptions splits mount options, comma-separated as in fstab(5), into the flags of mount(2) and
// the data for the file system. Later options override earlier ones. Options that need other system
// calls (propagation, recursive attributes) are dropped.
func ParseOptions(list string) (flags uintptr, data string) {
	o := parse(strings.Split(list, ","))
	return o.flags, o.data
}

// flagNames returns the names of flags to set and flags to clear: the inverse of parse.
func flagNames(set, cleared uintptr) []string {
	var names []string
	for _, f := range flags {
		if set&f.bits == f.bits {
			names = append(names, f.name)
			set &^= f.bits
		}
		if cleared&f.bits == f.bits && f.inverse != "" {
			names = append(names, f.inverse)
			cleared &^= f.bits
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

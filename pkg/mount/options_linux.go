package mount

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// propagationTypes are the flags of which a mount has one.
const propagationTypes = unix.MS_SHARED | unix.MS_SLAVE | unix.MS_PRIVATE | unix.MS_UNBINDABLE

// flags are the options that mount(2) takes as bits, by their names in mount(8) and in the OCI runtime specification. An
// option with clear set takes the bit away. Names of more bits stand before those of fewer.
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

// options are the mount options of an entry, sorted by who is told them.
type options struct {
	flags   uintptr // MS_*, for mount(2); no propagation
	cleared uintptr // MS_*, of options that take one away and had the last word
	data    string  // for the file system
	copyUp  bool
	// after are those that calls of their own set once the mount is there; per-mount ones not included.
	after Attrs
	// unsupported are those that can't be had.
	unsupported []string
}

// parse sorts options. set are flags to start from; later options win over earlier ones.
func parse(set uintptr, list []string) options {
	o := options{flags: set}
	var data []string
	for _, name := range list {
		switch {
		case o.flag(name), forUserSpace(name):
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

// flag takes an option that is one of flags, or one of the attributes among them for all mounts below: the same with an r.
func (o *options) flag(name string) bool {
	rest, forAll := strings.CutPrefix(name, "r")
	for _, f := range flags {
		set, cleared := &o.flags, &o.cleared
		switch {
		case f.name == name:
		case forAll && f.name == rest && f.bit&attributes != 0:
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

// forUserSpace tells options of fstab(5) that are for mount(8) and others who read that file, never for the kernel.
func forUserSpace(name string) bool {
	switch name {
	case "", "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "nogroup", "_netdev", "nofail":
		return true
	}
	return strings.HasPrefix(name, "x-") || strings.HasPrefix(name, "X-") || strings.HasPrefix(name, "comment=")
}

// ParseOptions splits mount options as people write them, in fstab(5) or in an OCI configuration, into the flags of
// mount(2) and the data for the file system. set are flags to start from; later options win over earlier ones. Options
// that need calls of their own (propagation, attributes of all mounts below) are in neither.
func ParseOptions(set uintptr, list []string) (uintptr, string) {
	o := parse(set, list)
	return o.flags, o.data
}

// flagNames is the inverse of parse for flags that are set and flags that are taken away, to print them.
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

// optionText is the inverse of parse, on one line.
func optionText(set uintptr, data string, after ...string) string {
	names := flagNames(set, 0)
	if data != "" {
		names = append(names, data)
	}
	return strings.Join(slices.Concat(names, after), ",")
}

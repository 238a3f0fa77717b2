package mount

import (
	"strings"

	"golang.org/x/sys/unix"
)

// flags are the options that mount(2) takes as bits, by their names in fstab(5) and in OCI configurations. An option
// with clear set takes the bit away. Names of more bits stand before those of fewer.
var flags = []struct {
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
	{"silent", unix.MS_SILENT, false},
	{"loud", unix.MS_SILENT, true},
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

// ParseOptions splits mount options as people write them, in fstab(5) or in an OCI configuration, into the flags of
// mount(2) and the data for the file system. set are flags to start from; later options win over earlier ones.
func ParseOptions(set uintptr, options []string) (uintptr, string) {
	var data []string
next:
	for _, o := range options {
		if o == "" || o == "defaults" {
			continue
		}
		for _, f := range flags {
			if f.name == o {
				if f.clear {
					set &^= f.bit
				} else {
					set |= f.bit
				}
				continue next
			}
		}
		data = append(data, o)
	}
	return set, strings.Join(data, ",")
}

// flagNames is the inverse of ParseOptions for flags, to print them.
func flagNames(set uintptr) []string {
	var names []string
	for _, f := range flags {
		if !f.clear && set&f.bit == f.bit {
			names = append(names, f.name)
			set &^= f.bit
		}
	}
	return names
}

// optionText is the inverse of ParseOptions, on one line.
func optionText(set uintptr, data string) string {
	options := flagNames(set)
	if data != "" {
		options = append(options, data)
	}
	return strings.Join(options, ",")
}

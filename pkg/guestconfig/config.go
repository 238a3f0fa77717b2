// Package guestconfig reads the configuration file that a libkrun host puts into
// the guest: JSON, and either the config.json of an OCI runtime bundle or an
// object that holds the same in few fields, in the spelling of the OCI
// runtime-spec or of container images.
//
// The package has a JSON reader of its own, for two reasons. Arguments and
// variables have to arrive byte for byte, but encoding/json replaces what is not
// UTF-8. And encoding/json needs reflection, for which the program that runs as
// PID 1 would pay in every boot, before its first line.
package guestconfig

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/krunbox/krunbox/pkg/rlimit"
)

// MaxSize is the size, in bytes, up to which Parse accepts a file. It leaves room
// for the 2 MiB of arguments and variables that Linux accepts under the default
// stack limit, execve(2), and for escaping many of them.
const MaxSize = 8 << 20

// Config is what a configuration file asks for. The zero value of a field says
// that the file has nothing about it; an empty list or string counts as nothing.
// No string has a NUL in it.
type Config struct {
	// Args are the program to run and its arguments: the entry point of the
	// image, if any, followed by the command.
	Args []string
	// Env are variables, NAME=VALUE, in the order of the file. Names may repeat;
	// entries with no "=" or no name are left out.
	Env []string
	// Cwd is the working directory.
	Cwd string
	// Hostname is the host name, Domainname the NIS domain name.
	Hostname, Domainname string
	// User is the identity to run the program with, nil if the file has none.
	User *User
	// Username is a user whose numbers are to be looked up in the image: NAME, UID,
	// NAME:GROUP and so on, User of the OCI image-spec. It counts more than the uid
	// and gid of User.
	Username string
	// Rlimits are resource limits, at most one for each resource.
	Rlimits []rlimit.Limit
	// Capabilities are the sets to run the program with, nil if the file has none,
	// and without those that no kernel would grant.
	Capabilities *oci.Capabilities
	// NoNewPrivileges asks for no_new_privs, prctl(2).
	NoNewPrivileges bool
	// OOMScoreAdj is the value of oom_score_adj, -1000 to 1000, proc(5).
	OOMScoreAdj *int
	// Scheduler, IOPriority and CPUs say when and where the program runs; nil, and
	// no CPU, if the file has nothing about it.
	Scheduler  *oci.Scheduler
	IOPriority *oci.IOPriority
	CPUs       oci.CPUs
	// Terminal says that the program is used from a terminal.
	Terminal bool
	// ConsoleSize is the size of the terminal, if there is one.
	ConsoleSize Size
	// StopSignal is the number of the signal that asks the program to end.
	StopSignal int
	// Mounts are file systems to mount, in the order of the file.
	Mounts []Mount
	// Sysctls are kernel parameters, in the order of the file.
	Sysctls []Sysctl
	// Devices are device files, in the order of the file.
	Devices []Device
	// RootReadonly asks for a root file system that can't be written to.
	RootReadonly bool
	// RootfsPropagation is how mounts below the root propagate: shared, slave,
	// private or unbindable, or one of them with an r in front, which means the
	// same for all mounts that are there already; mount_namespaces(7).
	RootfsPropagation string
	// MaskedPaths are files and directories whose contents nobody shall see.
	MaskedPaths []string
	// ReadonlyPaths are files and directories that nobody shall write to.
	ReadonlyPaths []string
	// MountNamespace says that the file was written for a container with a mount
	// namespace of its own: a runtime on the host's side has made the mounts there.
	MountNamespace bool
	// Unsupported are the paths of fields, such as "linux.seccomp", that the file
	// has, that ask for something, and that are not in this struct; and what else
	// it asks for that can't be given, such as capabilities that nobody knows, with
	// the path of the field. Fields that are for the host, or that nobody has heard
	// of, are not among them.
	Unsupported []string
}

// User is the OCI runtime-spec's process.user of POSIX platforms.
type User struct {
	UID, GID       uint32
	AdditionalGIDs []uint32
	Umask          *uint32 // nil: as it is
}

// Size is the size of a terminal, in characters. Zero is unknown.
type Size struct{ Height, Width uint16 }

// Mount is an entry of the OCI runtime-spec's mounts.
type Mount struct {
	Destination string
	Type        string
	Source      string
	Options     []string // of mount(8), one each
}

// Sysctl is an entry of the OCI runtime-spec's linux.sysctl, sysctl(8).
type Sysctl struct{ Name, Value string }

// Device is an entry of the OCI runtime-spec's linux.devices.
type Device struct {
	Path         string
	Type         byte    // 'c' and 'u' for a character device, 'b' for a block device, 'p' for a FIFO
	Major, Minor uint32  // up to 4095 and 1048575
	FileMode     *uint32 // permission bits
	UID, GID     *uint32 // owner
}

// Parse reads a configuration file. These are its fields:
//
//	args, Cmd               command: list of strings
//	Entrypoint              entry point: list of strings
//	env, Env                variables: list of strings NAME=VALUE
//	cwd, Cwd, WorkingDir    working directory
//	User                    user and group
//	StopSignal              signal
//	process                 object; all of the above may be in it too
//	process.user            uid, gid, additionalGids, umask, username
//	process.rlimits         list of type, soft, hard
//	process.capabilities    bounding, effective, inheritable, permitted, ambient
//	process.scheduler       policy, nice, priority, flags, runtime, deadline, period
//	process.ioPriority      class, priority
//	process.execCPUAffinity initial, final; only the latter has an effect
//	process.consoleSize     height, width; with process.terminal only
//	process                 noNewPrivileges, oomScoreAdj, terminal
//	mounts                  list of destination, type, source, options
//	hostname, Hostname      host name
//	domainname              NIS domain name
//	root                    readonly
//	linux                   maskedPaths, readonlyPaths, rootfsPropagation
//	linux.namespaces        list of type
//	linux.sysctl            values by name
//	linux.devices           list of path, type, major, minor, fileMode, uid, gid
//
// Names are case-sensitive. Where two fields with the same meaning are there,
// what is in process wins, then the spelling that is listed first. A field that
// is null is as good as not there. A field given twice has the last of its
// values; an object given twice has the fields of both. Numbers are integers in
// plain decimal notation, not 1.0 or 1e3.
//
// The file has to be JSON as in RFC 8259, where bytes in strings that are not
// UTF-8 are let through, may start with a byte order mark, nests at most 128
// deep, and has no more than MaxSize bytes. A field of the wrong type is an
// error, as is a resource limit that is unknown, given twice, or soft above hard,
// and an unknown word where the OCI runtime-spec gives a choice of words. It does
// not want a container to fail for capabilities: what is unknown, and what no
// process can have beside the other sets, is left out and named as unsupported.
// So is a StopSignal that is none.
//
// process.user.username is for a host that does not know the image: it has a
// meaning where uid is 0 or not there, and it is not root's.
//
// Errors name line, column (in characters, from 1) and field, but not the file.
//
// The strings of the Config are parts of data, which must not change afterwards.
func Parse(data []byte) (Config, error) {
	if len(data) > MaxSize {
		return Config{}, errors.New("larger than " + strconv.Itoa(MaxSize) + " bytes")
	}
	p := parser{reader: reader{data: data}}
	if err := p.document(p.topLevel); err != nil {
		return Config{}, err
	}
	return p.config(), nil
}

// config decides between fields with the same meaning.
func (p *parser) config() Config {
	inner, outer := &p.process, &p.flat
	command := firstList(inner.args, inner.cmd, outer.args, outer.cmd)
	entrypoint := firstList(inner.entrypoint, outer.entrypoint)
	c := p.Config
	c.Args = slices.Concat(entrypoint, command)
	c.Env = variables(firstList(inner.env, inner.imageEnv, outer.env, outer.imageEnv))
	c.Cwd = firstString(inner.cwd, inner.imageCwd, inner.workingDir, outer.cwd, outer.imageCwd, outer.workingDir)
	c.Hostname = firstString(p.hostname, p.imageHostname)
	if c.User == nil {
		c.Username = firstString(inner.user, outer.user)
	} else if name, _, _ := strings.Cut(p.username, ":"); c.User.UID == 0 && name != "root" && name != "0" {
		c.Username = p.username
	}
	c.StopSignal = p.stopSignal(firstString(inner.stopSignal, outer.stopSignal))
	if !c.Terminal {
		c.ConsoleSize = Size{}
	}
	if c.Capabilities != nil {
		var refused oci.CapabilitySet
		if *c.Capabilities, refused = c.Capabilities.Grantable(); refused != 0 {
			p.unknown("process.capabilities", strings.Join(refused.Names(), " "))
		}
	}
	c.Unsupported = append(p.unsupportedFields(), p.Unsupported...)
	return c
}

// variables leaves out of list what is not NAME=VALUE.
func variables(list []string) []string {
	return slices.DeleteFunc(list, func(entry string) bool {
		return strings.IndexByte(entry, '=') <= 0
	})
}

func firstList(lists ...[]string) []string {
	for _, list := range lists {
		if len(list) > 0 {
			return list
		}
	}
	return nil
}

func firstString(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

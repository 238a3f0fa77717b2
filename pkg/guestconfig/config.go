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
	// Hostname is the host name.
	Hostname string
	// User is the identity to run the program with, nil if the file has none.
	User *User
	// Rlimits are resource limits, at most one for each resource.
	Rlimits []rlimit.Limit
	// Mounts are file systems to mount, in the order of the file.
	Mounts []Mount
	// Unsupported are the paths of fields, such as "linux.seccomp", that the file
	// has, that ask for something, and that are not in this struct. Fields that
	// are for the host, or that nobody has heard of, are not among them.
	Unsupported []string
}

// User is the OCI runtime-spec's process.user of POSIX platforms.
type User struct {
	UID, GID       uint32
	AdditionalGIDs []uint32
	Umask          *uint32 // nil: as it is
}

// Mount is an entry of the OCI runtime-spec's mounts.
type Mount struct {
	Destination string
	Type        string
	Source      string
	Options     []string // of mount(8), one each
}

// Parse reads a configuration file. These are its fields:
//
//	args, Cmd               command: list of strings
//	Entrypoint              entry point: list of strings
//	env, Env                variables: list of strings NAME=VALUE
//	cwd, Cwd, WorkingDir    working directory
//	process                 object; all of the above may be in it too
//	process.user            uid, gid, additionalGids, umask
//	process.rlimits         list of type, soft, hard
//	mounts                  list of destination, type, source, options
//	hostname, Hostname      host name
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
// error, as is a resource limit that is unknown, given twice, or soft above hard.
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
	return Config{
		Args:     slices.Concat(entrypoint, command),
		Env:      variables(firstList(inner.env, inner.imageEnv, outer.env, outer.imageEnv)),
		Cwd:      firstString(inner.cwd, inner.imageCwd, inner.workingDir, outer.cwd, outer.imageCwd, outer.workingDir),
		Hostname: firstString(p.hostname, p.imageHostname),
		User:     p.user,
		Rlimits:  p.rlimits,
		Mounts:   p.mounts,

		Unsupported: p.unsupportedFields(),
	}
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

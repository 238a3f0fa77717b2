// Package guestconfig parses the configuration file that a libkrun host puts into the guest. The
// file is JSON: the config.json of an OCI runtime bundle, or an object with the same contents in
// few fields, in the spelling of the OCI runtime-spec or of the OCI image-spec.
package guestconfig

import (
	"bytes"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// MaxSize is the maximum size of a file in bytes. It leaves room for the 2 MiB of arguments and
// variables that Linux accepts under the default stack limit, execve(2), with many of them escaped.
const MaxSize = 8 << 20

// Config is what a configuration file asks for. Parse has checked its words and numbers, and no
// string contains a NUL byte. The zero value of a field means that the file does not set it; an
// empty list or string counts as not set.
type Config struct {
	// Process describes the program to run.
	//
	// Args is the entry point of the image, if any, followed by the command. Env has entries
	// NAME=VALUE in the order of the file, and names may repeat. Capabilities has known names only,
	// without those that the kernel would refuse; see oci.Capabilities.Grantable. Rlimits has at
	// most one limit for each resource. ConsoleSize is nil unless Terminal is set. Of
	// ExecCPUAffinity only Final applies, if not empty: Initial is for a runtime that moves the
	// process into a cgroup. User applies if HasUser is set; its Username is always empty.
	Process specs.Process
	// HasUser tells whether the file has process.user.
	HasUser bool
	// User is a user to look up in the image, as in User of the OCI image-spec: NAME, UID,
	// NAME:GROUP and so on. It takes precedence over UID and GID of Process.User.
	User string
	// StopSignal is the number of the signal that asks the program to end, on Linux; 0 if not set.
	StopSignal int
	// Hostname is the host name, and Domainname the NIS domain name.
	Hostname, Domainname string
	// Mounts are file systems to mount, in the order of the file.
	Mounts []specs.Mount
	// RootReadonly asks for a read-only root file system.
	RootReadonly bool
	// Linux has Sysctl, Devices, Namespaces, RootfsPropagation, MaskedPaths and ReadonlyPaths only.
	// If Namespaces has a mount namespace, a runtime on the host has made the mounts. A PID namespace
	// without a path is for the program. FileMode of a device has the bits of chmod(2).
	Linux specs.Linux
	// Unsupported names what the file asks for but does not get: fields, such as "linux.seccomp",
	// and values after the name of their field, such as unknown capabilities. Fields that are for
	// the host and unknown fields are not reported, nor is, beside a mount namespace, what a
	// container engine enforces itself: seccomp, SELinux and AppArmor.
	Unsupported []string
}

// Parse parses a configuration file. These are its fields:
//
//	args, Cmd               command: list of strings
//	Entrypoint              entry point: list of strings
//	env, Env                variables: list of strings NAME=VALUE
//	cwd, Cwd, WorkingDir    working directory
//	User                    user and group
//	StopSignal              signal
//	process                 object; all of the above may be in it too
//	config, Config          object of an image; may have the above that begin with a capital
//	process.user            uid, gid, additionalGids, umask, username
//	process.rlimits         list of type, soft, hard
//	process.capabilities    bounding, effective, inheritable, permitted, ambient
//	process.scheduler       policy, nice, priority, flags, runtime, deadline, period
//	process.ioPriority      class, priority
//	process.execCPUAffinity initial, final
//	process.consoleSize     height, width
//	process                 noNewPrivileges, oomScoreAdj, terminal
//	mounts                  list of destination, type, source, options
//	hostname, Hostname      host name
//	domainname              NIS domain name
//	root                    readonly
//	linux                   maskedPaths, readonlyPaths, rootfsPropagation
//	linux.namespaces        list of type, path
//	linux.sysctl            values by name
//	linux.devices           list of path, type, major, minor, fileMode, uid, gid
//
// Names are case-sensitive. If a file has several fields with the same meaning, those in process
// take precedence, then the spelling that is listed first. A field that is null counts as absent.
// If a field is given twice, the last value counts; two objects are merged. Numbers are integers in
// decimal notation, not 1.0 or 1e3. Entries of env without a name or "=" are left out.
//
// The file must be JSON as in RFC 8259, may start with a byte order mark, and may have bytes in
// strings that are not UTF-8, which pass unchanged. It nests at most 128 deep, has at most 262,144
// list elements, and at most MaxSize bytes.
//
// Parse returns an error for a field of the wrong type, for a resource limit that is unknown, given
// twice, or soft above hard, and for an unknown word where the OCI runtime-spec gives a choice. The
// spec does not let a container fail for its capabilities: Parse leaves out those that are unknown
// or that no process can have beside the other sets, and reports them as unsupported. It does the
// same with an unknown StopSignal.
//
// process.user.username is for a host that does not know the image: it has an effect if uid is 0 or
// absent and the name is not root.
//
// Errors have line, column (in characters, from 1) and field, but not the name of the file.
func Parse(data []byte) (Config, error) {
	if len(data) > MaxSize {
		return Config{}, fmt.Errorf("larger than %d bytes", MaxSize)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var doc document
	unsupported, err := read(data, &doc)
	if err == nil {
		err = doc.validate()
	}
	if err != nil {
		return Config{}, withPosition(data, err)
	}
	return doc.config(unsupported), nil
}

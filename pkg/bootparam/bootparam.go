// Package bootparam reads what the host told init on its way through the kernel:
// arguments, environment, and the kernel command line they came from.
//
// A libkrun host writes `KEY=VALUE... -- ARG...` on the kernel command line. The
// kernel makes the arguments and the environment of its first process from that,
// and removes the double quotes that kept blanks together. A quote that is still
// in a value here is part of it; only the value of KRUN_RLIMITS may have kept
// some that are not, and the package that parses it knows.
package bootparam

import "strings"

// Variables that the host sets for init. Every name that starts with Prefix is
// meant for init, and is kept from the workload.
const (
	// Prefix starts the name of each of the variables below but EnvHostname.
	Prefix = "KRUN_"

	// EnvInit is the workload's program, a path or a name to look up in PATH.
	// Its arguments are those of init.
	EnvInit = "KRUN_INIT"
	// EnvWorkdir is the workload's working directory.
	EnvWorkdir = "KRUN_WORKDIR"
	// EnvConfig is the path of the configuration file.
	EnvConfig = "KRUN_CONFIG"
	// EnvRlimits lists resource limits, in the notation of rlimit.Parse.
	EnvRlimits = "KRUN_RLIMITS"
	// EnvHome and EnvTerm are what HOME and TERM of the workload are to be.
	EnvHome = "KRUN_HOME"
	EnvTerm = "KRUN_TERM"
	// EnvHostname is the host name. Unlike the others, the workload sees it.
	EnvHostname = "HOSTNAME"
	// EnvDHCP asks for the configuration of eth0 by DHCP where it is "1".
	EnvDHCP = "KRUN_DHCP"
	// EnvInitPID1 asks, where it begins with "1", to execute the workload as
	// process 1, in the place of init.
	EnvInitPID1 = "KRUN_INIT_PID1"
	// EnvBlockRootDevice, EnvBlockRootFSType and EnvBlockRootOptions describe
	// the block device to take as root, see BlockRoot.
	EnvBlockRootDevice  = "KRUN_BLOCK_ROOT_DEVICE"
	EnvBlockRootFSType  = "KRUN_BLOCK_ROOT_FSTYPE"
	EnvBlockRootOptions = "KRUN_BLOCK_ROOT_OPTIONS"
)

// Params is what the host handed to init. A variable that is empty counts as not
// set; both are the zero value here.
type Params struct {
	Init      string    // EnvInit
	Workdir   string    // EnvWorkdir
	Config    string    // EnvConfig
	Rlimits   string    // EnvRlimits, still to be parsed
	Home      string    // EnvHome
	Term      string    // EnvTerm
	Hostname  string    // EnvHostname
	DHCP      string    // EnvDHCP
	InitPID1  bool      // EnvInitPID1 begins with "1"
	BlockRoot BlockRoot // EnvBlockRoot*

	// Args are the arguments of init without its name, argv[1:].
	Args []string
	// Environ is the environment without the variables meant for init: entries
	// NAME=VALUE, one for a name. Where the kernel had several, the last one
	// counts, in the place of the first. What has no name or no "=" is left out.
	Environ []string
	// Unsupported are the names of variables that begin with Prefix, are not
	// empty, and mean nothing to this package; in the order given.
	Unsupported []string
}

// BlockRoot describes a block device to be mounted as root, mount(8). There is
// one to mount if Device is set.
type BlockRoot struct {
	Device  string // its path, such as /dev/vda
	FSType  string // type of its file system; empty: to be found by trying
	Options string // mount options, comma-separated
}

// Parse sorts the arguments and the environment of init. Both may be empty; argv
// may lack even argv[0].
func Parse(argv, environ []string) Params {
	var p Params
	if len(argv) > 1 {
		p.Args = argv[1:]
	}
	for _, entry := range environ {
		name, value, ok := strings.Cut(entry, "=")
		if !ok || name == "" {
			continue
		}
		if name == EnvHostname {
			p.Hostname = value
		}
		if strings.HasPrefix(name, Prefix) {
			p.set(name, value)
		} else {
			p.Environ = setenv(p.Environ, name, entry)
		}
	}
	return p
}

// set takes the value of a variable that begins with Prefix.
func (p *Params) set(name, value string) {
	switch name {
	case EnvInit:
		p.Init = value
	case EnvWorkdir:
		p.Workdir = value
	case EnvConfig:
		p.Config = value
	case EnvRlimits:
		p.Rlimits = value
	case EnvHome:
		p.Home = value
	case EnvTerm:
		p.Term = value
	case EnvDHCP:
		p.DHCP = value
	case EnvInitPID1:
		p.InitPID1 = strings.HasPrefix(value, "1")
	case EnvBlockRootDevice:
		p.BlockRoot.Device = value
	case EnvBlockRootFSType:
		p.BlockRoot.FSType = value
	case EnvBlockRootOptions:
		p.BlockRoot.Options = value
	default:
		if value != "" {
			p.Unsupported = append(p.Unsupported, name)
		}
	}
}

// setenv adds entry, the variable called name, to environ, or puts it in the
// place of the one that has this name. The kernel stops at 32 entries: a search
// from the front is fast enough.
func setenv(environ []string, name, entry string) []string {
	for i, old := range environ {
		if oldName, _, _ := strings.Cut(old, "="); oldName == name {
			environ[i] = entry
			return environ
		}
	}
	return append(environ, entry)
}

// Package bootparam reads what the host told init on its way through the kernel:
// arguments, environment, and the kernel command line they came from.
//
// A libkrun host writes `KEY=VALUE... -- ARG...` on the kernel command line. The
// kernel makes the arguments and the environment of its first process from that,
// and removes the double quotes that kept blanks together. A quote that is still
// in a value here is part of it; only the value of KRUN_RLIMITS may have kept
// some that are not, and the package that parses it knows.
package bootparam

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

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
	// EnvDHCP asks for the configuration of interfaces by DHCP: "1" of eth0, "all" of all that are Ethernet, else of those
	// it names, comma-separated. "0" asks for nothing.
	EnvDHCP = "KRUN_DHCP"
	// EnvDHCPTimeout is how long the workload waits for a lease, in milliseconds; see Params.DHCPTimeout.
	EnvDHCPTimeout = "KRUN_DHCP_TIMEOUT_MS"
	// EnvTimesync says how the clock follows the host's: empty or "1", it is stepped where it is far off; "slew", smaller
	// differences are corrected too, gradually; "0", not at all.
	EnvTimesync = "KRUN_TIMESYNC"
	// EnvInitPID1 asks, where it begins with "1", to execute the workload as
	// process 1, in the place of init.
	EnvInitPID1 = "KRUN_INIT_PID1"
	// EnvBlockRootDevice, EnvBlockRootFSType and EnvBlockRootOptions describe
	// the block device to take as root, see BlockRoot.
	EnvBlockRootDevice  = "KRUN_BLOCK_ROOT_DEVICE"
	EnvBlockRootFSType  = "KRUN_BLOCK_ROOT_FSTYPE"
	EnvBlockRootOptions = "KRUN_BLOCK_ROOT_OPTIONS"
	// EnvBlockRootTimeout is how long the device may take to appear, in milliseconds; see BlockRoot.Timeout.
	EnvBlockRootTimeout = "KRUN_BLOCK_ROOT_TIMEOUT_MS"
	// EnvRootOverlay asks for a root whose changes go elsewhere, see Params.RootOverlay.
	EnvRootOverlay = "KRUN_ROOT_OVERLAY"
	// EnvRunTmpfs is "0" where /run is to stay as the image has it.
	EnvRunTmpfs = "KRUN_RUN_TMPFS"
	// EnvSignalGroup asks, by "1", to send signals to the workload's process group.
	EnvSignalGroup = "KRUN_SIGNAL_GROUP"
	// EnvStopTimeout is how long a workload may take that was asked to end, in seconds; see Params.StopTimeout.
	EnvStopTimeout = "KRUN_STOP_TIMEOUT"
	// EnvDebug asks, by "1", for a line on each stage of the boot.
	EnvDebug = "KRUN_DEBUG"
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
	DHCP      []string  // EnvDHCP: names of interfaces; AllInterfaces alone for all
	InitPID1  bool      // EnvInitPID1 begins with "1"
	BlockRoot BlockRoot // EnvBlockRoot*

	// RootOverlay is what takes the changes to the root, so that the root itself stays as it is: "tmpfs", or a block device,
	// named as BlockRoot.Device is. Empty: the root takes them.
	RootOverlay string
	// NoRunTmpfs is EnvRunTmpfs, "0".
	NoRunTmpfs bool
	// SignalGroup is EnvSignalGroup, "1".
	SignalGroup bool
	// StopTimeout is EnvStopTimeout, up to MaxStopTimeout; DefaultStopTimeout where it is not given or no such number.
	StopTimeout time.Duration
	// Debug is EnvDebug, "1".
	Debug bool

	// DHCPTimeout is EnvDHCPTimeout, up to MaxDHCPTimeout; DefaultDHCPTimeout where it is not given or no such number.
	DHCPTimeout time.Duration
	// Malformed are the variables, NAME=VALUE, whose value is not what it should be; in the order given.
	Malformed []string

	// NoTimesync and Slew are EnvTimesync, "0" and "slew".
	NoTimesync, Slew bool

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

// AllInterfaces stands for all Ethernet interfaces.
const AllInterfaces = "all"

// How long a workload waits for a lease.
const (
	DefaultDHCPTimeout = 500 * time.Millisecond
	MaxDHCPTimeout     = 10 * time.Minute
)

// How long a workload may take to end.
const (
	DefaultStopTimeout = 10 * time.Second
	MaxStopTimeout     = 24 * time.Hour
)

// How long a block root may take to appear.
const (
	DefaultBlockRootTimeout = 5 * time.Second
	MaxBlockRootTimeout     = 10 * time.Minute
)

// BlockRoot describes a block device to be mounted as root, mount(8). There is
// one to mount if Device is set.
type BlockRoot struct {
	Device  string // its path, such as /dev/vda, or UUID=, LABEL=, PARTUUID=, PARTLABEL= and a value, as in fstab(5)
	FSType  string // type of its file system; empty: to be found
	Options string // mount options, comma-separated
	// Timeout is EnvBlockRootTimeout, up to MaxBlockRootTimeout; DefaultBlockRootTimeout where it is not given or no such
	// number.
	Timeout time.Duration
}

// Parse sorts the arguments and the environment of init. Both may be empty; argv
// may lack even argv[0].
func Parse(argv, environ []string) Params {
	p := Params{
		DHCPTimeout: DefaultDHCPTimeout,
		BlockRoot:   BlockRoot{Timeout: DefaultBlockRootTimeout},
		StopTimeout: DefaultStopTimeout,
	}
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
		p.DHCP = interfaces(value)
	case EnvDHCPTimeout:
		p.time(&p.DHCPTimeout, time.Millisecond, MaxDHCPTimeout, name, value)
	case EnvTimesync:
		p.NoTimesync, p.Slew = value == "0", value == "slew"
		p.check(p.NoTimesync || p.Slew || value == "" || value == "1", name, value)
	case EnvInitPID1:
		p.InitPID1 = strings.HasPrefix(value, "1")
	case EnvBlockRootDevice:
		p.BlockRoot.Device = value
	case EnvBlockRootFSType:
		p.BlockRoot.FSType = value
	case EnvBlockRootOptions:
		p.BlockRoot.Options = value
	case EnvBlockRootTimeout:
		p.time(&p.BlockRoot.Timeout, time.Millisecond, MaxBlockRootTimeout, name, value)
	case EnvRootOverlay:
		p.RootOverlay = value
	case EnvRunTmpfs:
		p.NoRunTmpfs = value == "0"
		p.check(p.NoRunTmpfs || value == "" || value == "1", name, value)
	case EnvSignalGroup:
		p.SignalGroup = value == "1"
		p.check(p.SignalGroup || value == "" || value == "0", name, value)
	case EnvStopTimeout:
		p.time(&p.StopTimeout, time.Second, MaxStopTimeout, name, value)
	case EnvDebug:
		p.Debug = value == "1"
		p.check(p.Debug || value == "" || value == "0", name, value)
	default:
		if value != "" {
			p.Unsupported = append(p.Unsupported, name)
		}
	}
}

// time takes a number of units up to limit; what is none leaves to as it is.
func (p *Params) time(to *time.Duration, unit, limit time.Duration, name, value string) {
	n, err := strconv.ParseUint(value, 10, 32)
	d := time.Duration(n) * unit
	ok := err == nil && d <= limit
	if ok {
		*to = d
	}
	p.check(ok || value == "", name, value)
}

// check notes a variable whose value is not one it can have.
func (p *Params) check(ok bool, name, value string) {
	if !ok {
		p.Malformed = append(p.Malformed, name+"="+value)
	}
}

// interfaces returns the names of interfaces in the value of EnvDHCP.
func interfaces(value string) (names []string) {
	switch value {
	case "", "0":
		return nil
	case "1":
		return []string{"eth0"}
	}
	for name := range strings.SplitSeq(value, ",") {
		if name = strings.TrimSpace(name); name == AllInterfaces {
			return []string{AllInterfaces}
		}
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
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

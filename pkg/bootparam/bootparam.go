// Package bootparam reads what the host tells init by way of the kernel: arguments, environment,
// and the kernel command line they come from.
//
// A libkrun host writes "KEY=VALUE... -- ARG..." on the kernel command line. The kernel makes the
// arguments and the environment of its first process from that, and removes the double quotes
// around blanks. A quote that is left in a value is part of the value, except in KRUN_RLIMITS:
// oci.ParseRlimits, which parses that, ignores quotes.
package bootparam

import (
	"strings"
	"time"
)

// Params is what the host handed to init. A variable that is empty counts as not set. Table says
// what each variable means.
type Params struct {
	Init     string   // KRUN_INIT
	Workdir  string   // KRUN_WORKDIR
	Config   string   // KRUN_CONFIG
	Rlimits  string   // KRUN_RLIMITS, in the notation of oci.ParseRlimits
	Home     string   // KRUN_HOME
	Term     string   // KRUN_TERM
	Hostname string   // HOSTNAME
	DHCP     []string // KRUN_DHCP: names of interfaces, or AllInterfaces alone
	InitPID1 bool     // KRUN_INIT_PID1

	// PIDNamespace is KRUN_PID_NAMESPACE; nil leaves the decision to the configuration.
	PIDNamespace *bool

	DHCPTimeout time.Duration // KRUN_DHCP_TIMEOUT_MS: 0 to MaxDHCPTimeout
	Timesync    Timesync      // KRUN_TIMESYNC
	BlockRoot   BlockRoot     // KRUN_BLOCK_ROOT_*
	RootOverlay string        // KRUN_ROOT_OVERLAY: "tmpfs", or a device named as BlockRoot.Device is
	RunTmpfs    RunTmpfs      // KRUN_RUN_TMPFS
	StopTimeout time.Duration // KRUN_STOP_TIMEOUT: 0 to MaxStopTimeout
	SignalGroup bool          // KRUN_SIGNAL_GROUP
	Debug       bool          // KRUN_DEBUG

	MachineDefaults bool // KRUN_MACHINE_DEFAULTS

	// Args are the arguments of init without its name, argv[1:].
	Args []string
	// Environ is the environment without the variables meant for init: entries NAME=VALUE, one for
	// each name. Where the kernel had several, the last one counts, in the place of the first.
	// Entries without a name or "=" are left out.
	Environ []string
	// Unsupported are the names of variables that begin with Prefix, are not empty, and are not in
	// Table; in the order given.
	Unsupported []string
	// Malformed are the variables, NAME=VALUE, whose value is invalid; in the order given. The field
	// then has its default.
	Malformed []string
}

// Prefix starts the names of the variables meant for init. The workload does not get them.
const Prefix = "KRUN_"

// EnvHostname is the variable with the host name. Unlike those with Prefix, the workload gets it.
const EnvHostname = "HOSTNAME"

// AllInterfaces stands for all Ethernet interfaces in Params.DHCP.
const AllInterfaces = "all"

// Defaults and limits of timeouts.
const (
	DefaultDHCPTimeout      = 500 * time.Millisecond
	MaxDHCPTimeout          = 10 * time.Minute
	DefaultStopTimeout      = 10 * time.Second
	MaxStopTimeout          = 24 * time.Hour
	DefaultBlockRootTimeout = 5 * time.Second
	MaxBlockRootTimeout     = 10 * time.Minute
)

// Timesync is how the guest's clock follows the host's.
type Timesync uint8

const (
	// TimesyncStep steps the clock where it is far off.
	TimesyncStep Timesync = iota
	// TimesyncSlew also corrects smaller differences, gradually.
	TimesyncSlew
	// TimesyncOff leaves the clock alone.
	TimesyncOff
)

// RunTmpfs says when a tmpfs is mounted on /run.
type RunTmpfs uint8

const (
	// RunTmpfsIfNeeded mounts one where the image's directory is missing, empty or not writable.
	RunTmpfsIfNeeded RunTmpfs = iota
	// RunTmpfsAlways mounts one, which gets the image's directories and links.
	RunTmpfsAlways
	// RunTmpfsNever leaves the image's directory as it is.
	RunTmpfsNever
)

// BlockRoot describes a block device to be mounted as root, mount(8). There is one to mount if
// Device is set.
type BlockRoot struct {
	// Device is a path, such as /dev/vda, or UUID=, LABEL=, PARTUUID= or PARTLABEL= and a value, as
	// in fstab(5).
	Device  string
	FSType  string        // type of its file system; empty: the type found on it
	Options string        // mount options, comma-separated
	Timeout time.Duration // how long to wait for the device: 0 to MaxBlockRootTimeout
	Grow    bool          // grow the file system to the size of the device
}

// Parse returns the parameters in the arguments and the environment of init. Both may be empty; argv
// may lack even argv[0].
func Parse(argv, environ []string) Params {
	p := Params{
		DHCPTimeout: DefaultDHCPTimeout,
		BlockRoot:   BlockRoot{Timeout: DefaultBlockRootTimeout},
		StopTimeout: DefaultStopTimeout,

		MachineDefaults: true,
	}
	if len(argv) > 1 {
		p.Args = argv[1:]
	}
	for _, entry := range environ {
		name, value, ok := strings.Cut(entry, "=")
		if !ok || name == "" {
			continue
		}
		row := find(name)
		switch {
		case row != nil && !row.parse(&p, value) && value != "":
			p.Malformed = append(p.Malformed, entry)
		case row == nil && value != "" && strings.HasPrefix(name, Prefix):
			p.Unsupported = append(p.Unsupported, name)
		}
		if !strings.HasPrefix(name, Prefix) {
			p.Environ = setenv(p.Environ, name, entry)
		}
	}
	return p
}

// setenv appends entry, the variable called name, to environ, or replaces the entry of that name.
// The kernel passes at most 32 entries: a linear search is fast enough.
func setenv(environ []string, name, entry string) []string {
	for i, old := range environ {
		if oldName, _, _ := strings.Cut(old, "="); oldName == name {
			environ[i] = entry
			return environ
		}
	}
	return append(environ, entry)
}

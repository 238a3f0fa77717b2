package bootparam

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Parameter is a variable that a host sets for init: a row of Table.
type Parameter struct {
	Name string
	Doc  string // what the variable means, a sentence or two
	// FreeBSD says that init for FreeBSD takes the variable, from the kernel environment.
	FreeBSD bool

	// parse stores a value, and reports whether it is valid. An invalid one changes nothing.
	parse func(p *Params, value string) bool
	// format is the inverse of parse. It returns "" for the default.
	format func(p *Params) string
}

// Format returns the value of the variable that Parse reads as the field of p, "" for the default.
func (r Parameter) Format(p Params) string { return r.format(&p) }

// Table returns all variables for init. Parse, its inverse in package guestinit, the kernel
// environment of FreeBSD, the table in README, and the help of init are made from it.
func Table() []Parameter { return slices.Clone(table) }

var table = []Parameter{
	text("KRUN_INIT", onFreeBSD, func(p *Params) *string { return &p.Init },
		"program of the workload: a path, or a name to look up in PATH; its arguments are init's"),
	text("KRUN_WORKDIR", onFreeBSD, func(p *Params) *string { return &p.Workdir },
		"working directory; created if it is missing"),
	text("KRUN_CONFIG", onFreeBSD, func(p *Params) *string { return &p.Config },
		"configuration file; default /.krun_config.json, which may be missing"),
	text("KRUN_RLIMITS", onFreeBSD, func(p *Params) *string { return &p.Rlimits },
		"resource limits ID=SOFT:HARD,... by the numbers of RLIMIT_*; "+
			"the default for open files is 65536:1048576"),
	text("KRUN_HOME", onFreeBSD, func(p *Params) *string { return &p.Home },
		"HOME of the workload; default: looked up in /etc/passwd"),
	text("KRUN_TERM", onFreeBSD, func(p *Params) *string { return &p.Term },
		"TERM of the workload"),
	text(EnvHostname, onFreeBSD, func(p *Params) *string { return &p.Hostname },
		"host name, unless the configuration has one; default localhost"),
	{"KRUN_DHCP", "interfaces to configure by DHCP and router advertisements: 1 for eth0, " +
		"a list (eth0,eth1), or all for every Ethernet interface; default none",
		notOnFreeBSD, parseDHCP, formatDHCP},
	timeout("KRUN_DHCP_TIMEOUT_MS", time.Millisecond, DefaultDHCPTimeout, MaxDHCPTimeout,
		func(p *Params) *time.Duration { return &p.DHCPTimeout },
		"how long the workload waits for a lease, in milliseconds, default 500, and up to as long "+
			"again for a server that has offered one; a later lease is applied while it runs"),
	{"KRUN_TIMESYNC", "slew: also correct the clock, gradually, where it is off by less than " +
		"100 ms; 0: never set it; default: step it where it is off by more",
		notOnFreeBSD, parseTimesync, formatTimesync},
	{"KRUN_INIT_PID1", "1: the workload becomes PID 1; nobody is left then to report its exit " +
		"code or to unmount disks",
		onFreeBSD, parseInitPID1, func(p *Params) string { return onlyIf(p.InitPID1, "1") }},
	{"KRUN_PID_NAMESPACE", "1: the workload is PID 1 of a PID namespace of its own, as in a " +
		"container; 0: never; default: if the configuration's linux.namespaces has one without a path",
		notOnFreeBSD, parsePIDNamespace, formatPIDNamespace},
	text("KRUN_BLOCK_ROOT_DEVICE", notOnFreeBSD,
		func(p *Params) *string { return &p.BlockRoot.Device },
		"block device to take as root: /dev/vda, or UUID=, LABEL=, PARTUUID=, PARTLABEL= as in fstab"),
	text("KRUN_BLOCK_ROOT_FSTYPE", notOnFreeBSD,
		func(p *Params) *string { return &p.BlockRoot.FSType },
		"type of its file system; default: the type found on it"),
	text("KRUN_BLOCK_ROOT_OPTIONS", notOnFreeBSD,
		func(p *Params) *string { return &p.BlockRoot.Options },
		"its mount options, as in fstab"),
	timeout("KRUN_BLOCK_ROOT_TIMEOUT_MS", time.Millisecond, DefaultBlockRootTimeout,
		MaxBlockRootTimeout, func(p *Params) *time.Duration { return &p.BlockRoot.Timeout },
		"how long to wait for a device, of the root or of a configured mount, that is not there yet, "+
			"in milliseconds, default 5000"),
	choice("KRUN_BLOCK_ROOT_GROW", "0", "1", func(p *Params) *bool { return &p.BlockRoot.Grow },
		"1: grow its file system (ext4, xfs, btrfs) to the size of the device, unless there is an "+
			"overlay; so does x-systemd.growfs in its options"),
	text("KRUN_ROOT_OVERLAY", notOnFreeBSD, func(p *Params) *string { return &p.RootOverlay },
		"where changes to the root go, so that it stays as it is: tmpfs, or a device named as above"),
	{"KRUN_RUN_TMPFS", "1: a tmpfs on /run, with the image's directories and links; 0: never; " +
		"default: only where the image's /run is missing, empty or not writable",
		notOnFreeBSD, parseRunTmpfs, formatRunTmpfs},
	choice("KRUN_MACHINE_DEFAULTS", "1", "0", func(p *Params) *bool { return &p.MachineDefaults },
		"0: leave permissions in /dev, kernel parameters, limits and the owner of the cgroup as the "+
			"kernel has them; default: as a distribution sets them"),
	timeout("KRUN_STOP_TIMEOUT", time.Second, DefaultStopTimeout, MaxStopTimeout,
		func(p *Params) *time.Duration { return &p.StopTimeout },
		"how long a workload that was asked to stop may take, in seconds, default 10; then it is killed"),
	choice("KRUN_SIGNAL_GROUP", "0", "1", func(p *Params) *bool { return &p.SignalGroup },
		"1: signals go to the workload's process group"),
	choice("KRUN_DEBUG", "0", "1", func(p *Params) *bool { return &p.Debug },
		"1: print each stage of the boot with its time and outcome; the same is in "+
			"/dev/.boot.json"),
}

const onFreeBSD, notOnFreeBSD = true, false

// find returns the row of a variable, nil if there is none.
func find(name string) *Parameter {
	for i := range table {
		if table[i].Name == name {
			return &table[i]
		}
	}
	return nil
}

// text returns a row whose value is any string.
func text(name string, freeBSD bool, field func(*Params) *string, doc string) Parameter {
	return Parameter{name, doc, freeBSD,
		func(p *Params, value string) bool { *field(p) = value; return true },
		func(p *Params) string { return *field(p) }}
}

// timeout returns a row whose value is a number of units from 0 to limit.
func timeout(name string, unit, standard, limit time.Duration,
	field func(*Params) *time.Duration, doc string,
) Parameter {
	return Parameter{name, doc, notOnFreeBSD,
		func(p *Params, value string) bool {
			n, err := strconv.ParseUint(value, 10, 32)
			if d := time.Duration(n) * unit; err == nil && d <= limit {
				*field(p) = d
				return true
			}
			return false
		},
		func(p *Params) string {
			return onlyIf(*field(p) != standard, fmt.Sprint(int64(*field(p)/unit)))
		}}
}

// choice returns a row whose value is 0 or 1, with one of them as the default.
func choice(name, standard, other string, field func(*Params) *bool, doc string) Parameter {
	return Parameter{name, doc, notOnFreeBSD,
		func(p *Params, value string) bool {
			if value == "" {
				value = standard
			}
			if value != "0" && value != "1" {
				return false
			}
			*field(p) = value == "1"
			return true
		},
		func(p *Params) string { return onlyIf(*field(p) == (other == "1"), other) }}
}

// onlyIf returns value if the condition holds, else "".
func onlyIf(condition bool, value string) string {
	if condition {
		return value
	}
	return ""
}

func parseTimesync(p *Params, value string) bool {
	mode, ok := map[string]Timesync{
		"": TimesyncStep, "1": TimesyncStep, "slew": TimesyncSlew, "0": TimesyncOff,
	}[value]
	if ok {
		p.Timesync = mode
	}
	return ok
}

func formatTimesync(p *Params) string {
	return map[Timesync]string{TimesyncSlew: "slew", TimesyncOff: "0"}[p.Timesync]
}

func parseRunTmpfs(p *Params, value string) bool {
	mode, ok := map[string]RunTmpfs{
		"": RunTmpfsIfNeeded, "1": RunTmpfsAlways, "0": RunTmpfsNever,
	}[value]
	if ok {
		p.RunTmpfs = mode
	}
	return ok
}

func formatRunTmpfs(p *Params) string {
	return map[RunTmpfs]string{RunTmpfsAlways: "1", RunTmpfsNever: "0"}[p.RunTmpfs]
}

func parseInitPID1(p *Params, value string) bool {
	p.InitPID1 = strings.HasPrefix(value, "1")
	return true
}

func parsePIDNamespace(p *Params, value string) bool {
	switch value {
	case "":
		p.PIDNamespace = nil
	case "0", "1":
		p.PIDNamespace = new(value == "1")
	default:
		return false
	}
	return true
}

func formatPIDNamespace(p *Params) string {
	switch {
	case p.PIDNamespace == nil:
		return ""
	case *p.PIDNamespace:
		return "1"
	}
	return "0"
}

// parseDHCP stores the names of interfaces.
func parseDHCP(p *Params, value string) bool {
	p.DHCP = nil
	switch value {
	case "", "0":
		return true
	case "1":
		p.DHCP = []string{"eth0"}
		return true
	}
	for name := range strings.SplitSeq(value, ",") {
		if name = strings.TrimSpace(name); name == AllInterfaces {
			p.DHCP = []string{AllInterfaces}
			return true
		}
		if name != "" && !slices.Contains(p.DHCP, name) {
			p.DHCP = append(p.DHCP, name)
		}
	}
	return true
}

func formatDHCP(p *Params) string {
	value := strings.Join(p.DHCP, ",")
	switch value {
	case "eth0":
		return "1" // the only value that libkrun's own inits know
	case "0", "1":
		return value + "," // the name of an interface
	}
	return value
}

// Markdown returns the table for README.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| variable | meaning |\n|---|---|\n")
	for _, row := range table {
		fmt.Fprintf(&b, "| `%s` | %s |\n", row.Name, row.Doc)
	}
	return b.String()
}

// Help returns the table as plain text of at most 100 columns, for the help of init.
func Help() string {
	const indent, width = 30, 100
	var b strings.Builder
	for _, row := range table {
		column := indent
		fmt.Fprintf(&b, "  %-*s", indent-2, row.Name)
		for word := range strings.FieldsSeq(row.Doc) {
			if column+1+len(word) > width {
				b.WriteString("\n" + strings.Repeat(" ", indent))
				column = indent
			} else if column > indent {
				b.WriteString(" ")
				column++
			}
			b.WriteString(word)
			column += len(word)
		}
		b.WriteString("\n")
	}
	return b.String()
}

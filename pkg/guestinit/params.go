package guestinit

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/rlimit"
)

// Limits of the guest's kernel, Linux on x86-64 and arm64 with CONFIG_INIT_ENV_ARG_LIMIT=32. It cuts a longer command line,
// and panics on more variables or arguments.
const (
	MaxCmdline   = 2047 // bytes
	MaxVariables = 31   // besides HOME and TERM, which the kernel has anyway
	MaxArgs      = 32   // before the first that is "--"; what follows it does not count
)

// NewParams returns the parameters of a host that asks for nothing. A bootparam.Params{} does: its timeouts are zero.
func NewParams() bootparam.Params { return bootparam.Parse(nil, nil) }

// Environ returns the environment for init, entries NAME=VALUE, that bootparam.Parse reads as p: the variables for init that
// differ from their defaults, then p.Environ. p.Args are the arguments to go with it. HOSTNAME is added to p.Environ where
// p.Hostname is set and there is none.
func Environ(p bootparam.Params) ([]string, error) {
	isHostname := func(entry string) bool { return strings.HasPrefix(entry, bootparam.EnvHostname+"=") }
	if p.Hostname != "" && !slices.ContainsFunc(p.Environ, isHostname) {
		p.Environ = append(slices.Clip(p.Environ), bootparam.EnvHostname+"="+p.Hostname)
	}
	var environ []string
	set := func(name, value string) {
		if value != "" {
			environ = append(environ, name+"="+value)
		}
	}
	flag := func(name string, is bool, value string) {
		if is {
			set(name, value)
		}
	}
	timeout := func(name string, d, standard, unit time.Duration) {
		if d != standard {
			set(name, strconv.FormatInt(int64(d/unit), 10))
		}
	}
	set(bootparam.EnvInit, p.Init)
	set(bootparam.EnvWorkdir, p.Workdir)
	set(bootparam.EnvConfig, p.Config)
	set(bootparam.EnvRlimits, p.Rlimits)
	set(bootparam.EnvHome, p.Home)
	set(bootparam.EnvTerm, p.Term)
	set(bootparam.EnvDHCP, interfaces(p.DHCP))
	timeout(bootparam.EnvDHCPTimeout, p.DHCPTimeout, bootparam.DefaultDHCPTimeout, time.Millisecond)
	flag(bootparam.EnvTimesync, p.NoTimesync, "0")
	flag(bootparam.EnvTimesync, p.Slew, "slew")
	flag(bootparam.EnvInitPID1, p.InitPID1, "1")
	set(bootparam.EnvBlockRootDevice, p.BlockRoot.Device)
	set(bootparam.EnvBlockRootFSType, p.BlockRoot.FSType)
	set(bootparam.EnvBlockRootOptions, p.BlockRoot.Options)
	timeout(bootparam.EnvBlockRootTimeout, p.BlockRoot.Timeout, bootparam.DefaultBlockRootTimeout, time.Millisecond)
	set(bootparam.EnvRootOverlay, p.RootOverlay)
	flag(bootparam.EnvRunTmpfs, p.NoRunTmpfs, "0")
	flag(bootparam.EnvSignalGroup, p.SignalGroup, "1")
	timeout(bootparam.EnvStopTimeout, p.StopTimeout, bootparam.DefaultStopTimeout, time.Second)
	flag(bootparam.EnvDebug, p.Debug, "1")
	environ = append(environ, p.Environ...)

	for _, s := range slices.Concat(environ, p.Args) {
		if strings.Contains(s, "\x00") {
			return nil, fmt.Errorf("guestinit: parameter %q: NUL byte", s)
		}
	}
	if err := same("", p, bootparam.Parse(append([]string{InitPath}, p.Args...), environ)); err != nil {
		return nil, fmt.Errorf("guestinit: parameter %w", err)
	}
	return environ, nil
}

// interfaces is the value of KRUN_DHCP for a list of names.
func interfaces(names []string) string {
	value := strings.Join(names, ",")
	switch value {
	case "eth0":
		return "1" // the one value that every libkrun init knows
	case "0", "1":
		return value + "," // a name, not an answer
	}
	return value
}

// FormatRlimits returns the value of KRUN_RLIMITS, Params.Rlimits, that rlimit.Parse reads as limits. It is an error if a
// resource is unknown or limited twice, or soft is above hard.
func FormatRlimits(limits []rlimit.Limit) (string, error) {
	var items []string
	for _, l := range limits {
		items = append(items, fmt.Sprintf("%d=%d:%d", l.Resource, l.Soft, l.Hard))
	}
	value := strings.Join(items, ",")
	got, err := rlimit.Parse(value)
	if err == nil {
		err = same("limits", limits, got)
	}
	if err != nil {
		return "", fmt.Errorf("guestinit: %w", err)
	}
	return value, nil
}

// KernelCmdline returns a Linux command line that starts init with p: the host's own parameters, such as "reboot=k panic=-1
// quiet tsi_hijack", followed by init=/init.krun, the variables of Environ and, after "--", p.Args.
//
// The kernel has no way to write a double quote, and takes a name with a dot for the parameter of a module; both are errors,
// as is what is beyond MaxCmdline, MaxVariables and MaxArgs. Words of host that the kernel does not know it makes variables of
// too; they are not counted. And it keeps variables that it knows, such as root or debug, for itself: a workload's variables,
// like arguments with quotes, are better put into a configuration, where they can be anything.
func KernelCmdline(host string, p bootparam.Params) (string, error) {
	line, err := kernelCmdline(host, p)
	if err != nil {
		return "", fmt.Errorf("guestinit: kernel command line: %w", err)
	}
	return line, nil
}

func kernelCmdline(host string, p bootparam.Params) (string, error) {
	environ, err := Environ(p)
	if err != nil {
		return "", err
	}
	// What follows the host's parameters has to be read as parameters.
	open := slices.Equal(bootparam.Tokens(host+" x"), append(bootparam.Tokens(host), "x"))
	if !open || strings.Contains(host, "\x00") {
		return "", fmt.Errorf("parameters %q end within quotes, or have -- or a NUL byte in them", host)
	}
	words := []string{host, "init=" + InitPath}
	if host == "" {
		words = words[1:]
	}
	variables := 0
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if err := checkName(name); err != nil {
			return "", fmt.Errorf("variable %q: %w", name, err)
		}
		word, err := quote(value)
		if err != nil {
			return "", fmt.Errorf("variable %s: %w", name, err)
		}
		words = append(words, name+"="+word)
		if name != "HOME" && name != "TERM" {
			variables++
		}
	}
	if variables > MaxVariables {
		return "", fmt.Errorf("%d variables, at most %d are possible", variables, MaxVariables)
	}
	passed := slices.Index(p.Args, "--") // init takes the rest from /proc/cmdline
	if passed < 0 {
		passed = len(p.Args)
	}
	if passed > MaxArgs {
		return "", fmt.Errorf("%d arguments, at most %d are possible", passed, MaxArgs)
	}
	if len(p.Args) > 0 {
		words = append(words, "--")
	}
	for i, arg := range p.Args {
		word, err := quote(arg)
		if err != nil {
			return "", fmt.Errorf("argument %d, %q: %w", i, arg, err)
		}
		words = append(words, word)
	}
	line := strings.Join(words, " ")
	if len(line) > MaxCmdline {
		return "", fmt.Errorf("%d bytes, at most %d are possible", len(line), MaxCmdline)
	}
	return line, nil
}

// checkName reports the name of a variable that the kernel would not pass on as such.
func checkName(name string) error {
	switch {
	case name == "--":
		return errors.New("the kernel takes it for the end of its parameters")
	case strings.Contains(name, "."):
		return errors.New("the kernel takes a name with a dot for the parameter of a module")
	case strings.Contains(name, `"`) || hasBlank(name):
		return errors.New("blank or double quote in the name")
	}
	return nil
}

// quote returns s as a word, or a value, of the kernel command line.
func quote(s string) (string, error) {
	if strings.Contains(s, `"`) {
		return "", errors.New("double quote, which can't be expressed there")
	}
	if s != "" && !hasBlank(s) {
		return s, nil
	}
	return `"` + s + `"`, nil
}

// hasBlank reports whether s has a byte that separates words for the kernel, whose isspace is that of Latin-1.
func hasBlank(s string) bool {
	return slices.ContainsFunc([]byte(s), func(b byte) bool { return b == ' ' || '\t' <= b && b <= '\r' || b == 0xa0 })
}

package guestinit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Limits of Linux for the guests of libkrun, x86-64 and arm64 with CONFIG_INIT_ENV_ARG_LIMIT=32.
// The kernel truncates a longer command line, and panics on more variables or arguments.
const (
	MaxCmdline   = 2047 // bytes
	MaxVariables = 31   // not counting HOME and TERM, which the kernel always sets
	MaxArgs      = 32   // not counting the first argument "--" and those after it
)

// NewParams returns parameters with their defaults. In contrast, bootparam.Params{} has timeouts of
// zero, and no machine defaults.
func NewParams() bootparam.Params { return bootparam.Parse(nil, nil) }

// Environ returns the environment of init, entries NAME=VALUE, that bootparam.Parse reads as p,
// together with the arguments p.Args. It has the variables for init that differ from their
// defaults, followed by p.Environ. If p.Hostname is set, p.Environ gets a variable HOSTNAME unless
// it has one.
//
// Environ returns an error that names the field if a value can't be expressed.
func Environ(p bootparam.Params) ([]string, error) {
	var environ []string
	for _, row := range bootparam.Table() {
		value := row.Format(p)
		if value == "" {
			continue
		}
		name := row.Name + "="
		hasName := func(entry string) bool { return strings.HasPrefix(entry, name) }
		if strings.HasPrefix(name, bootparam.Prefix) {
			environ = append(environ, name+value)
		} else if !slices.ContainsFunc(p.Environ, hasName) {
			p.Environ = append(slices.Clip(p.Environ), name+value)
		}
	}
	environ = append(environ, p.Environ...)

	for _, s := range slices.Concat(environ, p.Args) {
		if strings.Contains(s, "\x00") {
			return nil, fmt.Errorf("guestinit: parameter %q: contains a NUL byte", s)
		}
	}
	got := bootparam.Parse(append([]string{InitPath}, p.Args...), environ)
	if err := same("", p, got); err != nil {
		return nil, fmt.Errorf("guestinit: parameter %w", err)
	}
	return environ, nil
}

// FormatRlimits returns limits in the notation of KRUN_RLIMITS, for Params.Rlimits. It is the
// inverse of oci.ParseRlimits. It returns an error if a resource is unknown, if a resource
// is limited twice, or if a soft limit is above the hard one.
func FormatRlimits(limits []specs.POSIXRlimit) (string, error) {
	var items []string
	for i, limit := range limits {
		if err := oci.ValidateRlimit(limit); err != nil {
			return "", fmt.Errorf("guestinit: limits[%d]: %w", i, err)
		}
		number, _ := oci.ParseResource(limit.Type) // validated
		items = append(items, fmt.Sprintf("%d=%d:%d", number, limit.Soft, limit.Hard))
	}
	value := strings.Join(items, ",")
	got, err := oci.ParseRlimits(value)
	if err == nil {
		err = same("limits", limits, got)
	}
	if err != nil {
		return "", fmt.Errorf("guestinit: %w", err)
	}
	return value, nil
}

// KernelCmdline returns a Linux command line that starts init with p. It consists of the host's own
// parameters, such as "reboot=k panic=-1 quiet tsi_hijack", init=/init.krun, the variables that
// Environ returns and, after "--", p.Args.
//
// KernelCmdline returns an error if Environ does, if the line exceeds MaxCmdline, MaxVariables or
// MaxArgs, and for two things that a command line can't express: a double quote, and a variable
// whose name has a dot, which the kernel takes for the parameter of a module.
//
// It can't detect everything: the kernel also passes words of host that it does not know to init as
// variables, which are not counted, and does not pass variables whose names it knows, such as root
// or debug. A host had better put the variables of the workload, and arguments with quotes, into a
// configuration, which has no such limits.
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
	variables, err := variableWords(environ)
	if err != nil {
		return "", err
	}
	args, err := argumentWords(p.Args)
	if err != nil {
		return "", err
	}
	// The kernel must read what follows the parameters of the host as parameters.
	open := slices.Equal(bootparam.Tokens(host+" x"), append(bootparam.Tokens(host), "x"))
	if !open || strings.Contains(host, "\x00") {
		return "", fmt.Errorf("parameters %q end within quotes, or contain -- or a NUL byte", host)
	}
	words := slices.Concat([]string{"init=" + InitPath}, variables, args)
	if host != "" {
		words = slices.Insert(words, 0, host)
	}
	line := strings.Join(words, " ")
	if len(line) > MaxCmdline {
		return "", fmt.Errorf("%d bytes, at most %d are possible", len(line), MaxCmdline)
	}
	return line, nil
}

// variableWords returns variables, entries NAME=VALUE, as words of the kernel command line.
func variableWords(environ []string) (words []string, err error) {
	count := 0
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if err := checkName(name); err != nil {
			return nil, fmt.Errorf("variable %q: %w", name, err)
		}
		word, err := quote(value)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", name, err)
		}
		words = append(words, name+"="+word)
		if name != "HOME" && name != "TERM" {
			count++
		}
	}
	if count > MaxVariables {
		return nil, fmt.Errorf("%d variables, at most %d are possible", count, MaxVariables)
	}
	return words, nil
}

// argumentWords returns arguments of init as words of the kernel command line, after "--".
func argumentWords(args []string) (words []string, err error) {
	count := slices.Index(args, "--") // init takes the others from /proc/cmdline
	if count < 0 {
		count = len(args)
	}
	if count > MaxArgs {
		return nil, fmt.Errorf("%d arguments, at most %d are possible", count, MaxArgs)
	}
	for i, arg := range args {
		word, err := quote(arg)
		if err != nil {
			return nil, fmt.Errorf("argument %d, %q: %w", i, arg, err)
		}
		words = append(words, word)
	}
	if len(words) > 0 {
		words = append([]string{"--"}, words...)
	}
	return words, nil
}

// checkName returns an error if the kernel would not pass on a variable with this name.
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

// quote returns s as a word, or as the value in a word NAME=VALUE, of the kernel command line.
func quote(s string) (string, error) {
	if strings.Contains(s, `"`) {
		return "", errors.New("a kernel command line can't express a double quote")
	}
	if s != "" && !hasBlank(s) {
		return s, nil
	}
	return `"` + s + `"`, nil
}

// hasBlank reports whether s has a byte that separates words of the kernel command line: isspace of
// the kernel, which uses Latin-1.
func hasBlank(s string) bool {
	isBlank := func(b byte) bool { return b == ' ' || '\t' <= b && b <= '\r' || b == 0xa0 }
	return slices.ContainsFunc([]byte(s), isBlank)
}

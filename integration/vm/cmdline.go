package vm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Limits of the guest kernel, Linux 6.12 in libkrunfw's configuration. It truncates a longer
// command line and panics on more variables or arguments.
const (
	maxCmdline = 2047 // bytes
	maxEnv     = 31   // variables besides HOME and TERM, which the kernel sets itself
	maxArgs    = 32
)

// kernelCmdline returns the command line of the guest kernel. The words of machine come first. The
// rest is what libkrun passes, except for reboot=t: QEMU's microvm has no keyboard controller. It
// fails if the kernel cannot represent the configuration or if a limit is exceeded.
func kernelCmdline(cfg *Config, machine []string) (string, error) {
	words := slices.Concat(machine, []string{"reboot=t", "panic=-1", "panic_print=0"})
	if serial := cfg.board().serial; serial != "" {
		words = append(words, "console="+serial)
	} else {
		words = append(words, "nomodule", "console=hvc0")
	}
	initWord := "init="
	if cfg.Initrd != "" {
		initWord = "rdinit="
	} else {
		words = append(words, "rootfstype=virtiofs", "root="+rootTag, "rw")
	}
	if !cfg.KernelMessages {
		words = append(words, "quiet")
	}
	words = append(words, "no-kvmapf")
	if cfg.KernelArgs != "" {
		words = append(words, cfg.KernelArgs)
	}

	// The kernel drops unknown words before init=. It passes those after it to init.
	init, err := quote(cfg.InitPath)
	if err != nil {
		return "", fmt.Errorf("path of init %q on the kernel command line: %w", cfg.InitPath, err)
	}
	words = append(words, initWord+init)
	if len(cfg.Env) > maxEnv {
		return "", fmt.Errorf(
			"%d variables on the kernel command line: the kernel accepts at most %d",
			len(cfg.Env), maxEnv)
	}
	for _, entry := range cfg.Env {
		word, err := envWord(entry)
		if err != nil {
			return "", fmt.Errorf("variable %q on the kernel command line: %w", entry, err)
		}
		words = append(words, word)
	}
	if len(cfg.Args) > maxArgs {
		return "", fmt.Errorf(
			"%d arguments on the kernel command line: the kernel accepts at most %d",
			len(cfg.Args), maxArgs)
	}
	if len(cfg.Args) > 0 {
		words = append(words, "--")
	}
	for _, arg := range cfg.Args {
		word, err := quote(arg)
		if err == nil && arg == "--" {
			err = errors.New("the kernel drops it and all later arguments")
		}
		if err != nil {
			return "", fmt.Errorf("argument %q on the kernel command line: %w", arg, err)
		}
		words = append(words, word)
	}

	line := strings.Join(words, " ")
	if len(line) > maxCmdline {
		return "", fmt.Errorf("kernel command line of %d bytes: the kernel accepts at most %d",
			len(line), maxCmdline)
	}
	return line, nil
}

// envWord returns the command-line word for entry, NAME=VALUE, which the kernel adds to the
// environment of init. It fails if the command line cannot represent the entry.
func envWord(entry string) (string, error) {
	name, value, found := strings.Cut(entry, "=")
	switch {
	case !found:
		return "", errors.New("want NAME=VALUE")
	case name == "":
		return "", errors.New("empty name")
	case name == "--":
		return "", errors.New("the kernel treats the name -- as the end of its options")
	case strings.Contains(name, "."):
		return "", errors.New("the kernel treats a name with a dot as a module parameter")
	case hasBlank(name):
		return "", errors.New("the name contains a blank")
	case strings.Contains(name, `"`):
		return "", errors.New("the name contains a double quote")
	}
	value, err := quote(value)
	if err != nil {
		return "", err
	}
	return name + "=" + value, nil
}

// quote returns s as one word or one value of the kernel command line, in double quotes if
// necessary. It fails if s contains a double quote, which the kernel has no way to escape, or a NUL
// byte.
func quote(s string) (string, error) {
	for _, bad := range []struct{ text, name string }{{`"`, "double quote"}, {"\x00", "NUL byte"}} {
		if strings.Contains(s, bad.text) {
			return "", fmt.Errorf("a %s cannot be represented", bad.name)
		}
	}
	if s != "" && !hasBlank(s) {
		return s, nil
	}
	return `"` + s + `"`, nil
}

// hasBlank reports whether s contains a byte that separates words for the kernel. The kernel's
// isspace uses Latin-1; its no-break space, 0xa0, also occurs within UTF-8 characters.
func hasBlank(s string) bool {
	return slices.ContainsFunc([]byte(s), func(b byte) bool {
		return b == ' ' || '\t' <= b && b <= '\r' || b == 0xa0
	})
}

package vm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Limits of the guest kernel, Linux 6.12 as libkrunfw configures it. It cuts a longer command line, and panics on more
// variables or arguments.
const (
	maxCmdline = 2047 // bytes
	maxEnv     = 31   // variables besides HOME and TERM, which it sets itself
	maxArgs    = 32
)

// kernelCmdline returns the guest kernel's command line, as libkrun writes it except for the way to reboot: QEMU's
// microvm has no keyboard controller. What machine says comes first.
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

	// The kernel drops the unknown words before init= and passes those behind it to init.
	init, err := quote(cfg.InitPath)
	if err != nil {
		return "", fmt.Errorf("path of init %q on the kernel command line: %w", cfg.InitPath, err)
	}
	words = append(words, initWord+init)
	if len(cfg.Env) > maxEnv {
		return "", fmt.Errorf("%d variables on the kernel command line: the kernel takes at most %d", len(cfg.Env), maxEnv)
	}
	for _, entry := range cfg.Env {
		word, err := envWord(entry)
		if err != nil {
			return "", fmt.Errorf("variable %q on the kernel command line: %w", entry, err)
		}
		words = append(words, word)
	}
	if len(cfg.Args) > maxArgs {
		return "", fmt.Errorf("%d arguments on the kernel command line: the kernel takes at most %d", len(cfg.Args), maxArgs)
	}
	if len(cfg.Args) > 0 {
		words = append(words, "--")
	}
	for _, arg := range cfg.Args {
		word, err := quote(arg)
		if err == nil && arg == "--" {
			err = errors.New("the kernel drops it and all that follow")
		}
		if err != nil {
			return "", fmt.Errorf("argument %q on the kernel command line: %w", arg, err)
		}
		words = append(words, word)
	}

	line := strings.Join(words, " ")
	if len(line) > maxCmdline {
		return "", fmt.Errorf("kernel command line of %d bytes: the kernel takes at most %d", len(line), maxCmdline)
	}
	return line, nil
}

// envWord returns the word that makes the kernel put entry, NAME=VALUE, into the environment of init.
func envWord(entry string) (string, error) {
	name, value, found := strings.Cut(entry, "=")
	switch {
	case !found:
		return "", errors.New("want NAME=VALUE")
	case name == "":
		return "", errors.New("empty name")
	case name == "--":
		return "", errors.New("the kernel takes the name for the end of its options")
	case strings.Contains(name, "."):
		return "", errors.New("the kernel takes a name with a dot for a parameter of a module")
	case hasBlank(name):
		return "", errors.New("blank in the name")
	case strings.Contains(name, `"`):
		return "", errors.New("double quote in the name")
	}
	value, err := quote(value)
	if err != nil {
		return "", err
	}
	return name + "=" + value, nil
}

// quote returns s as one word, or one value, of the kernel command line. The kernel knows double quotes, but no way to
// escape one.
func quote(s string) (string, error) {
	for _, bad := range []struct{ text, name string }{{`"`, "double quote"}, {"\x00", "NUL byte"}} {
		if strings.Contains(s, bad.text) {
			return "", fmt.Errorf("%s, which can't be expressed there", bad.name)
		}
	}
	if s != "" && !hasBlank(s) {
		return s, nil
	}
	return `"` + s + `"`, nil
}

// hasBlank reports whether s has a byte that separates words for the kernel. Its isspace is that of Latin-1, whose
// no-break space is part of many UTF-8 characters.
func hasBlank(s string) bool {
	return slices.ContainsFunc([]byte(s), func(b byte) bool {
		return b == ' ' || '\t' <= b && b <= '\r' || b == 0xa0
	})
}

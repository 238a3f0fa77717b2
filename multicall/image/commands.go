package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/krunbox/krunbox/internal/tool"
)

// DefaultCommands are the commands in an image by default: a shell and tools for finding faults,
// most of them u-root's.
const DefaultCommands = "cat chmod cp date dd df dmesg du echo find free grep head hexdump " +
	"hostname id ip kill ln ls lsmod mkdir mknod more mount mv netstat ping ps pwd readlink rm sh " +
	"sleep sort stty sync tail tee touch tr true umount uname uptime wc which xargs"

// Shells, see Options.Shell.
const (
	shellKrunbox = "krunbox"
	shellBusybox = "busybox"
)

// ourCommands are in every image.
const ourCommands = "github.com/krunbox/krunbox/cmds/..."

// forImages is the directory of the commands that namesForImages names. U-root has no such shell,
// its date does not know +%s, its grep always ends with 0, its head has no option -5, its hostname
// takes -f for a name to set, and its tail crashes if there is less to read.
const forImages = "github.com/krunbox/krunbox/multicall/image/cmds"

var namesForImages = []string{"date", "grep", "head", "hostname", "sh", "tail"}

// uroot is the module of u-root's commands, and urootDirs are its directories with commands.
const uroot = "github.com/u-root/u-root"

var urootDirs = []string{"cmds/core", "cmds/exp", "cmds/boot"}

// packages returns packages and patterns of packages: those of krunbox's commands and those that
// names select, see Options.Commands. BusyBox has the default commands, if it is the shell.
func packages(ctx context.Context, dir, shell string, names []string) ([]string, error) {
	defaults := DefaultCommands
	switch shell {
	case "", shellKrunbox:
	case shellBusybox:
		defaults = ""
	default:
		return nil, fmt.Errorf("shell %q: want %s or %s", shell, shellKrunbox, shellBusybox)
	}
	if len(names) == 0 {
		names = []string{"default"}
	}
	module, err := moduleDir(ctx, dir, uroot)
	if err != nil {
		return nil, err
	}
	found := []string{ourCommands}
	add := func(pkg string) {
		if !slices.Contains(found, pkg) {
			found = append(found, pkg)
		}
	}
	for _, name := range names {
		switch {
		case name == "none":
		case name == "default":
			for name := range strings.FieldsSeq(defaults) {
				pkg, err := findCommand(module, name)
				if err != nil {
					return nil, err
				}
				add(pkg)
			}
		case strings.ContainsAny(name, "/."):
			add(name)
		case name == "init":
			return nil, errors.New(`command "init": images have krunbox's`)
		default:
			pkg, err := findCommand(module, name)
			if err != nil {
				return nil, err
			}
			add(pkg)
		}
	}
	return found, nil
}

// findCommand returns the package of a command of this module, or of u-root's, which is in the
// directory module.
func findCommand(module, name string) (string, error) {
	if slices.Contains(namesForImages, name) {
		return forImages + "/" + name, nil
	}
	for _, dir := range urootDirs {
		if _, err := os.Stat(filepath.Join(module, dir, name)); err == nil {
			return uroot + "/" + dir + "/" + name, nil
		}
	}
	return "", fmt.Errorf("command %q: not one of u-root's (in %s of %s)",
		name, strings.Join(urootDirs, ", "), module)
}

// moduleDir returns the directory of the sources of a module that the module in dir requires.
func moduleDir(ctx context.Context, dir, module string) (string, error) {
	env := append(os.Environ(), "GOWORK=off", "GO111MODULE=on", "GOFLAGS=-buildvcs=false")
	out, err := tool.Run(ctx, dir, env, "go", "mod", "download", "-json", module)
	if err != nil {
		return "", err
	}
	var found struct{ Dir string }
	if err := json.Unmarshal(out, &found); err != nil {
		return "", fmt.Errorf("go mod download: %w", err)
	}
	return found.Dir, nil
}

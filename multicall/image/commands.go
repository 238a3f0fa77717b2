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

// DefaultCommands are the commands of u-root in an image by default: a shell and tools for finding
// faults.
const DefaultCommands = "cat chmod cp date dd df dmesg du echo find free grep gosh head hexdump " +
	"hostname id ip kill ln ls lsmod mkdir mknod more mount mv netstat ping ps pwd readlink rm " +
	"sleep sort stty sync tail tee touch tr true umount uname uptime wc which xargs"

// ourCommands are in every image.
const ourCommands = "github.com/krunbox/krunbox/cmds/..."

// uroot is the module of u-root's commands, and urootDirs are its directories with commands.
const uroot = "github.com/u-root/u-root"

var urootDirs = []string{"cmds/core", "cmds/exp", "cmds/boot"}

// packages returns packages and patterns of packages: those of krunbox's commands and those that
// names select, see Options.Commands.
func packages(ctx context.Context, dir string, names []string) ([]string, error) {
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
			for name := range strings.FieldsSeq(DefaultCommands) {
				add(uroot + "/" + urootDirs[0] + "/" + name)
			}
		case strings.ContainsAny(name, "/."):
			add(name)
		case name == "init":
			return nil, errors.New(`command "init": images have krunbox's`)
		default:
			at := slices.IndexFunc(urootDirs, func(dir string) bool {
				_, err := os.Stat(filepath.Join(module, dir, name))
				return err == nil
			})
			if at < 0 {
				return nil, fmt.Errorf("command %q: not one of u-root's (in %s of %s)",
					name, strings.Join(urootDirs, ", "), module)
			}
			add(uroot + "/" + urootDirs[at] + "/" + name)
		}
	}
	return found, nil
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

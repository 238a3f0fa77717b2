// Package guestroot makes small root directories for guests: busybox under all its names, the usual directories, and
// the users root and nobody.
package guestroot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// directories of the root, parents first, with their permissions. Among them are the mount points an init needs.
var directories = []struct {
	path string
	mode os.FileMode
}{
	{".", 0o755},
	{"bin", 0o755},
	{"dev", 0o755},
	{"etc", 0o755},
	{"home", 0o755},
	{"lib", 0o755},
	{"mnt", 0o755},
	{"proc", 0o555},
	{"root", 0o700},
	{"run", 0o755},
	{"sys", 0o555},
	{"tmp", 0o777 | os.ModeSticky},
	{"usr", 0o755},
	{"var", 0o755},
	{"var/log", 0o755},
	{"var/tmp", 0o777 | os.ModeSticky},
}

// links give the other directories that PATH commonly has; all programs are in /bin.
var links = map[string]string{
	"sbin":     "bin",
	"usr/bin":  "../bin",
	"usr/sbin": "../bin",
	"var/run":  "../run",
}

var files = map[string]string{
	"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
	"etc/group":  "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
}

// Create fills dir, an empty directory or one to be made, with a root for guests of architecture arch ("amd64" or
// "arm64"). A guest writes into its root, so each should have its own; making one takes a few milliseconds.
//
// The busybox comes from Debian's busybox-static: the one at /bin/busybox if this machine is of that architecture and
// has it, else the package is fetched with apt-get, without a change to the system's package lists, and cached.
func Create(ctx context.Context, arch, dir string) error {
	busybox, err := findBusybox(ctx, arch)
	if err != nil {
		return err
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	names, err := appletNames(program)
	if err != nil {
		return fmt.Errorf("%s: %w", busybox, err)
	}
	return create(dir, program, names)
}

func create(dir string, busybox []byte, applets []string) error {
	for _, d := range directories {
		path := filepath.Join(dir, d.path)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(path, d.mode); err != nil { // whatever the umask is
			return err
		}
	}
	for name, contents := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(contents), 0o644); err != nil {
			return err
		}
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/busybox"), busybox, 0o755); err != nil {
		return err
	}
	for _, name := range applets {
		if name == "busybox" {
			continue
		}
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", name)); err != nil {
			return err
		}
	}
	return nil
}

// appletNames returns the names under which a busybox program can be called. The program itself can't be asked if it is
// for another architecture; but the names are in it, sorted, each with a zero byte behind it, and an empty one at the
// end.
func appletNames(program []byte) ([]string, error) {
	const start = "\x00[\x00[[\x00" // what the table begins with, and the end of what is before it
	at := bytes.Index(program, []byte(start))
	if at < 0 {
		return nil, errors.New("no table of busybox applets")
	}
	var names []string
	for rest := program[at+1:]; ; {
		name, after, found := bytes.Cut(rest, []byte{0})
		if !found {
			return nil, errors.New("the table of busybox applets has no end")
		}
		if len(name) == 0 {
			return names, nil
		}
		if bytes.ContainsRune(name, '/') {
			return nil, fmt.Errorf("strange name %q in the table of busybox applets", name)
		}
		names = append(names, string(name))
		rest = after
	}
}

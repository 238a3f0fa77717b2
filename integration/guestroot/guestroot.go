// Package guestroot creates small root directories for guests, with BusyBox and links for its
// applets, the usual directories, and the users root and nobody.
package guestroot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/krunbox/krunbox/internal/debian"
)

// directories has the directories of the root with their permissions, parents first. They include
// the mount points that an init program needs.
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

// links has the targets of symbolic links. All programs are in /bin; the links make them available
// in the other directories of the usual PATH.
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

// Create creates a root for a guest of the architecture arch, "amd64" or "arm64", in dir, which
// must be empty or not exist. It takes a few milliseconds. Guests write to their roots, so each
// guest should have its own.
//
// Create uses /bin/busybox if it is a static executable for arch. Otherwise it downloads Debian's
// package busybox-static with apt-get, without changing the system's package lists, and caches the
// program. It fails if that fails or dir cannot be written.
func Create(ctx context.Context, arch, dir string) error {
	busybox, err := findBusybox(ctx, arch)
	if err != nil {
		return err
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	names, err := debian.BusyboxApplets(program)
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
		if err := os.Chmod(path, d.mode); err != nil { // independent of the umask
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

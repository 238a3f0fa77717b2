package guestroot

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/krunbox/krunbox/integration/internal/cache"
)

// installedBusybox is where Debian's busybox-static, and its busybox too, put the program.
const installedBusybox = "/bin/busybox"

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// findBusybox returns the path of a static busybox for arch.
func findBusybox(ctx context.Context, arch string) (string, error) {
	machine, ok := machines[arch]
	if !ok {
		return "", fmt.Errorf("no busybox for architecture %q: want amd64 or arm64", arch)
	}
	if isStatic(installedBusybox, machine) {
		return installedBusybox, nil
	}
	return cache.File(ctx, "busybox-"+arch, func(scratch string) (string, error) {
		path, err := downloadBusybox(ctx, arch, scratch)
		if err != nil {
			return "", fmt.Errorf("busybox for %s: %w", arch, err)
		}
		if !isStatic(path, machine) {
			return "", fmt.Errorf("busybox for %s: what busybox-static holds is no static program", arch)
		}
		return path, nil
	})
}

// isStatic reports whether path is a static executable for machine.
func isStatic(path string, machine elf.Machine) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, prog := range f.Progs {
		if prog.Type == elf.PT_INTERP {
			return false
		}
	}
	return f.Machine == machine
}

// downloadBusybox fetches and unpacks Debian's busybox-static for arch in the directory scratch. It uses the system's
// package sources and keys, but keeps lists of its own, so that the system need not know the architecture, and any user
// can do it.
func downloadBusybox(ctx context.Context, arch, scratch string) (string, error) {
	for _, dir := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(scratch, dir), 0o755); err != nil {
			return "", err
		}
	}
	apt := func(args ...string) error {
		return run(ctx, scratch, "apt-get", append([]string{
			"-q",
			"-o", "APT::Architecture=" + arch,
			"-o", "APT::Architectures=" + arch,
			"-o", "APT::Sandbox::User=root", // the directories are this user's
			"-o", "Dir::State=" + filepath.Join(scratch, "state"),
			"-o", "Dir::State::status=/dev/null",
			"-o", "Dir::Cache=" + filepath.Join(scratch, "cache"),
		}, args...)...)
	}
	// A source without this architecture must not matter, so what counts is whether the package can be had.
	updateErr := apt("update")
	if err := apt("download", "busybox-static:"+arch); err != nil {
		return "", errors.Join(err, updateErr)
	}
	debs, err := filepath.Glob(filepath.Join(scratch, "*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("apt-get download left %d packages, want 1", len(debs))
	}
	if err := run(ctx, scratch, "dpkg-deb", "-x", debs[0], "root"); err != nil {
		return "", err
	}
	return filepath.Join(scratch, "root/bin/busybox"), nil
}

// run runs a command in dir. The error holds the end of what the command printed.
func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	output, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", name, context.Cause(ctx))
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("the %s command is missing: this needs Debian or one of its kin", name)
	}
	output = bytes.TrimSpace(output)
	if i := bytes.LastIndexByte(output, '\n'); i >= 0 {
		output = output[i+1:]
	}
	return fmt.Errorf("%s: %w: %s", name, err, output)
}

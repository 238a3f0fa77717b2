package guestroot

import (
	"context"
	"debug/elf"
	"fmt"
	"path/filepath"

	"github.com/krunbox/krunbox/internal/cache"
	"github.com/krunbox/krunbox/internal/debian"
	"github.com/krunbox/krunbox/internal/progress"
)

// installedBusybox is the path of BusyBox in Debian's packages busybox-static and busybox.
const installedBusybox = "/bin/busybox"

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// findBusybox returns the path of a static BusyBox for arch: that of this machine if it is
// suitable, otherwise that of Debian's package. It fails if the package cannot be downloaded.
func findBusybox(ctx context.Context, arch string) (string, error) {
	machine, ok := machines[arch]
	if !ok {
		return "", fmt.Errorf("busybox for architecture %q: want amd64 or arm64", arch)
	}
	if isStatic(installedBusybox, machine) {
		return installedBusybox, nil
	}
	return cache.File(ctx, "busybox-"+arch, func(scratch string) (string, error) {
		defer progress.Start(ctx, "downloading Debian's busybox-static for "+arch).End()
		path, err := downloadBusybox(ctx, arch, scratch)
		if err != nil {
			return "", fmt.Errorf("busybox for %s: %w", arch, err)
		}
		if !isStatic(path, machine) {
			return "", fmt.Errorf("busybox for %s: the program is not a static executable", arch)
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

// downloadBusybox downloads and unpacks Debian's package busybox-static for arch in the directory
// scratch. It returns the path of the program.
func downloadBusybox(ctx context.Context, arch, scratch string) (string, error) {
	packages, err := debian.Open(ctx, arch, scratch)
	if err != nil {
		return "", err
	}
	file, err := packages.Download(ctx, "busybox-static")
	if err != nil {
		return "", err
	}
	root := filepath.Join(scratch, "root")
	return filepath.Join(root, installedBusybox), debian.Unpack(ctx, file, root)
}

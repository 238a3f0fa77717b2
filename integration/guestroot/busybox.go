package guestroot

import (
	"context"
	"debug/elf"
	"fmt"

	"github.com/krunbox/krunbox/internal/debian"
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
	path, err := debian.Busybox(ctx, arch)
	if err == nil && !isStatic(path, machine) {
		err = fmt.Errorf("busybox for %s: the program is not a static executable", arch)
	}
	return path, err
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

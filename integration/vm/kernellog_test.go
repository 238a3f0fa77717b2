package vm

import (
	"errors"
	"strings"
	"testing"
)

// TestKernelLog checks that the error for a guest without an exit code has messages that "quiet" kept from
// the console.
func TestKernelLog(t *testing.T) {
	t.Parallel()
	for _, arch := range []string{"amd64", "arm64"} {
		_, err := Run(t.Context(), scriptAsInit(t, arch, "exit 0"))
		var guest *GuestError
		if !errors.As(err, &guest) {
			t.Fatalf("%s: Run() = %v, want a GuestError", arch, err)
		}
		if guest.BeforeInit {
			t.Errorf("%s: BeforeInit although init has run", arch)
		}
		if want := "Run /script as init process"; !strings.Contains(guest.Kernel, want) {
			t.Errorf("%s: the kernel's messages do not contain %q:\n%s", arch, want, guest.Kernel)
		}
	}
}

package vm

import (
	"bytes"
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

func TestKernelBug(t *testing.T) {
	for messages, want := range map[string]string{
		"[ 2.9] Oops: double fault: 0000 [#1] SMP NOPTI\r\n[ 2.9] CPU: 1":   "Oops: double fault: 0000 [#1] SMP NOPTI",
		"[ 1.0] Kernel panic - not syncing: System is deadlocked on memory": "",
	} {
		if got := KernelBug(messages); got != want {
			t.Errorf("KernelBug(%q) = %q, want %q", messages, got, want)
		}
	}
}

func TestFindKernelLog(t *testing.T) {
	memory := "code\x00Linux version 6\x00\xff" + strings.Repeat("\x00", 100) +
		"\x01\x00\x00\x00\x00\x00\x00\x80Linux version 6\x00\x02\x00\x00\x00\x00\x00\x00\x80Run /init as init process\x00" +
		strings.Repeat("\x00", 100) + "other text"
	got := bytes.Join(findKernelLog([]byte(memory)), []byte("|"))
	if want := "Linux version 6|Run /init as init process"; string(got) != want {
		t.Errorf("findKernelLog() = %q, want %q", got, want)
	}
}

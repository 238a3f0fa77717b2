package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/rootfs"
)

func TestUsage(t *testing.T) {
	device := []string{"KRUN_BLOCK_ROOT_DEVICE=/dev/vda"}
	for _, c := range []struct {
		name string
		args []string
		env  []string
		code int
		want string
	}{
		{"help", []string{"--help"}, nil, 0, "usage: mount-root"},
		{"no device", []string{"--force", "--", "sh"}, nil, 125, "no device"},
		{"no command", []string{"--force", "-device", "/dev/vda"}, nil, 125, "no command"},
		{"device from the environment", []string{"--force"}, device, 125, "no command"},
		{"invalid time", []string{"-n", "-timeout", "soon"}, nil, 125, "-timeout: "},
		{"negative time", []string{"-n", "-timeout", "-1s"}, nil, 125, "-timeout: "},
		{"unknown option", []string{"-x"}, nil, 125, "flag provided but not defined: -x"},
	} {
		var stdout, stderr strings.Builder
		code := run(append([]string{"mount-root"}, c.args...), c.env, &stdout, &stderr)
		text := stdout.String() + stderr.String()
		if code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("%s: run(%q) = %d, %q, want %d, %q",
				c.name, c.args, code, text, c.code, c.want)
		}
	}
}

// TestPrint checks that -n prints the plan for all options. The namespaces protect this machine in
// case it does more.
func TestPrint(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		var stdout, stderr strings.Builder
		args := []string{"mount-root", "-n", "-device", "LABEL=x", "-fstype", "ext4",
			"-o", "ro,acl", "-overlay", "tmpfs", "-timeout", "2s", "--", "sh"}
		if code := run(args, nil, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
			t.Fatalf("run(%q) = %d, %q", args, code, stderr.String())
		}
		for _, want := range []string{
			"    find LABEL=x for=root timeout=2s\n",
			"    mount LABEL=x as=root type=ext4 options=ro,acl " +
				"device=\"read-only, without recovery\"\n",
			"    mount /proc type=proc ",
			"    free \"the memory of the initramfs\" ",
			"    execute sh args=[sh]",
		} {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("run(%q) printed %s, want %q in it", args, stdout.String(), want)
			}
		}

		stdout.Reset()
		args = []string{"mount-root", "-n", "-overlay", "tmpfs"}
		if code := run(args, nil, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
			t.Fatalf("run(%q) = %d, %q", args, code, stderr.String())
		}
		const want = "initramfs: left out, only if the root is a device\n" +
			"command: left out, only if there is a command\n"
		if !strings.HasSuffix(stdout.String(), want) {
			t.Errorf("run(%q) printed %s, want %q at its end", args, stdout.String(), want)
		}
	})
}

// TestActsAsPID1 checks that PID 1 needs no --force.
func TestActsAsPID1(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		var stdout, stderr strings.Builder
		args := []string{"mount-root", "-device", "/dev/none", "-timeout", "0s", "--", "sh"}
		code := run(args, nil, &stdout, &stderr)
		const want = "mount-root: root: find the root device /dev/none: "
		if code != 125 || !strings.Contains(stderr.String(), want) {
			t.Errorf("run(%q) = %d, %q, want 125, %q", args, code, stderr.String(), want)
		}
	})
}

// TestRefuses checks that another process in the mount namespace of PID 1 needs --force. A
// namespace stands for the machine, so that a broken guard does no harm.
func TestRefuses(t *testing.T) {
	const child = "KRUNBOX_TEST_REFUSES"
	if os.Getenv(child) != "" {
		args := []string{"mount-root", "-device", "/dev/none", "--", "sh"}
		os.Exit(run(args, nil, os.Stdout, os.Stderr))
	}
	nstest.Run(t, func(t *testing.T, dir string) {
		cmd := exec.Command(nstest.CopySelf(t, dir), "-test.run=^TestRefuses$")
		cmd.Env = append(os.Environ(), child+"=1")
		out, _ := cmd.CombinedOutput()
		code := cmd.ProcessState.ExitCode()
		if code != 125 || !strings.Contains(string(out), "--force") {
			t.Errorf("mount-root ended with %d, %q, want 125, --force", code, out)
		}
	})
}

func TestPrintDevices(t *testing.T) {
	const want = "DEVICE      MIB   TYPE  LABEL  UUID  PARTUUID  PARTLABEL\n" +
		"/dev/vda    64    ext4  a b    1-2   -         -\n" +
		"/dev/vdb12  4096  -     -      -     3-4       p\n"
	devices := []rootfs.Device{
		{Path: "/dev/vda", Size: 64 << 20,
			Superblock: rootfs.Superblock{Type: "ext4", UUID: "1-2", Label: "a\nb"}},
		{Path: "/dev/vdb12", Size: 4 << 30, Partition: rootfs.Partition{UUID: "3-4", Label: "p"}},
	}
	var got strings.Builder
	if err := printDevices(&got, devices); err != nil || got.String() != want {
		t.Errorf("printDevices() = %v,\n%s, want\n%s", err, got.String(), want)
	}
	got.Reset()
	if err := printDevices(&got, nil); err != nil || got.String() != "no block devices\n" {
		t.Errorf("printDevices(nil) = %v, %q, want no block devices", err, got.String())
	}
}

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
	for _, c := range []struct {
		name string
		args []string
		env  []string
		code int
		want string
	}{
		{"help", []string{"--help"}, nil, 0, "usage: mount-root"},
		{"no device", []string{"--force", "--", "sh"}, nil, 125, "which device?"},
		{"no command", []string{"--force", "-device", "/dev/vda"}, nil, 125, "no command"},
		{"no command, device by the environment", []string{"--force"}, []string{"KRUN_BLOCK_ROOT_DEVICE=/dev/vda"}, 125, "no command"},
		{"no time", []string{"-n", "-timeout", "soon"}, nil, 125, "-timeout: "},
		{"no such option", []string{"-x"}, nil, 125, "-x: no such option"},
	} {
		var stdout, stderr strings.Builder
		code := run(append([]string{"mount-root"}, c.args...), c.env, &stdout, &stderr)
		if text := stdout.String() + stderr.String(); code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("%s: run(%q) = %d, %q, want %d, %q", c.name, c.args, code, text, c.code, c.want)
		}
	}
}

// What -n prints is all options' doing, and has no effects.
func TestPrint(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		var stdout, stderr strings.Builder
		args := []string{"mount-root", "-n", "-device", "LABEL=x", "-fstype", "ext4", "-o", "ro,acl", "-overlay", "tmpfs", "-timeout", "2s", "--", "sh"}
		if code := run(args, nil, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
			t.Fatalf("run(%q) = %d, %q", args, code, stderr.String())
		}
		for _, want := range []string{
			"    find LABEL=x for=root timeout=2s\n",
			"    mount LABEL=x as=root type=ext4 options=ro,acl device=\"read-only, without recovery\"\n",
			"    mount /proc type=proc ",
			"    execute sh args=[sh]",
		} {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("-n printed %s, want %q in it", stdout.String(), want)
			}
		}
	})
}

// As PID 1, and only then without --force, it acts.
func TestActsAsPID1(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		var stdout, stderr strings.Builder
		code := run([]string{"mount-root", "-device", "/dev/none", "-timeout", "0s", "--", "sh"}, nil, &stdout, &stderr)
		if code != 125 || !strings.Contains(stderr.String(), "mount-root: root: find the root device /dev/none: ") {
			t.Errorf("run() = %d, %q, want 125 and the device", code, stderr.String())
		}
	})
}

// Another process in the machine's mount namespace is refused. Here the machine is a namespace: should the guard be broken,
// nothing else is.
func TestRefuses(t *testing.T) {
	const child = "KRUNBOX_TEST_REFUSES"
	if os.Getenv(child) != "" {
		os.Exit(run([]string{"mount-root", "-device", "/dev/none", "--", "sh"}, nil, os.Stdout, os.Stderr))
	}
	nstest.Run(t, func(t *testing.T, dir string) {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestRefuses$")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != 125 || !strings.Contains(string(out), "--force") {
			t.Errorf("mount-root ended with %v, %q, want 125 and how to override", err, out)
		}
	})
}

func TestTable(t *testing.T) {
	const want = "DEVICE      MIB   TYPE  LABEL  UUID  PARTUUID  PARTLABEL\n" +
		"/dev/vda    64    ext4  a b    1-2   -         -\n" +
		"/dev/vdb12  4096  -     -      -     3-4       p\n"
	devices := []rootfs.Device{
		{Path: "/dev/vda", Size: 64 << 20, Superblock: rootfs.Superblock{Type: "ext4", UUID: "1-2", Label: "a\nb"}},
		{Path: "/dev/vdb12", Size: 4 << 30, Partition: rootfs.Partition{UUID: "3-4", Label: "p"}},
	}
	if got := table(devices); got != want {
		t.Errorf("table() =\n%s, want\n%s", got, want)
	}
	if got := table(nil); got != "no block devices\n" {
		t.Errorf("table() of none = %q", got)
	}
}

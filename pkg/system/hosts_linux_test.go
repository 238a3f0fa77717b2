package system

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

func TestHostsText(t *testing.T) {
	const local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	for name, want := range map[string]string{
		"": local, "localhost": local, "a b": local, "a\n1.2.3.4 b": local, "a#b": local,
		"box":         local + "127.0.1.1\tbox\n",
		"box.example": local + "127.0.1.1\tbox.example box\n",
		".x":          local + "127.0.1.1\t.x\n",
	} {
		if got := hostsText(name); got != want {
			t.Errorf("hostsText(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestHostsInNamespace(t *testing.T) {
	for _, c := range []struct{ name, script, want, left string }{
		{"missing", "rm -f etc/hosts", hostsText("box"), ""},
		{"no etc", "rm -rf etc", hostsText("box"), ""},
		{"empty", ": > etc/hosts", hostsText("box"), ""},
		{"there", "echo own > etc/hosts", "own\n", "own\n"},
		{"link", "echo own > etc/other; ln -s other etc/hosts", "own\n", "own\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			nstest.Run(t, func(t *testing.T, dir string) {
				enterRoot(t, dir, c.script)
				if err := (Hosts{"box"}).Do(); err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile("/etc/hosts"); string(got) != c.want {
					t.Errorf("/etc/hosts = %q, %v, want %q", got, err, c.want)
				}
				var st unix.Stat_t
				if err := unix.Stat("/etc/hosts", &st); err != nil || st.Mode&0o777 != 0o644 {
					t.Errorf("mode = %#o, %v, want 0644", st.Mode, err)
				}
				_ = unix.Unmount("/etc/hosts", 0)
				if got, err := os.ReadFile("/etc/hosts"); err != nil || string(got) != c.left {
					t.Errorf("below the mount: %q, %v, want %q", got, err, c.left)
				}
			})
		})
	}
}

func TestHostsReadOnlyRootInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		enterRoot(t, dir, "mount -o remount,ro .")
		err := Hosts{"box"}.Do()
		if !errors.Is(err, unix.EROFS) || !strings.HasPrefix(err.Error(), "create /etc/hosts: ") {
			t.Errorf("Do() = %v, want EROFS", err)
		}
	})
}

// enterRoot makes dir, with /etc and another file system on /dev, the root of this process. script
// runs in dir before.
func enterRoot(t *testing.T, dir, script string) {
	t.Helper()
	script = "cd " + dir + "; mkdir etc dev; mount -t tmpfs dev dev; " + script
	if out, err := exec.Command("/bin/sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	if err := unix.Chroot(dir); err != nil {
		t.Fatal(err)
	}
	if err := unix.Chdir("/"); err != nil {
		t.Fatal(err)
	}
}

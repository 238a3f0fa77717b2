package system

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

var loopback = netip.MustParseAddr("127.0.1.1")

func TestHostsLine(t *testing.T) {
	const image = "127.0.0.1 localhost\n10.0.0.1 other # box\n"
	for _, c := range []struct{ text, name, want string }{
		{localHosts, "", ""},
		{localHosts, "localhost", ""},
		{localHosts, "a b", ""},
		{localHosts, "a\n1.2.3.4 b", ""},
		{localHosts, "a#b", ""},
		{localHosts, "box", "127.0.1.1\tbox\n"},
		{localHosts, "box.example", "127.0.1.1\tbox.example box\n"},
		{localHosts, ".x", "127.0.1.1\t.x\n"},
		{image, "box", "127.0.1.1\tbox\n"},
		{image, "Other", ""},
		{image, "10.0.0.1", "127.0.1.1\t10.0.0.1 10\n"}, // an address is not a name
		{"# none", "localhost", "\n127.0.0.1\tlocalhost\n"},
		{"::1 box6\n", "box", "127.0.1.1\tbox\n"},
	} {
		if got := hostsLine(c.text, c.name, loopback); got != c.want {
			t.Errorf("hostsLine(%q, %q) = %q, want %q", c.text, c.name, got, c.want)
		}
	}
}

// hosts is the operation for a host named box without an address.
var hosts = Hosts{Hostname: "box", Address: func() netip.Addr { return netip.Addr{} }}

func TestHostsInNamespace(t *testing.T) {
	text := localHosts + "127.0.1.1\tbox\n"
	for _, c := range []struct{ name, script, want, left string }{
		{"missing", "rm -f etc/hosts", text, ""},
		{"no etc", "rm -rf etc", text, ""},
		{"empty", ": > etc/hosts", text, ""},
		{"without the name", "echo own > etc/hosts", "own\n127.0.1.1\tbox\n", "own\n"},
		{"with the name", "echo 1.2.3.4 box > etc/hosts", "1.2.3.4 box\n", "1.2.3.4 box\n"},
		{"link", "echo own > etc/other; ln -s other etc/hosts", "own\n127.0.1.1\tbox\n", "own\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			nstest.Run(t, func(t *testing.T, dir string) {
				enterRoot(t, dir, c.script)
				if err := hosts.Do(); err != nil {
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

// TestHostsAddressInNamespace checks that the name gets the address of the machine.
func TestHostsAddressInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		enterRoot(t, dir, "echo own > etc/hosts")
		h := Hosts{Hostname: "box", Address: func() netip.Addr { return netip.MustParseAddr("10.0.2.15") }}
		if err := h.Do(); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile("/etc/hosts"); string(got) != "own\n10.0.2.15\tbox\n" {
			t.Errorf("/etc/hosts = %q, %v", got, err)
		}

		// Again, with what the workload has added, and another address and name.
		h.State, h.Hostname = new(HostsState), "other"
		for i, want := range []string{
			"own\n10.0.2.15\tbox\n127.0.1.1\tother\n", "own\n10.0.2.15\tbox\nadded\n10.0.2.16\tother\n", "own\n10.0.2.15\tbox\nadded\n10.0.2.16\tb.x b\n",
			"own\n10.0.2.15\tbox\nadded\n127.0.0.1\tlocalhost\n",
		} {
			h.Address = func() netip.Addr { return []netip.Addr{{}, netip.MustParseAddr("10.0.2.16")}[min(i, 1)] }
			switch i {
			case 1:
				file, err := os.OpenFile("/etc/hosts", os.O_APPEND|os.O_WRONLY, 0)
				if err == nil {
					_, err = file.WriteString("added\n")
				}
				if err != nil {
					t.Fatal(err)
				}
			case 2:
				h.Hostname = "b.x"
			case 3: // the line for the old name goes
				h.Hostname = "localhost"
			}
			if err := h.Do(); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile("/etc/hosts"); string(got) != want {
				t.Errorf("/etc/hosts = %q, %v, want %q", got, err, want)
			}
		}
	})
}

func TestHostsReadOnlyRootInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		enterRoot(t, dir, "mount -o remount,ro .")
		err := hosts.Do()
		if !errors.Is(err, unix.EROFS) || !strings.HasPrefix(err.Error(), "read or create /etc/hosts: ") {
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

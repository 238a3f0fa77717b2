package system

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

func TestSysctlPath(t *testing.T) {
	for name, want := range map[string]string{
		"kernel.msgmax":                   "kernel/msgmax",
		"net/ipv4/conf/eth0.1/forwarding": "net/ipv4/conf/eth0.1/forwarding",
		"net.ipv4.conf.eth0/1.forwarding": "net/ipv4/conf/eth0.1/forwarding",
		"kernel":                          "kernel",
		"":                                "",
		"../../etc/passwd":                "//.//.etc.passwd",
		"kernel/../../../etc/passwd":      "-",
		"kernel.//.hostname":              "-",
		"a/./b":                           "a/./b",
		"a/..":                            "-",
	} {
		if got := sysctlPath(name); got != want {
			t.Errorf("sysctlPath(%q) = %q, want %q", name, got, want)
		}
	}
}

func FuzzSysctlPath(f *testing.F) {
	f.Add("net.ipv4.conf.eth0/1.forwarding")
	f.Add("a/../b")
	f.Fuzz(func(t *testing.T, name string) {
		for part := range strings.SplitSeq(sysctlPath(name), "/") {
			if part == ".." {
				t.Errorf("sysctlPath(%q) = %q, which leads elsewhere", name, sysctlPath(name))
			}
		}
	})
}

func TestNames(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		for _, op := range []Sysctl{{"net.ipv4.conf.lo.forwarding", "1"}, {"kernel/hostname", "box"}} {
			if err := op.Do(); err != nil {
				t.Error(err)
			}
		}
		if err := (Domainname{"example.org"}).Do(); err != nil {
			t.Error(err)
		}
		for path, want := range map[string]string{
			"net/ipv4/conf/lo/forwarding": "1", "kernel/hostname": "box", "kernel/domainname": "example.org",
		} {
			if got, err := os.ReadFile("/proc/sys/" + path); strings.TrimSpace(string(got)) != want {
				t.Errorf("%s = %q, %v, want %s", path, got, err, want)
			}
		}
		for _, c := range []struct {
			op   interface{ Do() error }
			err  error
			want string
		}{
			{Sysctl{"net.none", "1"}, unix.ENOENT, `set sysctl net.none to "1": `},
			{Sysctl{"net.ipv4.conf.lo.forwarding", "x\n"}, unix.EINVAL, `set sysctl net.ipv4.conf.lo.forwarding to "x\n": `},
			{Sysctl{"kernel/../../1/oom_score_adj", "1"}, unix.ENOENT, `set sysctl kernel/../../1/oom_score_adj to "1": `},
			{Domainname{strings.Repeat("x", 65)}, unix.EINVAL, `set domain name "xxx`},
		} {
			if err := c.op.Do(); !errors.Is(err, c.err) || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%v.Do() = %v, want %s%v", c.op, err, c.want, c.err)
			}
		}
	})
}

func TestDevice(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		unix.Umask(0o077)
		check := func(d Device, mode, uid, gid uint32) {
			t.Helper()
			if err := d.Do(); err != nil {
				t.Error(err)
			}
			var st unix.Stat_t
			if err := unix.Stat(d.Path, &st); err != nil || st.Mode != mode || st.Uid != uid || st.Gid != gid ||
				mode&unix.S_IFMT != unix.S_IFIFO && st.Rdev != unix.Mkdev(d.Major, d.Minor) {
				t.Errorf("%+v: mode %#o, uid %d, gid %d, number %#x, %v, want %#o, %d, %d",
					d, st.Mode, st.Uid, st.Gid, st.Rdev, err, mode, uid, gid)
			}
		}
		fuse := Device{Path: dir + "/deep/er/fuse", Type: 'c', Major: 10, Minor: 229}
		check(fuse, unix.S_IFCHR|0o666, 0, 0)
		check(fuse, unix.S_IFCHR|0o666, 0, 0) // is there
		fuse.FileMode, fuse.GID = new(uint32(1<<26|0o640)), new(uint32(5))
		check(fuse, unix.S_IFCHR|0o640, 0, 5) // Go's own bits of a device are not Linux's
		fuse.FileMode, fuse.GID, fuse.UID = nil, nil, new(uint32(1000))
		check(fuse, unix.S_IFCHR|0o640, 1000, 5)
		disk := Device{Path: dir + "/disk", Type: 'b', Major: 4095, Minor: 1<<20 - 1}
		disk.FileMode, disk.UID, disk.GID = new(uint32(0o600)), new(uint32(1)), new(uint32(2))
		check(disk, unix.S_IFBLK|0o600, 1, 2)
		fifo := Device{Path: dir + "/fifo", Type: 'p'}
		check(fifo, unix.S_IFIFO|0o666, 0, 0)
		check(fifo, unix.S_IFIFO|0o666, 0, 0)
		if err := os.Symlink("deep/er/fuse", dir+"/link"); err != nil {
			t.Fatal(err)
		}
		fuse.Path, fuse.UID = dir+"/link", nil
		check(fuse, unix.S_IFCHR|0o640, 1000, 5)

		if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, d := range []Device{
			{Path: dir + "/file", Type: 'c', Major: 1, Minor: 3},
			{Path: dir + "/disk", Type: 'c', Major: 4095, Minor: 1<<20 - 1},
			{Path: dir + "/deep/er/fuse", Type: 'c', Major: 10, Minor: 228},
		} {
			if err := d.Do(); !errors.Is(err, unix.EEXIST) || !strings.HasPrefix(err.Error(), "make device "+d.Path+": ") {
				t.Errorf("%+v.Do() = %v, want EEXIST", d, err)
			}
		}
	})
}

func TestText(t *testing.T) {
	const local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	for name, want := range map[string]string{
		"": local, "localhost": local, "a b": local, "a\n1.2.3.4 b": local, "a#b": local,
		"box":         local + "127.0.1.1\tbox\n",
		"box.example": local + "127.0.1.1\tbox.example box\n",
		".x":          local + "127.0.1.1\t.x\n",
	} {
		if got := text(name); got != want {
			t.Errorf("text(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestHosts(t *testing.T) {
	for _, c := range []struct{ name, script, want, left string }{
		{"missing", "rm -f etc/hosts", text("box"), ""},
		{"no etc", "rm -rf etc", text("box"), ""},
		{"empty", ": > etc/hosts", text("box"), ""},
		{"there", "echo own > etc/hosts", "own\n", "own\n"},
		{"link", "echo own > etc/other; ln -s other etc/hosts", "own\n", "own\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			nstest.Run(t, func(t *testing.T, dir string) {
				root(t, dir, c.script)
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
					t.Errorf("below: %q, %v, want %q", got, err, c.left)
				}
			})
		})
	}
}

func TestReadonlyRoot(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		root(t, dir, "mount -o remount,ro .")
		if err := (Hosts{"box"}).Do(); !errors.Is(err, unix.EROFS) || !strings.HasPrefix(err.Error(), "create /etc/hosts: ") {
			t.Errorf("Do() = %v, want EROFS", err)
		}
	})
}

// root makes dir the root of this process: a file system with /etc and a /dev of its own.
func root(t *testing.T, dir, script string) {
	t.Helper()
	script = "cd " + dir + "; mkdir etc dev; mount -t tmpfs dev dev; " + script
	process, err := os.StartProcess("/bin/sh", []string{"sh", "-ec", script},
		&os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	if state, err := process.Wait(); err != nil || !state.Success() {
		t.Fatal(state, err)
	}
	if err := unix.Chroot(dir); err != nil {
		t.Fatal(err)
	}
	if err := unix.Chdir("/"); err != nil {
		t.Fatal(err)
	}
}

package system

import (
	"errors"
	"os"
	"slices"
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

// FuzzSysctlPath checks that no path leads out of /proc/sys.
func FuzzSysctlPath(f *testing.F) {
	f.Add("net.ipv4.conf.eth0/1.forwarding")
	f.Add("a/../b")
	f.Fuzz(func(t *testing.T, name string) {
		for part := range strings.SplitSeq(sysctlPath(name), "/") {
			if part == ".." {
				t.Errorf("sysctlPath(%q) = %q, which leads out", name, sysctlPath(name))
			}
		}
	})
}

func TestSysctlsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		values := map[string]string{"net.ipv4.conf.lo.forwarding": "1", "kernel/hostname": "box"}
		for _, op := range Sysctls(values) {
			if err := op.Do(); err != nil {
				t.Error(err)
			}
		}
		if err := (Domainname{"example.org"}).Do(); err != nil {
			t.Error(err)
		}
		for path, want := range map[string]string{
			"net/ipv4/conf/lo/forwarding": "1", "kernel/hostname": "box",
			"kernel/domainname": "example.org",
		} {
			text, err := os.ReadFile("/proc/sys/" + path)
			if got := strings.TrimSpace(string(text)); got != want {
				t.Errorf("%s = %q, %v, want %s", path, got, err, want)
			}
		}
		for _, c := range []struct {
			op   interface{ Do() error }
			err  error
			want string
		}{
			{Sysctl{"net.none", "1"}, unix.ENOENT, `set sysctl net.none to "1": `},
			{Sysctl{"net.ipv4.conf.lo.forwarding", "x\n"}, unix.EINVAL,
				`set sysctl net.ipv4.conf.lo.forwarding to "x\n": `},
			{Sysctl{"kernel/../../1/oom_score_adj", "1"}, unix.ENOENT,
				`set sysctl kernel/../../1/oom_score_adj to "1": `},
			{Domainname{strings.Repeat("x", 65)}, unix.EINVAL, `set domain name "xxx`},
		} {
			if err := c.op.Do(); !errors.Is(err, c.err) || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%v.Do() = %v, want %s%v", c.op, err, c.want, c.err)
			}
		}
	})
}

func TestSysctls(t *testing.T) {
	var got []string
	for _, op := range Sysctls(map[string]string{"b.c": "1", "a": "", "b/b": "0 0"}) {
		got = append(got, op.Describe().String())
	}
	want := []string{`sysctl a value=""`, `sysctl b.c value=1`, `sysctl b/b value="0 0"`}
	if !slices.Equal(got, want) {
		t.Errorf("Sysctls() = %q, want %q", got, want)
	}
}

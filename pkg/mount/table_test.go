package mount

import (
	"slices"
	"strings"
	"testing"
)

func TestInTable(t *testing.T) {
	const table = "devtmpfs /dev devtmpfs rw 0 0\n" +
		`tmpfs /a\040b\134c tmpfs rw 0 0` + "\n" +
		"proc /proc proc rw 0 0"
	for target, want := range map[string]bool{
		"/dev": true, "/proc": true, `/a b\c`: true, "/": false, "/de": false, "/dev/": false, "tmpfs": false, "": false,
	} {
		if got := inTable([]byte(table), target); got != want {
			t.Errorf("inTable(%q) = %v, want %v", target, got, want)
		}
	}
}

func FuzzInTable(f *testing.F) {
	f.Add(`a /b\0 c`, "/b")
	f.Add("a /b\\040\n", "/b ")
	f.Fuzz(func(t *testing.T, table, target string) { inTable([]byte(table), target) })
}

func TestParseInfo(t *testing.T) {
	for _, c := range []struct {
		line string
		want info
		ok   bool
	}{
		{`21 1 0:18 / / rw,relatime shared:1 - virtiofs /dev/root rw`, info{"21", "1", true, "/", "virtiofs", false}, true},
		{`36 35 98:0 /mnt1 /mnt2 ro,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue`,
			info{"36", "35", false, "/mnt2", "ext3", false}, true},
		{`40 21 254:16 / /a\040b\134\011- rw - ext4 /dev/vdb ro,x`, info{"40", "21", false, "/a b\\\t-", "ext4", true}, true},
		{"41 21 254:0 /\xff /\xfe rw - xfs none ro", info{"41", "21", false, "/\xfe", "xfs", true}, true},
		{`42 21 0:1 / /e rw - tmpfs  rw,size=1k`, info{"42", "21", true, "/e", "tmpfs", false}, true}, // no source
		{`42 21 0:1 / /e rw - tmpfs none root`, info{"42", "21", true, "/e", "tmpfs", false}, true},
		{``, info{}, false},
		{`42 21 0:1 / /e rw tmpfs none rw`, info{}, false},
		{`42 21 0:1 / - tmpfs none rw`, info{}, false},
	} {
		if got, ok := parseInfo([]byte(c.line)); got != c.want || ok != c.ok {
			t.Errorf("parseInfo(%q) = %+v, %v, want %+v, %v", c.line, got, ok, c.want, c.ok)
		}
	}
}

func TestDisks(t *testing.T) {
	for name, c := range map[string]struct{ table, unmount, writable string }{
		"nothing":        {"", "", ""},
		"host's root":    {"20 1 0:18 / / rw - virtiofs /dev/root rw\n21 20 0:5 / /dev rw - devtmpfs devtmpfs rw\n", "", ""},
		"read-only root": {"20 1 254:0 / / rw - ext4 /dev/vda ro", "", ""},
		"root": {`20 1 254:0 / / rw - ext4 /dev/vda rw
21 20 0:5 / /dev rw - devtmpfs devtmpfs rw
22 20 0:6 / /proc rw - proc proc rw
23 20 254:0 /a /b rw - ext4 /dev/vda rw`, "/b", "/b /"},
		"all kinds": {`20 1 0:18 / / rw - virtiofs /dev/root rw
30 20 254:16 / /mnt rw - ext4 /dev/vdb rw
31 30 0:40 / /mnt/tmp rw - tmpfs tmpfs rw
32 31 0:41 / /mnt/tmp/x rw - tmpfs tmpfs rw
33 20 0:42 / /mntx rw - tmpfs tmpfs rw
34 20 0:43 / /btrfs rw - btrfs /dev/vdc rw
35 20 0:44 / /over rw - overlay overlay rw,upperdir=/mnt/u
36 20 254:48 / /image ro - erofs /dev/vdd ro
37 30 0:45 / /mnt rw - tmpfs tmpfs rw`, "/mnt /image /over /btrfs /mnt/tmp/x /mnt/tmp /mnt", "/over /btrfs /mnt"},
		"covered": {`20 1 0:18 / / rw - virtiofs /dev/root rw
21 20 0:40 / /mnt rw - tmpfs tmpfs rw
30 21 254:16 / /mnt/a/b rw - ext4 /dev/vdb rw
31 20 0:41 / /mnt/a rw - tmpfs tmpfs rw
32 21 0:42 / /mnt/a/bc rw - tmpfs tmpfs rw`, "/mnt/a /mnt/a/b", "/mnt/a/b"},
		"noise": {"\n\xff\n20\n20 1 254:0 / / rw - ext4 /dev/vda rw", "", "/"},
	} {
		unmount, writable := disks([]byte(c.table))
		if got := points(unmount); got != c.unmount {
			t.Errorf("%s: disks() unmounts %q, want %q", name, got, c.unmount)
		}
		if got := points(writable); got != c.writable {
			t.Errorf("%s: disks() finds %q writable, want %q", name, got, c.writable)
		}
	}
}

func points(mounts []info) string {
	var list []string
	for _, m := range mounts {
		list = append(list, m.point)
	}
	return strings.Join(list, " ")
}

// No mount is found that is not in the table, and none twice.
func FuzzDisks(f *testing.F) {
	f.Add("20 1 254:0 / / rw - ext4 /dev/vda rw\n23 20 254:0 /a /b\\040 rw shared:1 - btrfs /dev/vda rw")
	f.Fuzz(func(t *testing.T, table string) {
		unmount, writable := disks([]byte(table))
		lines := strings.Count(table, "\n") + 1
		if len(unmount) > lines || len(writable) > lines {
			t.Errorf("disks(%q) = %d and %d mounts of %d", table, len(unmount), len(writable), lines)
		}
		for _, m := range unmount {
			if m.point == "/" {
				t.Errorf("disks(%q) unmounts the root", table)
			}
		}
	})
}

func TestSwapFiles(t *testing.T) {
	const swaps = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" +
		"/dev/vdb                                partition\t524284\t\t0\t\t-2\n" +
		"/a\\040b                                 file\t\t1020\t\t0\t\t-3\n\n/c file"
	if got, want := swapFiles([]byte(swaps)), []string{"/a b", "/c"}; !slices.Equal(got, want) {
		t.Errorf("swapFiles() = %q, want %q", got, want)
	}
	if got := swapFiles(nil); got != nil {
		t.Errorf("swapFiles(nil) = %q, want none", got)
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		name, dir string
		want      bool
	}{{"/a", "/a", true}, {"/a/b", "/a", true}, {"/ab", "/a", false}, {"/", "/a", false}, {"/b/a", "/a", false}} {
		if got := within(c.name, c.dir); got != c.want {
			t.Errorf("within(%q, %q) = %v, want %v", c.name, c.dir, got, c.want)
		}
	}
}

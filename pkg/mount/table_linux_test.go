package mount

import (
	"slices"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
)

func TestParseTable(t *testing.T) {
	const table = "21 1 0:18 / / rw,relatime shared:1 - virtiofs /dev/root rw\n" +
		"\n\xff\n21\n42 21 0:1 / /e rw tmpfs none rw\n" + // not mounts
		`40 21 254:16 / /a\040b\134\011- ro - ext4 /dev/vdb ro,x` + "\n" +
		"41 21 254:0 /\xff /\xfe rw - xfs none ro\n" +
		"42 21 0:1 / /e rw master:1 propagate_from:2 - tmpfs  rw,size=1k\n" + // without a source
		"43 21 0:1 / /f rw - tmpfs none root"
	type mount struct {
		id, parent       int
		point            string
		onDisk, writable bool
	}
	want := []mount{
		{21, 1, "/", false, true},
		{40, 21, "/a b\\\t-", true, false},
		{41, 21, "/\xfe", true, false},
		{42, 21, "/e", false, true},
		{43, 21, "/f", false, true},
	}
	var got []mount
	for _, m := range parseTable([]byte(table)) {
		got = append(got, mount{m.ID, m.Parent, m.Mountpoint, onDisk(m), writable(m)})
	}
	if !slices.Equal(got, want) {
		t.Errorf("parseTable(%q) = %v, want %v", table, got, want)
	}
}

func TestMounted(t *testing.T) {
	for target, want := range map[string]bool{
		"/proc": true, "/": true, "/pro": false, "/proc/": true, "": false,
	} {
		if got, err := Mounted(target); got != want || err != nil {
			t.Errorf("Mounted(%q) = %v, %v, want %v", target, got, err, want)
		}
	}
}

func TestDisks(t *testing.T) {
	for name, c := range map[string]struct{ table, unmount, dirty string }{
		"nothing": {"", "", ""},
		"root of the host": {`20 1 0:18 / / rw - virtiofs /dev/root rw
21 20 0:5 / /dev rw - devtmpfs devtmpfs rw
`, "", ""},
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
37 30 0:45 / /mnt rw - tmpfs tmpfs rw`,
			"/mnt /image /over /btrfs /mnt/tmp/x /mnt/tmp /mnt", "/over /btrfs /mnt"},
		"covered": {`20 1 0:18 / / rw - virtiofs /dev/root rw
21 20 0:40 / /mnt rw - tmpfs tmpfs rw
30 21 254:16 / /mnt/a/b rw - ext4 /dev/vdb rw
31 20 0:41 / /mnt/a rw - tmpfs tmpfs rw
32 21 0:42 / /mnt/a/bc rw - tmpfs tmpfs rw`, "/mnt/a /mnt/a/b", "/mnt/a/b"},
		"malformed lines": {"\n\xff\n20\n20 1 254:0 / / rw - ext4 /dev/vda rw", "", "/"},
	} {
		unmount, dirty := disks(parseTable([]byte(c.table)))
		if got := points(unmount); got != c.unmount {
			t.Errorf("%s: disks() unmounts %q, want %q", name, got, c.unmount)
		}
		if got := points(dirty); got != c.dirty {
			t.Errorf("%s: disks() finds %q dirty, want %q", name, got, c.dirty)
		}
	}
}

func points(mounts []*mountinfo.Info) string {
	var list []string
	for _, m := range mounts {
		list = append(list, m.Mountpoint)
	}
	return strings.Join(list, " ")
}

// FuzzDisks checks that disks returns no more mounts than the table has lines, and never unmounts
// the root.
func FuzzDisks(f *testing.F) {
	f.Add("20 1 254:0 / / rw - ext4 /dev/vda rw\n" +
		"23 20 254:0 /a /b\\040 rw shared:1 - btrfs /dev/vda rw")
	f.Add("20 1 254:0 / /b\\0 rw - ext4 /dev/vda rw\n")
	f.Fuzz(func(t *testing.T, table string) {
		unmount, dirty := disks(parseTable([]byte(table)))
		lines := strings.Count(table, "\n") + 1
		if len(unmount) > lines || len(dirty) > lines {
			t.Errorf("disks(%q) = %d and %d mounts of %d", table, len(unmount), len(dirty), lines)
		}
		for _, m := range unmount {
			if m.Mountpoint == "/" {
				t.Errorf("disks(%q) unmounts the root", table)
			}
		}
	})
}

func TestSwapFiles(t *testing.T) {
	const swaps = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" +
		"/dev/vdb                                partition\t524284\t\t0\t\t-2\n" +
		"/a\\040b                                 file\t\t1020\t\t0\t\t-3\n\n/c file"
	if got, want := swapFiles(swaps), []string{"/a b", "/c"}; !slices.Equal(got, want) {
		t.Errorf("swapFiles(%q) = %q, want %q", swaps, got, want)
	}
	if got := swapFiles(""); got != nil {
		t.Errorf(`swapFiles("") = %q, want none`, got)
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		name, dir string
		want      bool
	}{
		{"/a", "/a", true}, {"/a/b", "/a", true}, {"/ab", "/a", false}, {"/", "/a", false},
		{"/b/a", "/a", false},
	} {
		if got := within(c.name, c.dir); got != c.want {
			t.Errorf("within(%q, %q) = %v, want %v", c.name, c.dir, got, c.want)
		}
	}
}

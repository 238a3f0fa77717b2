package mount

import (
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/op"
)

// The requests encode direction, size of what they point to, type and number, linux/ioctl.h.
func TestGrowRequests(t *testing.T) {
	const write, read = 1, 2
	for name, c := range map[string]struct {
		request, direction, size, kind, number uintptr
	}{
		"ext4":         {ext4Resize, write, 8, 'f', 16},
		"XFS":          {xfsGrow, write, unsafe.Sizeof(xfsGrowData{}), 'X', 110},
		"XFS geometry": {xfsGetGeometry, read, unsafe.Sizeof(xfsGeometry{}), 'X', 100},
		"Btrfs":        {btrfsResize, write, unsafe.Sizeof(btrfsArgs{}), 0x94, 3},
	} {
		if want := c.direction<<30 | c.size<<16 | c.kind<<8 | c.number; c.request != want {
			t.Errorf("%s: request = %#x, want %#x", name, c.request, want)
		}
	}
	var g xfsGeometry
	if a, b := unsafe.Offsetof(g.maxInodePercent), unsafe.Offsetof(g.dataBlocks); a != 28 || b != 32 {
		t.Errorf("offsets in the geometry = %d, %d, want 28, 32", a, b)
	}
	if args := newBtrfsArgs("max"); unsafe.Offsetof(args.name) != 8 || string(args.name[:4]) != "max\x00" {
		t.Errorf("name = %q at %d, want max at 8", args.name[:4], unsafe.Offsetof(args.name))
	}
}

func TestGrowth(t *testing.T) {
	ops := Growth([]specs.Mount{
		{Destination: "/a", Options: []string{"ro", "x-systemd.growfs"}},
		{Destination: "/b", Options: []string{"x-systemd.growfs.not"}},
		{Destination: "c/"},
		{Destination: "d/", Options: []string{"x-systemd.growfs"}},
	})
	if len(ops) != 2 || ops[0] != (op.Op)(Grow{"/a"}) || ops[1] != (op.Op)(Grow{"/d"}) {
		t.Errorf("Growth() = %v, want those of /a and /d", ops)
	}
	for options, want := range map[string]bool{"": false, "ro,x-systemd.growfs": true, "x-systemd.growfsx": false} {
		if got := WantsGrowth(options); got != want {
			t.Errorf("WantsGrowth(%q) = %v, want %v", options, got, want)
		}
		if _, data := ParseOptions(options); data != "" {
			t.Errorf("data for the file system of %q = %q, want none", options, data)
		}
	}
}

func TestGrowInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		put(t, dir+"/sub/file", "")
		do(t, Grow{dir + "/sub"}) // nothing is mounted there
		wantError(t, "without a directory", Grow{dir + "/none"}.Do(), unix.ENOENT, "grow the file system on ")
		do(t, Mount{Type: "tmpfs", Source: "tmpfs", Target: dir + "/sub"})
		wantError(t, "of a tmpfs", Grow{dir + "/sub"}.Do(), op.ErrUnsupported, "its type 0x1021994")
	})
}

package rootfs

import (
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"

	"github.com/krunbox/krunbox/internal/nstest"
)

func TestIsPlainInitramfs(t *testing.T) {
	const kernels = "1 1 0:2 / / rw - rootfs rootfs rw\n"
	for _, tt := range []struct {
		name, table         string
		plain, hasInitramfs bool
	}{
		{"the kernel's mount", kernels, true, true},
		{"another mount of it", "22 1 0:2 / / rw shared:1 - rootfs rootfs rw,size=233004k\n", false, true},
		{"with /proc", kernels + "22 1 0:20 / /proc rw - proc proc rw\n", false, true},
		{"a disk", "23 1 254:0 / / rw - ext4 /dev/root rw\n", false, false},
		{"a tmpfs", "1 1 0:30 / / rw - tmpfs tmpfs rw\n", false, false},
		{"a directory of it", "23 1 0:2 /etc /etc rw - rootfs rootfs rw\n", false, false},
		{"no mount", "", false, false},
	} {
		table, err := mountinfo.GetMountsFromReader(strings.NewReader(tt.table), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := isPlainInitramfs(table); got != tt.plain {
			t.Errorf("%s: isPlainInitramfs() = %v, want %v", tt.name, got, tt.plain)
		}
		if got := hasInitramfs(table); got != tt.hasInitramfs {
			t.Errorf("%s: hasInitramfs() = %v, want %v", tt.name, got, tt.hasInitramfs)
		}
	}
}

// TestMakePivotableInNamespace checks that other roots stay as they are, even if they are a tmpfs
// too.
func TestMakePivotableInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		enterBare(t, dir)
		before, err := readMounts()
		if err != nil || len(before) == 0 {
			t.Fatalf("readMounts() = %v, %v", before, err)
		}
		if err := (MakePivotable{}).Do(); err != nil {
			t.Errorf("MakePivotable.Do() = %v", err)
		}
		after, err := readMounts()
		if err != nil || len(after) != len(before) || after[0].ID != before[0].ID {
			t.Errorf("MakePivotable.Do() changed the mounts: %v, %v", after, err)
		}
	})
}

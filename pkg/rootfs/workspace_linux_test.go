package rootfs

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestWorkspaceSize(t *testing.T) {
	for _, tt := range []struct {
		memory unix.Sysinfo_t
		want   string
	}{
		{unix.Sysinfo_t{Totalram: 512 << 20, Freeram: 480 << 20, Unit: 1}, "262144k"},
		{unix.Sysinfo_t{Totalram: 64 << 10, Freeram: 20 << 10, Unit: 1024}, "12288k"},
		{unix.Sysinfo_t{}, "50%"},
	} {
		if got := workspaceSize(tt.memory); got != tt.want {
			t.Errorf("workspaceSize(%+v) = %s, want %s", tt.memory, got, tt.want)
		}
	}
}

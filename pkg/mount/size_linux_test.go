package mount

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestSized checks the size of a tmpfs that may take a share of the free memory.
func TestSized(t *testing.T) {
	free := unix.Sysinfo_t{Freeram: 1000, Totalram: 4000, Unit: 4096}
	for _, tt := range []struct {
		mount Mount
		info  unix.Sysinfo_t
		want  string
	}{
		{Mount{Data: "mode=1777"}, free, "mode=1777"},
		{Mount{Data: "mode=1777", MemoryPercent: 50}, free, "mode=1777,size=2000k"},
		{Mount{MemoryPercent: 10}, free, "size=400k"},
		{Mount{MemoryPercent: 10}, unix.Sysinfo_t{}, ""}, // unknown
	} {
		if got := tt.mount.sized(tt.info); got != tt.want {
			t.Errorf("%v: options %q, want %q", tt.mount.Describe(), got, tt.want)
		}
	}
}

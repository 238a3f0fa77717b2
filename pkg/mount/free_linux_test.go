package mount

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

// TestFreeMemory unmounts a tmpfs that hides another one, and leaves one that is in use.
func TestFreeMemory(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		do(t, tmpfs("/run", 0, ""), tmpfs("/run", 0, ""), tmpfs("/dev/shm", 0, ""))
		put(t, "/run/hidden", "x")
		put(t, "/dev/shm/used", "x")
		used, err := os.Open("/dev/shm/used")
		if err != nil {
			t.Fatal(err)
		}
		defer used.Close()
		do(t, FreeMemory{Shortage: true}) // there is none
		wantFile(t, "/run/hidden", "x")
		do(t, FreeMemory{})
		if isTmpfs("/run") {
			t.Error("/run is still a tmpfs")
		}
		wantFile(t, "/dev/shm/used", "x")
	})
}

func TestShort(t *testing.T) {
	for _, tt := range []struct {
		free, shared uint64
		want         bool
	}{{50, 300, true}, {50, 200, false}, {100, 300, false}} {
		if got := short(unix.Sysinfo_t{Totalram: 1000, Freeram: tt.free, Sharedram: tt.shared}); got != tt.want {
			t.Errorf("short(%d free, %d shared of 1000) = %v, want %v", tt.free, tt.shared, got, tt.want)
		}
	}
}

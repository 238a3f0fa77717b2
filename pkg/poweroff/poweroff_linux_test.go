package poweroff

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/op"
)

func TestCode(t *testing.T) {
	for code := range 256 {
		if got := Code(unix.WaitStatus(code << 8)); got != code {
			t.Errorf("Code of exit %d = %d", code, got)
		}
	}
	for sig := 1; sig < 65; sig++ {
		for _, core := range []int{0, 0x80} {
			if got := Code(unix.WaitStatus(sig | core)); got != 128+sig {
				t.Errorf("Code of signal %d, core %#x = %d, want %d", sig, core, got, 128+sig)
			}
		}
	}
}

func TestReport(t *testing.T) {
	code := 7
	if err := (Report{Root: "/proc", Code: &code}).Do(); err != nil {
		t.Errorf("a root that is no virtiofs: %v, want nil", err)
	}
	// A first root that is no virtiofs does not count, and one that is can't be had here: see integration/cases.
	fd, err := unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	err = Report{Root: "/no/such", FD: func() (int, bool) { return fd, true }, Code: &code}.Do()
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "report exit code 7: open /no/such: ") {
		t.Errorf("a missing root: %v", err)
	}
}

// In a PID namespace the process goes on, and the machine too.
func TestEndInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		if !inPIDNamespace() {
			t.Fatal("inPIDNamespace() = false, want true")
		}
		arm := func(time.Duration) error { return errors.New("a time was set") }
		for _, op := range []op.Op{CtrlAltDel{}, Deadline{After: time.Hour, Arm: arm}, PowerOff{}} {
			if err := op.Do(); err != nil {
				t.Error(err)
			}
		}
	})
}

package guard

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/krunbox/krunbox/internal/nstest"
)

func TestCheck(t *testing.T) {
	const child = "KRUNBOX_TEST_GUARD"
	if want := os.Getenv(child); want != "" {
		if err := Check(); (err == nil) != (want != "refuse") {
			t.Fatalf("Check() = %v, want %s", err, want)
		}
		if err := CheckBoot(); (err == nil) != (want == "allow") {
			t.Fatalf("CheckBoot() = %v, want %s", err, want)
		}
		return
	}
	nstest.Run(t, func(t *testing.T, dir string) {
		if err := Check(); err != nil {
			t.Errorf("Check() as PID 1 = %v, want nil", err)
		}
		other := nstest.CopySelf(t, dir)
		for want, namespaces := range map[string]uintptr{"refuse": 0, "allow": syscall.CLONE_NEWNS} {
			cmd := exec.Command(other, "-test.run=^TestCheck$")
			cmd.Env = append(os.Environ(), child+"="+want)
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("Check() with new namespaces %#x, want %s: %v\n%s", namespaces, want, err, out)
			}
		}
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestCheck$")
		cmd.Env = append(os.Environ(), child+"=guest")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("checks where PID 1 is the same program: %v\n%s", err, out)
		}
	})
}

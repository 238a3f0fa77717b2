package supervise

import (
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOwnLimits(t *testing.T) {
	for sig, resource := range map[syscall.Signal]int{unix.SIGXFSZ: unix.RLIMIT_FSIZE, unix.SIGXCPU: unix.RLIMIT_CPU} {
		var before unix.Rlimit
		if err := unix.Getrlimit(resource, &before); err != nil {
			t.Fatal(err)
		}
		var own ownLimits
		const start = time.Minute
		if own.exceeded(sig, start) {
			t.Errorf("%v concerns this process, without a limit", sig)
		}
		limit := unix.Rlimit{Cur: 1 << 40, Max: before.Max}
		if err := unix.Setrlimit(resource, &limit); err != nil {
			t.Fatal(err)
		}
		if own.exceeded(unix.SIGUSR1, start) || !own.exceeded(sig, start) {
			t.Errorf("not just %v concerns this process, which has a limit", sig)
		}
		if err := unix.Getrlimit(resource, &limit); err != nil || limit.Cur != unix.RLIM_INFINITY {
			t.Errorf("the limit is %d, %v after %v, want none", limit.Cur, err, sig)
		}
		if !own.exceeded(sig, start+lateSignal-1) {
			t.Errorf("%v does not concern this process, a moment after the limit was removed", sig)
		}
		if own.exceeded(sig, start+lateSignal) {
			t.Errorf("%v concerns this process, long after the limit was removed", sig)
		}
	}
}

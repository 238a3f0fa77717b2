package cases

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/krunbox/krunbox/integration/vm"
	"github.com/krunbox/krunbox/integration/vsock"
)

// clockIsKept checks that the guest's clock follows the datagrams of the host, also after the host
// has slept.
func clockIsKept(t *testing.T) {
	t.Helper()
	h := newHost(t)
	if off := h.ahead(); off.Abs() < time.Second {
		t.Errorf("before the first datagram the clock is off by %v, want at least 1s", off)
	}
	for _, o := range []order{
		{From: hostClock, Count: 1, Length: 8},
		{From: hostClock, Count: 1, Length: vsock.MaxPayload, Sleep: 3 * time.Second},
	} {
		h.order(o)
		var off time.Duration
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
			if off = h.ahead(); off.Abs() <= tolerance {
				break
			}
		}
		if off.Abs() > tolerance {
			t.Errorf("after %+v the clock is %v ahead of the host's clock", o, off)
		}
	}
}

// processes returns the names of all processes, separated by blanks.
func processes(t *testing.T) string {
	t.Helper()
	var s networkState
	s.look(t)
	return strings.Join(s.Processes, " ")
}

var clockInitGuest = inGuest("clock-init", func(t *testing.T) {
	clockIsKept(t)
	if all := processes(t); strings.Contains(all, "timesync") {
		t.Errorf("processes: %s; want no timesync process: init keeps the clock itself", all)
	}
	byHand := execTimesync(t, exec.Command(timesyncBin, "-n"))
	byHand.wantLine("another process keeps the clock; the last datagram came at 20", "offset ", "stepped")
	byHand.wantExit(0)
	asJSON := execTimesync(t, exec.Command(timesyncBin, "-n", "-json"))
	asJSON.wantLine(`{"time": "20`, `"offsetNs": `, `"action": "stepped"}`)
	asJSON.wantExit(0)
	status, err := os.ReadFile("/proc/1/status")
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(status), "RssAnon:")
	// Some 340 kB of it is memory that Go's runtime takes with more threads, as on arm64.
	const limit = 1300 // kB
	if anonymous := kB(t, strings.TrimSpace(strings.SplitN(line, "\n", 2)[0])); anonymous > limit {
		t.Errorf("anonymous memory of PID 1 = %d kB, want at most %d", anonymous, limit)
	}
})

// TestClockOfInit checks that init keeps the clock while its workload runs.
func TestClockOfInit(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		cfg := clockMachine(t, arch, clockInitGuest)
		cfg.Env = nil
		passes(t, cfg)
	})
}

var clockSidecarGuest = inGuest("clock-sidecar", func(t *testing.T) {
	defer reportExitCode(t)
	clockIsKept(t)
	if all := processes(t); !strings.Contains(all, "krun-timesync") {
		t.Errorf("processes: %s; want krun-timesync among them", all)
	}
})

// TestClockSidecar boots a guest whose workload takes init's place, and checks that a separate
// process keeps the clock. The file of init's program no longer exists when that process starts.
func TestClockSidecar(t *testing.T) {
	t.Parallel()
	cfg := clockMachine(t, "amd64", clockSidecarGuest)
	cfg.Env = []string{"KRUN_INIT_PID1=1"}
	passes(t, cfg)
}

var clockStartGuest = inGuest("clock-start", func(t *testing.T) {
	if now := time.Now(); now.Year() == 2020 {
		t.Errorf("the workload started at %v, want the host's time", now)
	}
})

// TestClockAtStart boots a guest whose host sends the time continuously, and checks that the clock
// is correct when the workload starts.
func TestClockAtStart(t *testing.T) {
	t.Parallel()
	cfg := withTimesync(t, "amd64", clockStartGuest)
	cfg.Env = nil
	hostThatSends(t, &cfg)
	passes(t, cfg)
}

// TestClockLeftAlone disables clock synchronization with KRUN_TIMESYNC=0 under the same host, and
// checks that the clock is unchanged.
func TestClockLeftAlone(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", `test "$(date +%Y)" = 2020`)
	cfg.Env = []string{"KRUN_TIMESYNC=0"}
	cfg.Devices = append(cfg.Devices, vm.Device{Args: func([]int) []string {
		return []string{"-rtc", "base=2020-01-01T00:00:00"}
	}})
	hostThatSends(t, &cfg)
	run(t, cfg, 0)
}

// hostThatSends adds a vsock device to the machine, and sends the time to the guest every 20 ms,
// whether or not the guest listens.
func hostThatSends(t *testing.T, cfg *vm.Config) {
	t.Helper()
	d, err := vsock.New(guestCID)
	if err != nil {
		t.Fatal(err)
	}
	d.AddTo(cfg)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			datagram := vsock.Datagram{From: hostClock, To: vsock.Address{CID: guestCID, Port: vsock.ClockPort}, Payload: vsock.Time(time.Now())}
			if d.Send(ctx, datagram) != nil {
				return // the machine has stopped
			}
			time.Sleep(20 * time.Millisecond) // a real host sends at longer intervals
		}
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

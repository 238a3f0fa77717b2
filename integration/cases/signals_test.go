package cases

import (
	"bytes"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/krunbox/krunbox/integration/vm"
)

var signalsGuest = inGuest("signals", func(t *testing.T) {
	for _, sig := range []syscall.Signal{
		syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
		// These terminate a Go program that does not handle them.
		syscall.SIGABRT, syscall.SIGTRAP, syscall.SIGSYS, syscall.SIGSTKFLT,
		syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL,
	} {
		received := make(chan os.Signal, 1)
		signal.Notify(received, sig)
		if err := syscall.Kill(1, sig); err != nil {
			t.Fatal(err)
		}
		select {
		case <-received:
		case <-time.After(30 * time.Second):
			t.Errorf("%v to PID 1 did not reach the workload", sig)
		}
		signal.Stop(received)
	}
})

// TestSignalsReachWorkload sends signals to PID 1 and checks that the workload receives them.
func TestSignalsReachWorkload(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		cfg := withBusybox(t, arch)
		signalsGuest.addTo(t, &cfg)
		wantConsole(t, run(t, cfg, 0), passed)
	})
}

// TestSignalEndsWorkload sends PID 1 a signal for which the workload has no handler, and checks
// that the signal kills the workload.
func TestSignalEndsWorkload(t *testing.T) {
	t.Parallel()
	run(t, script(t, "amd64", "kill -USR1 1; exec sleep 1000"), 128+int(syscall.SIGUSR1))
}

// TestOrphans creates many orphans, and checks that PID 1 reaps all of them.
func TestOrphans(t *testing.T) {
	t.Parallel()
	run(t, script(t, "amd64", `
i=0
while [ $i -lt 500 ]; do
	( exit 1 & ) # its parent ends at once
	i=$((i + 1))
done
while grep -l '^PPid:.1$' $(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null) /dev/null 2>/dev/null; do
	sleep 0.1
done
exit 7
`), 7)
}

// TestDescendantsAtTheEnd boots a guest whose workload exits while other processes hold files open
// and ignore signals. It checks that the guest stops and that no data is lost.
func TestDescendantsAtTheEnd(t *testing.T) {
	t.Parallel()
	var stdout bytes.Buffer
	cfg := script(t, "amd64", `
sh -c 'trap "" HUP INT TERM; exec sleep 1000' &
sh -c 'trap "" HUP INT TERM; while :; do echo more; done' >/file &
while ! [ -s /file ]; do :; done
echo contents >/other
echo last words
exit 9
`)
	cfg.Ports = []vm.Port{{Name: "krun-stdout", Out: &stdout}}
	run(t, cfg, 9)
	if got, want := stdout.String(), "last words\n"; got != want {
		t.Errorf("standard output = %q, want %q", got, want)
	}
	for name, want := range map[string]string{"file": "more\n", "other": "contents\n"} {
		if got, err := os.ReadFile(filepath.Join(cfg.Root, name)); err != nil || !bytes.HasPrefix(got, []byte(want)) {
			t.Errorf("/%s = %.100q, %v, want %q", name, got, err, want)
		}
	}
}

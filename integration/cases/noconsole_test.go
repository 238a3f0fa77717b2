package cases

import (
	"bytes"
	"testing"

	"github.com/krunbox/krunbox/integration/vm"
)

// TestNoConsole boots a machine without a console and with an empty /dev, so that the kernel starts
// init with closed standard descriptors. It checks that the standard streams of the workload are
// /dev/null.
func TestNoConsole(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		cfg := withObserver(t, arch)
		cfg.NoConsole = true
		s := observe(t, cfg)
		s.want(t, "streams", "/dev/null /dev/null /dev/null")
		s.want(t, "fds", "0\n1\n2\n3")
	})
}

// TestNoConsoleButPorts checks that output reaches a port in a machine without a console.
func TestNoConsoleButPorts(t *testing.T) {
	t.Parallel()
	var stdout bytes.Buffer
	cfg := script(t, "amd64", "echo output; exit 4")
	cfg.NoConsole = true
	cfg.Ports = []vm.Port{{Name: "krun-stdout", Out: &stdout}}
	run(t, cfg, 4)
	if got, want := stdout.String(), "output\n"; got != want {
		t.Errorf("standard output = %q, want %q", got, want)
	}
}

// TestFailureWithoutConsole checks the exit code of an error that init cannot print anywhere.
func TestFailureWithoutConsole(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	cfg.NoConsole = true
	cfg.Args = []string{"/no/such"}
	run(t, cfg, 127)
}

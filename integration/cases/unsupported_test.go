package cases

import (
	"strings"
	"testing"
)

// TestUnsupportedRequest sets a parameter that krunbox does not support, and checks that init warns
// and runs the workload.
func TestUnsupportedRequest(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", "echo running; exit 3")
	cfg.Env = []string{"KRUN_NEW=1"}
	warning, found := strings.CutSuffix(console(run(t, cfg, 3)), "running\n")
	if !found {
		t.Error("the output of the workload is missing")
	}
	wantLine(t, warning, "krunbox: warning: ", "KRUN_NEW", "not supported")
}

// TestMalformedParameter sets a numeric parameter to a value that is not a number, and checks that
// init warns and runs the workload.
func TestMalformedParameter(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", "exit 3")
	cfg.Env = []string{"KRUN_DHCP_TIMEOUT_MS=soon"}
	wantConsole(t, run(t, cfg, 3), "krunbox: warning: parameters: KRUN_DHCP_TIMEOUT_MS=soon: invalid value\n")
}

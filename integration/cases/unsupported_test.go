package cases

import (
	"strings"
	"testing"
)

// TestUnsupportedRequest has a host that asks for what krunbox does not do. It is told, and the workload runs.
func TestUnsupportedRequest(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", "echo running; exit 3")
	cfg.Env = []string{"KRUN_NEW=1"}
	warning, found := strings.CutSuffix(console(run(t, cfg, 3)), "running\n")
	if !found {
		t.Error("the workload's line is missing")
	}
	wantLine(t, warning, "krunbox: warning: ", "KRUN_NEW", "not supported")
}

// TestMalformedParameter has a host that gives a number which is none.
func TestMalformedParameter(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", "exit 3")
	cfg.Env = []string{"KRUN_DHCP_TIMEOUT_MS=soon"}
	wantConsole(t, run(t, cfg, 3), "krunbox: warning: parameters: KRUN_DHCP_TIMEOUT_MS=soon: not a value that it can have\n")
}

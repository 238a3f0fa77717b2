package cases

import (
	"strings"
	"testing"
)

// TestUnsupportedRequests has hosts that ask for what krunbox does not do yet. They are told, and the workload runs.
func TestUnsupportedRequests(t *testing.T) {
	for _, request := range []string{"KRUN_NEW=1", "KRUN_BLOCK_ROOT_DEVICE=/dev/vda"} {
		t.Run(request, func(t *testing.T) {
			t.Parallel()
			cfg := script(t, "amd64", "echo running; exit 3")
			cfg.Env = []string{request}
			warning, found := strings.CutSuffix(console(run(t, cfg, 3)), "running\n")
			if !found {
				t.Error("the workload's line is missing")
			}
			wantLine(t, warning, "krunbox: warning: ", strings.TrimSuffix(request, "=1"), "not supported")
		})
	}
}

// TestMalformedParameter has a host that gives a number which is none.
func TestMalformedParameter(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", "exit 3")
	cfg.Env = []string{"KRUN_DHCP_TIMEOUT_MS=soon"}
	wantConsole(t, run(t, cfg, 3), "krunbox: warning: parameters: KRUN_DHCP_TIMEOUT_MS=soon: not a value that it can have\n")
}

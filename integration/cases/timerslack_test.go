package cases

import (
	"errors"
	"testing"

	"github.com/krunbox/krunbox/integration/vm"
)

// TestTimerSlack checks that the workload starts with the kernel's default timer slack, and that the main
// thread and the monitor thread of process 1 have it from then on. Other threads keep that of the binary's
// entry point.
func TestTimerSlack(t *testing.T) {
	const init = `
cd /proc/1/task
for task in $(ls | sort -n); do
	cat /proc/$task/timerslack_ns
done >/tmp/slack
head -n 2 /tmp/slack
grep 10000000 /tmp/slack | uniq`
	for _, tt := range []struct {
		name, arch, env, script, want string
	}{
		{"child", "amd64", "", init, "50000\n50000\n50000\n10000000\n"},
		{"child", "arm64", "", init, "50000\n50000\n50000\n10000000\n"},
		{"PID 1", "amd64", "KRUN_INIT_PID1=1", "", "50000\n"},
		{"PID namespace", "amd64", "KRUN_PID_NAMESPACE=1", "", "50000\n"},
	} {
		t.Run(tt.name+" "+tt.arch, func(t *testing.T) {
			t.Parallel()
			cfg := script(t, tt.arch, "cat /proc/$$/timerslack_ns; "+tt.script)
			if tt.env != "" {
				cfg.Env = append(cfg.Env, tt.env)
			}
			result, err := vm.Run(t.Context(), cfg)
			if err != nil && !errors.Is(err, vm.ErrNoExitCode) { // process 1 reports none if it is the workload
				t.Fatal(err)
			}
			wantConsole(t, result, tt.want)
		})
	}
}

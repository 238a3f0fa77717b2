package cases

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestEverySignalReachesWorkload checks that PID 1 forwards every signal that package os/signal can
// receive, including real-time signals. The exceptions are SIGCHLD, signals that a process causes
// itself (SIGPIPE, SIGTTIN, SIGTTOU), SIGURG, which Go's runtime uses, and the stop requests
// (SIGTERM, SIGINT, SIGPWR).
func TestEverySignalReachesWorkload(t *testing.T) {
	t.Parallel()
	wantConsole(t, run(t, script(t, "amd64", `
for signal in 1 3 4 5 6 7 8 10 11 12 14 16 18 20 24 25 26 28 29 31 $(seq 35 64); do
	received=
	trap 'received=1' $signal
	kill -$signal 1
	while [ -z "$received" ]; do sleep 0.01; done
	trap - $signal
done
exit 3
`), 3), "")
}

// TestSignalGroup checks that a signal reaches a child in the process group of the workload only
// with KRUN_SIGNAL_GROUP=1.
func TestSignalGroup(t *testing.T) {
	for _, tt := range []struct{ env, want string }{
		{"", "workload\n"},
		{"KRUN_SIGNAL_GROUP=1", "child\nworkload\n"},
	} {
		t.Run(tt.env, func(t *testing.T) {
			t.Parallel()
			cfg := script(t, "amd64", `
sh -c 'trap "echo child >>/received; exit" USR1; trap exit USR2; echo >/ready; while :; do :; done' &
trap 'received=1' USR1
while ! [ -s /ready ]; do :; done # without a process that would get the signal too
kill -USR1 1
while [ -z "$received" ]; do :; done
echo workload >>/received
kill -USR2 $! 2>/dev/null # signals of lower number come first
wait $!
sort /received
`)
			if tt.env != "" {
				cfg.Env = []string{tt.env}
			}
			wantConsole(t, run(t, cfg, 0), tt.want)
		})
	}
}

// TestStopRequest sends stop requests (SIGPWR, SIGTERM, SIGINT) to PID 1, with workloads that react
// in different ways.
func TestStopRequest(t *testing.T) {
	const killed = 128 + int(unix.SIGKILL)
	for _, tt := range []struct {
		name, script string
		env          []string
		config       string
		want         int
	}{
		{
			name:   "ends",
			script: `kill -PWR 1; exec sleep 1000`,
			want:   128 + int(unix.SIGTERM),
		},
		{
			name:   "ends when its work is done",
			script: `trap 'sleep 2; exit 5' TERM; kill -PWR 1; while :; do sleep 0.01; done`,
			want:   5,
		},
		{
			name:   "SIGTERM",
			script: `trap 'exit 5' TERM; kill -TERM 1; while :; do sleep 0.01; done`,
			want:   5,
		},
		{
			name:   "SIGINT",
			script: `trap 'exit 5' TERM; trap 'exit 6' INT; kill -INT 1; while :; do sleep 0.01; done`,
			want:   6,
		},
		{
			name:   "SIGTERM is ignored",
			script: `trap '' TERM; kill -TERM 1; exec sleep 1000`,
			env:    []string{"KRUN_STOP_TIMEOUT=1"},
			want:   killed,
		},
		{
			name:   "has no time left",
			script: `trap '' TERM; kill -PWR 1; exec sleep 1000`,
			env:    []string{"KRUN_STOP_TIMEOUT=1"},
			want:   killed,
		},
		{
			name:   "is asked twice",
			script: `trap '' TERM; kill -PWR 1; sleep 1; kill -PWR 1; exec sleep 1000`,
			env:    []string{"KRUN_STOP_TIMEOUT=1000"},
			want:   killed,
		},
		{
			name:   "is stopped",
			script: `trap 'exit 5' TERM; (sleep 1; kill -PWR 1) & kill -STOP $$; while :; do sleep 0.01; done`,
			env:    []string{"KRUN_STOP_TIMEOUT=1000"},
			want:   5,
		},
		{
			name:   "by another signal",
			script: `trap 'exit 5' USR1; trap 'exit 6' TERM; kill -PWR 1; while :; do sleep 0.01; done`,
			config: `{"StopSignal": "SIGUSR1"}`,
			want:   5,
		},
		{
			name:   "by a signal with an offset",
			script: `trap 'exit 5' 37; trap 'exit 6' TERM; kill -PWR 1; while :; do sleep 0.01; done`,
			config: `{"StopSignal": "RTMIN+3"}`,
			want:   5,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := script(t, "amd64", tt.script)
			cfg.Env = tt.env
			if tt.config != "" {
				cfg.GuestConfig = []byte(tt.config)
			}
			wantConsole(t, run(t, cfg, tt.want), "")
		})
	}
}

// TestMalformedStopTimeout sets KRUN_STOP_TIMEOUT to a value that is not a number, and checks the
// warning.
func TestMalformedStopTimeout(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", "exit 3")
	cfg.Env = []string{"KRUN_STOP_TIMEOUT=soon"}
	text := console(run(t, cfg, 3))
	wantLine(t, text, "krunbox: warning: ", "KRUN_STOP_TIMEOUT=soon")
	if strings.Contains(text, "not supported") {
		t.Errorf("text = %q, want the error of the value", text)
	}
}

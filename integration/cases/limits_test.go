package cases

import (
	"testing"
)

// TestLimits checks that resource limits of the configuration and of KRUN_RLIMITS reach the
// workload.
func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		name, config string
		cmdline      string
		want         map[string]string // lines of /proc/PID/limits
	}{
		{
			name:   "configuration",
			config: `{"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615}]}}`,
			want:   map[string]string{"Max open files": "100 200 files", "Max core file size": "0 unlimited bytes"},
		},
		{
			name:   "KRUN_RLIMITS",
			config: `{}`,
			// libkrun writes the value in quotes.
			cmdline: `KRUN_RLIMITS="7=100:200,9:268435456:18446744073709551615,4=4096:8192"`,
			want: map[string]string{
				"Max open files":     "100 200 files",
				"Max address space":  "268435456 unlimited bytes",
				"Max core file size": "4096 8192 bytes",
			},
		},
		{
			name:    "KRUN_RLIMITS wins",
			config:  `{"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_NPROC", "soft": 50, "hard": 60}]}}`,
			cmdline: "KRUN_RLIMITS=7=300:400",
			want:    map[string]string{"Max open files": "300 400 files", "Max processes": "50 60 processes"},
		},
		{
			name: "more than the kernel's default",
			// The workload could not raise these limits itself.
			config: `{"process": {"user": {"uid": 1000, "gid": 1000}, "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 900000, "hard": 900000}, {"type": "RLIMIT_MEMLOCK", "soft": 18446744073709551615, "hard": 18446744073709551615}]}}`,
			want:   map[string]string{"Max open files": "900000 900000 files", "Max locked memory": "unlimited unlimited bytes"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := withObserver(t, "amd64")
			cfg.GuestConfig, cfg.KernelArgs = []byte(tt.config), tt.cmdline
			s := observe(t, cfg)
			for name, want := range tt.want {
				s.wantField(t, "limits", name, want)
			}
		})
	}
}

// TestLimitTooHigh requests a limit that the kernel refuses, and checks that init runs no workload
// and prints an error.
func TestLimitTooHigh(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	cfg.Env = []string{"KRUN_RLIMITS=7=100:10000000000"}
	cfg.Args = []string{"echo", "running"}
	wantLine(t, console(run(t, cfg, 125)), "krunbox: ", "RLIMIT_NOFILE=100:10000000000", "operation not permitted")
}

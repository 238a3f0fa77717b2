package cases

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/network"
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
		{
			name:   "above fs.nr_open",
			config: `{"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 2000000, "hard": 2000000}]}}`,
			want:   map[string]string{"Max open files": "2000000 2000000 files"},
		},
		{
			name:    "unlimited",
			config:  `{"linux": {"sysctl": {"fs.nr_open": "300000"}}}`,
			cmdline: "KRUN_RLIMITS=7=18446744073709551615:18446744073709551615",
			want:    map[string]string{"Max open files": "2147483584 2147483584 files"}, // the most that the kernel grants
		},
		{
			name:   "default above fs.nr_open",
			config: `{"linux": {"sysctl": {"fs.nr_open": "300000"}}}`,
			want:   map[string]string{"Max open files": "65536 300000 files"},
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

// TestLimitTooHigh requests a limit that the kernel refuses, because fs.nr_open cannot be raised, and
// checks that init runs no workload and prints an error.
func TestLimitTooHigh(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	cfg.Env = []string{"KRUN_RLIMITS=7=100:10000000"}
	cfg.Args = []string{"echo", "running"}
	cfg.GuestConfig = []byte(`{"mounts": [{"destination": "/proc/sys", "type": "bind", "source": "/proc/sys", "options": ["ro"]}]}`)
	warning, reason, _ := strings.Cut(console(run(t, cfg, 125)), "\n")
	wantLine(t, warning+"\n", "krunbox: warning: ", "fs.nr_open", "read-only")
	wantLine(t, reason, "krunbox: ", "RLIMIT_NOFILE=100:10000000", "operation not permitted")
}

// lowerLimitsGuest lowers limits of process 1, which a renewed lease then has write a file.
var lowerLimitsGuest = inGuest("lower limits", func(t *testing.T) {
	lower := func(resource int) {
		if err := unix.Prlimit(1, resource, &unix.Rlimit{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	lower(unix.RLIMIT_FSIZE)
	lower(unix.RLIMIT_SIGPENDING)
	var limit unix.Rlimit
	for deadline := time.Now().Add(time.Minute); limit.Cur == 0; time.Sleep(10 * time.Millisecond) {
		if err := unix.Prlimit(1, unix.RLIMIT_FSIZE, nil, &limit); err != nil || time.Now().After(deadline) {
			t.Fatalf("process 1 has the limit %d, %v, of a file's size, want that it removes it when it writes one", limit.Cur, err)
		}
	}
	lower(unix.RLIMIT_NOFILE)
})

// TestLimitsOfInit checks that the workload goes on, and the machine ends as always, if the workload
// has taken all descriptors and more from process 1. The kernel's SIGXFSZ for process 1 is not for
// the workload.
func TestLimitsOfInit(t *testing.T) {
	t.Parallel()
	s := scripted(t, network.SegmentOptions{}, func(s *network.Segment, m message) []network.Reply {
		return replies(s, grant(m, dhcpv4.WithLeaseTime(4), dhcpv4.WithDNS(net.IPv4(192, 0, 2, byte(100+m.n)))))
	})
	cfg := withBusybox(t, "amd64")
	lowerLimitsGuest.addTo(t, &cfg)
	s.AddTo(&cfg)
	cfg.Env = []string{"KRUN_DHCP=1", "KRUN_DHCP_TIMEOUT_MS=20000"}
	// The file that could not be written may be this one, or one that nobody misses.
	const warning = "krunbox: warning: network: write /etc/resolv.conf: write /dev/.resolv.conf: file too large\n"
	if got := strings.TrimPrefix(console(run(t, cfg, 0)), warning); got != passed {
		t.Errorf("console = %q, want %q", got, passed)
	}
}

// lowLimitsGuest takes all descriptors from process 1 as long as it lives.
var lowLimitsGuest = inGuest("low-limits", func(t *testing.T) {
	for first := true; ; first = false {
		if err := unix.Prlimit(1, unix.RLIMIT_NOFILE, &unix.Rlimit{}, nil); err != nil {
			t.Fatal(err)
		}
		if first {
			if err := os.WriteFile("/tmp/low", nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
})

// TestLimitsLoweredAtEnd leaves a process behind that lowers a limit of process 1 again and again. When it
// has been killed, the rest of the end has descriptors again.
func TestLimitsLoweredAtEnd(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", `trap "" HUP; `+lowLimitsGuest.path()+" & until [ -e /tmp/low ]; do :; done; exit 6")
	args := cfg.Args
	lowLimitsGuest.addTo(t, &cfg)
	cfg.Args = args
	cfg.CPUs = 2
	for line := range strings.Lines(console(run(t, cfg, 6))) {
		if strings.Contains(line, "unmount: ") || strings.Contains(line, "final exit code: ") {
			t.Errorf("init prints %q", line)
		}
	}
}

// TestOvercommitmentAtEnd forbids overcommitment of memory, and leaves a process behind that waits
// until process 1, which needs memory for the end, allows it again.
func TestOvercommitmentAtEnd(t *testing.T) {
	t.Parallel()
	result := run(t, script(t, "amd64", `
( trap "" TERM HUP
  until read mode </proc/sys/vm/overcommit_memory; [ "$mode" = 1 ]; do :; done
  echo allowed >/dev/console ) &
echo 1 >/proc/sys/vm/overcommit_ratio
echo 2 >/proc/sys/vm/overcommit_memory
exit 7
`), 7)
	wantConsole(t, result, "allowed\n")
}

// strictGuest forbids overcommitment of memory, has processes of another user take all memory that may
// be committed, and waits until process 1 has renewed a lease, for which it needs some.
var strictGuest = inGuest("strict", func(t *testing.T) {
	if err := unix.Mkfifo("/tmp/fifo", 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/proc/sys/vm/overcommit_memory", []byte("2"), 0); err != nil {
		t.Fatal(err)
	}
	for kib := 16 << 10; kib >= 64; {
		if !commit(t, kib) {
			kib /= 2
		}
	}
	until := func(server string) {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			text, err := os.ReadFile("/etc/resolv.conf")
			if strings.Contains(string(text), server) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("resolv.conf = %q, %v, want %s in it", text, err, server)
			}
		}
	}
	until("192.0.2.102")
	until("192.0.2.103")
})

// commit starts a program of another user that commits that many KiB of memory and waits. It returns
// false if the program gets no memory.
func commit(t *testing.T, kib int) bool {
	t.Helper()
	dd := exec.Command("/bin/dd", "if=/tmp/fifo", "of=/dev/null", fmt.Sprintf("bs=%dk", kib))
	dd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	if err := dd.Start(); err != nil {
		return false
	}
	ended := make(chan error, 1)
	go func() { ended <- dd.Wait() }()
	for {
		select {
		case <-ended:
			return false
		case <-time.After(time.Millisecond):
		}
		// It opens the pipe, and waits for the other end, when it has its buffer.
		wait, err := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", dd.Process.Pid))
		if err == nil && string(wait) == "wait_for_partner" {
			return true
		}
	}
}

// TestStrictOvercommitment checks that process 1 works where another user's process has committed all
// memory.
func TestStrictOvercommitment(t *testing.T) {
	t.Parallel()
	s := scripted(t, network.SegmentOptions{}, func(s *network.Segment, m message) []network.Reply {
		return replies(s, grant(m, dhcpv4.WithLeaseTime(4), dhcpv4.WithDNS(net.IPv4(192, 0, 2, byte(100+m.n)))))
	})
	cfg := withBusybox(t, "amd64")
	strictGuest.addTo(t, &cfg)
	s.AddTo(&cfg)
	cfg.Env = []string{"KRUN_DHCP=1", "KRUN_DHCP_TIMEOUT_MS=20000"}
	wantConsole(t, run(t, cfg, 0), passed)
}

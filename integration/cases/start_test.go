package cases

import (
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/vm"
)

// TestStateAtStart checks the state in which a workload starts without any configuration.
func TestStateAtStart(t *testing.T) {
	t.Parallel()
	s := observe(t, withObserver(t, "amd64"))
	s.wantArgs(t)
	s.wantEnv(t, "HOME=/root", "TERM=linux")
	s.want(t, "dir", "/")
	s.want(t, "hostname", "localhost")
	s.want(t, "umask", "0022")
	s.want(t, "id", "uid=0(root) gid=0(root)")
	s.want(t, "streams", "/dev/hvc0 /dev/hvc0 /dev/hvc0")
	s.want(t, "fds", "0\n1\n2\n3") // 3 is the directory that ls reads
	for _, name := range []string{"SigBlk", "SigIgn", "SigPnd", "ShdPnd"} {
		s.wantField(t, "status", name, "0000000000000000")
	}
	s.wantField(t, "status", "NoNewPrivs", "0")
	s.wantField(t, "status", "CapEff", s.field(t, "init-status", "CapEff"))
	if soft, hard, _ := strings.Cut(s.field(t, "limits", "Max open files"), " "); !above(soft, 1024) || !above(hard, 1024) {
		t.Errorf("limits of open files = %s, %s, want more than 1024", soft, hard)
	}

	// The fields after the name are state, parent, process group, session, terminal, and foreground
	// group of the terminal, see proc_pid_stat(5).
	pid, rest, _ := strings.Cut(s["stat"], " (observer) ")
	got := strings.Fields(rest)[1:6]
	const hvc0 = 229 << 8 // device number of the console behind /dev/console
	if want := []string{"1", pid, pid, strconv.Itoa(hvc0), pid}; strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("parent, process group, session, terminal, foreground group = %s, want %s", got, want)
	}
}

// above reports whether text starts with a number above limit.
func above(text string, limit int) bool {
	number, _, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(number)
	return err == nil && n > limit
}

// TestNoTerminalOnPorts checks that a workload whose standard streams are ports has no controlling
// terminal, although the machine has a console.
func TestNoTerminalOnPorts(t *testing.T) {
	t.Parallel()
	cfg := withObserver(t, "amd64")
	cfg.Ports = []vm.Port{
		{Name: "krun-stdin", In: strings.NewReader("")}, {Name: "krun-stdout", Out: io.Discard}, {Name: "krun-stderr", Out: io.Discard},
	}
	s := observe(t, cfg)
	if strings.Count(" "+s["streams"], " pipe:[") != 3 {
		t.Errorf("streams = %s, want three pipes", s["streams"])
	}
	s.want(t, "fds", "0\n1\n2\n3")
	pid, rest, _ := strings.Cut(s["stat"], " (observer) ")
	got := strings.Fields(rest)[1:6]
	if want := []string{"1", pid, pid, "0", "-1"}; strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("parent, process group, session, terminal, foreground group = %s, want %s", got, want)
	}
}

// TestMemoryOfInit checks the memory use of PID 1 while the workload runs.
func TestMemoryOfInit(t *testing.T) {
	t.Parallel()
	const limit = 1100 // kB
	s := observe(t, withObserver(t, "amd64"))
	if got := s.field(t, "init-status", "RssAnon"); above(got, limit) {
		t.Errorf("anonymous memory of PID 1 = %s, want at most %d kB", got, limit)
	}
}

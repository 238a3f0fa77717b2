package cases

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/vm"
)

// portsOf returns ports for all standard streams. Standard input has the given text, and ends.
func portsOf(input string) (ports []vm.Port, stdout, stderr *bytes.Buffer) {
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	return []vm.Port{
		{Name: "krun-stdin", In: strings.NewReader(input)},
		{Name: "krun-stdout", Out: stdout},
		{Name: "krun-stderr", Out: stderr},
	}, stdout, stderr
}

// pipesGuest checks what a workload can do with standard streams that are ports on the host.
var pipesGuest = inGuest("pipes", func(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 10000)
	if n, err := unix.Write(unix.Stderr, data); n != len(data) || err != nil {
		t.Errorf("write of %d bytes = %d, %v, want all", len(data), n, err)
	}
	for fd := range 3 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Mode != unix.S_IFIFO|0o600 ||
			st.Uid != uint32(os.Getuid()) || st.Gid != uint32(os.Getgid()) {
			t.Errorf("descriptor %d: mode %#o, owner %d:%d, %v, want this process's pipe",
				fd, st.Mode, st.Uid, st.Gid, err)
		}
	}
	input := []unix.PollFd{{Fd: 0, Events: unix.POLLIN}}
	if n, err := unix.Poll(input, 100); n != 0 || err != nil {
		t.Errorf("poll of an input without data = %d, %v, want no event", n, err)
	}
	// The host answers to the data. Then it leaves its end open, and a thread reads.
	fmt.Println("question")
	answer := make([]byte, 100)
	if n, err := unix.Read(0, answer); string(answer[:n]) != "answer\n" {
		t.Errorf("input = %q, %v, want the answer", answer[:n], err)
	}
	go unix.Read(0, answer)
	time.Sleep(50 * time.Millisecond)
})

// TestPipes checks that the workload's standard streams are pipes of its user, which take large
// writes whole, and that a thread that reads does not keep the workload from ending.
func TestPipes(t *testing.T) {
	t.Parallel()
	for _, uid := range []int{0, 1000} {
		t.Run(fmt.Sprint("uid ", uid), func(t *testing.T) {
			t.Parallel()
			cfg := withBusybox(t, "amd64")
			pipesGuest.addTo(t, &cfg)
			cfg.Args = nil
			cfg.GuestConfig = fmt.Appendf(nil, `{"process": {"args": [%q], "user": {"uid": %d, "gid": %[2]d}}}`,
				pipesGuest.path(), uid)
			var stdout, stderr bytes.Buffer
			in, answer := io.Pipe()
			defer answer.Close()
			asked := when{"question", func() { go io.WriteString(answer, "answer\n") }, new(strings.Builder)}
			cfg.Ports = []vm.Port{
				{Name: "krun-stdin", In: in},
				{Name: "krun-stdout", Out: io.MultiWriter(&stdout, asked)},
				{Name: "krun-stderr", Out: &stderr},
			}
			wantConsole(t, run(t, cfg, 0), "")
			if got, want := stdout.String(), "question\n"+passed; got != want || stderr.Len() != 100000 {
				t.Errorf("output = %q, and %d bytes of diagnostics, want %q, 100000", got, stderr.Len(), want)
			}
		})
	}
}

// openAgainScript opens standard streams by the names that they have in /dev and /proc.
const openAgainScript = `
cat </dev/stdin
echo one >/dev/stdout
echo two >>/proc/self/fd/1
echo three | tee /dev/stderr
echo four >/dev/stderr
echo five >&2
exit 4
`

// TestOpenStreamsAgain opens the standard streams by name, as root, as another user, and as process
// 1.
func TestOpenStreamsAgain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		user string
		env  []string
	}{
		{"root", "", nil},
		{"user", `, "user": {"uid": 1000, "gid": 1000}`, nil},
		{"process 1", "", []string{"KRUN_INIT_PID1=1"}},
		{"user as process 1", `, "user": {"uid": 1000, "gid": 1000}`, []string{"KRUN_INIT_PID1=1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := script(t, "amd64", openAgainScript)
			cfg.Args, cfg.Env = nil, tt.env
			cfg.GuestConfig = []byte(`{"process": {"args": ["` + scriptPath + `"]` + tt.user + `}}`)
			var stdout, stderr *bytes.Buffer
			cfg.Ports, stdout, stderr = portsOf("zero\n")
			result, err := vm.Run(t.Context(), cfg)
			// A workload that is process 1 has no way to report its exit code.
			if tt.env == nil && (err != nil || result.ExitCode != 4) {
				t.Errorf("exit code %d, %v, want 4", result.ExitCode, err)
			}
			if got, want := stdout.String(), "zero\none\ntwo\nthree\n"; got != want {
				t.Errorf("standard output = %q, want %q", got, want)
			}
			if got, want := stderr.String(), "three\nfour\nfive\n"; got != want {
				t.Errorf("standard error = %q, want %q", got, want)
			}
			wantConsole(t, result, "")
		})
	}
}

// randomBytes returns n bytes.
func randomBytes(n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(data)
	return data
}

// TestMuchInputAndOutput moves much data in both directions. The device of libkrun has no indirect
// descriptors. Output is with the host before it gets the exit code.
func TestMuchInputAndOutput(t *testing.T) {
	t.Parallel()
	for _, indirect := range []string{"on", "off"} {
		t.Run("indirect descriptors "+indirect, func(t *testing.T) {
			t.Parallel()
			input, output := randomBytes(50_000_000), randomBytes(10_000_000)
			cfg := script(t, "amd64", "sha256sum; cat /output; exit 3")
			if err := os.WriteFile(cfg.Root+"/output", output, 0o644); err != nil {
				t.Fatal(err)
			}
			cfg.Devices = []vm.Device{{Args: func([]int) []string {
				return []string{"-global", "virtio-serial-device.indirect_desc=" + indirect}
			}}}
			want := fmt.Appendf(nil, "%x  -\n", sha256.Sum256(input))
			want = append(want, output...)
			received := &countingWriter{}
			var before int
			cfg.OnExitCode = func(int) { before = received.wait(len(want)) }
			cfg.Ports = []vm.Port{
				{Name: "krun-stdin", In: bytes.NewReader(input)},
				{Name: "krun-stdout", Out: received},
			}
			cfg.Deadline = 3 * time.Minute
			run(t, cfg, 3)
			if !bytes.Equal(received.data, want) {
				t.Errorf("output of %d bytes, that begins with %.100q, want %d bytes, %.100q",
					len(received.data), received.data, len(want), want)
			}
			if before != len(want) {
				t.Errorf("%d bytes before the exit code, want %d", before, len(want))
			}
		})
	}
}

// countingWriter keeps what is written to it.
type countingWriter struct {
	mu   sync.Mutex
	data []byte
}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.data = append(w.data, p...)
	return len(p), nil
}

// wait waits until n bytes are written, for at most 20 seconds, and returns how many are.
func (w *countingWriter) wait(n int) int {
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		length := len(w.data)
		w.mu.Unlock()
		if length >= n || time.Since(start) > 20*time.Second {
			return length
		}
	}
}

// cpuOfInit is a function of shell scripts. It prints the processor time that process 1 has taken,
// in seconds.
const cpuOfInit = `
cpuOfInit() { awk '{print int(($14 + $15) / 100)}' /proc/1/stat; }
`

// TestHostClosesPorts closes ports while the workload writes and reads.
func TestHostClosesPorts(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", cpuOfInit+`
exec 3>/dev/console
before=$(cpuOfInit)
yes
echo "status $?" >&3
cat
sleep 2
test $(cpuOfInit) -le $((before + 1)) && echo idle >&3
(trap 'echo stopped >&2; exit' TERM; echo started >&2; sleep 100 & wait) &
sleep 0.3
exit 6
`)
	var stderr bytes.Buffer
	cfg.Ports = []vm.Port{
		{Name: "krun-stdin", In: strings.NewReader("")},
		{Name: "krun-stdout", Out: closingWriter{}},
		{Name: "krun-stderr", Out: &stderr},
	}
	wantConsole(t, run(t, cfg, 6), "status 141\nidle\n") // 128 + SIGPIPE
	// A process that the workload left behind can write until it has ended.
	if got, want := stderr.String(), "started\nstopped\n"; got != want {
		t.Errorf("standard error = %q, want %q", got, want)
	}
}

// closingWriter closes its port at the first write.
type closingWriter struct{}

func (closingWriter) Write([]byte) (int, error) { return 0, vm.ErrClosePort }

// TestPortsThatNobodyReads fills one port and writes to another that the host has not connected:
// process 1 handles signals, and takes no processor time.
func TestPortsThatNobodyReads(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", cpuOfInit+`
exec 3>/dev/console
trap '' HUP
yes &
yes >&2 &
sleep 3
before=$(cpuOfInit)
sleep 2
test $(cpuOfInit) -le $((before + 1)) && echo idle >&3
trap 'echo stopped >&3; (sleep 1; kill -INT 1) & exit 5' TERM
kill -TERM 1
while :; do sleep 0.1; done
`)
	cfg.Ports = []vm.Port{
		{Name: "krun-stdout", Unread: true},
		{Name: "krun-stderr", Unconnected: true},
	}
	result := run(t, cfg, 5)
	text := console(result)
	rest, ok := strings.CutPrefix(text, "idle\nstopped\n")
	if !ok {
		t.Errorf("console = %q, want idle, stopped", text)
	}
	wantLine(t, strings.SplitAfter(rest, "\n")[0], "krunbox: warning: output: ", "host has not taken")
}

// TestLastOutputOfPID1 checks that nothing of what a workload writes is lost that is process 1 of a
// machine with several processors. The machine ends with it.
func TestLastOutputOfPID1(t *testing.T) {
	t.Parallel()
	for i := range 3 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			cfg := script(t, "amd64", "seq 2000; echo error >&2; exec seq 2001 3000\n")
			cfg.CPUs, cfg.Env = 2, []string{"KRUN_INIT_PID1=1"}
			var stdout, stderr *bytes.Buffer
			cfg.Ports, stdout, stderr = portsOf("")
			if _, err := vm.Run(t.Context(), cfg); err != nil && !errors.Is(err, vm.ErrNoExitCode) {
				t.Fatal(err)
			}
			lines := strings.Fields(stdout.String())
			if len(lines) != 3000 || lines[2999] != "3000" || stderr.String() != "error\n" {
				t.Errorf("%d lines of 3000, and %q", len(lines), stderr.String())
			}
		})
	}
}

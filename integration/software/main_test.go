package software

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/krunbox/krunbox/integration/network"
	"github.com/krunbox/krunbox/integration/vm"
)

// deadline is the maximum duration of a guest. It is long, because a busy host emulates slowly.
const deadline = 3 * time.Minute

// An image is the configuration of a container image, and what a user adds to it to run it.
type image struct {
	Entrypoint, Cmd, Env         []string
	User, WorkingDir, StopSignal string

	Hostname string        `json:"hostname,omitempty"`
	Mounts   []specs.Mount `json:"mounts,omitempty"`
	Linux    *specs.Linux  `json:"linux,omitempty"`
}

// machine returns a machine that runs the image in the root r, whose changes are in an overlay.
func (r root) machine(t *testing.T, i image) vm.Config {
	t.Helper()
	path, err := r.build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	init := "../../build/init.krun"
	if _, err := os.Stat(init); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	config, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	return vm.Config{
		Init:        init,
		InitOneShot: true,
		Root:        path,
		ReadOnly:    true,
		GuestConfig: config,
		Env:         []string{"KRUN_ROOT_OVERLAY=tmpfs"},
		MemMiB:      1024,
		Deadline:    deadline,
	}
}

// A guest is a machine that runs.
type guest struct {
	t       *testing.T
	network *network.Network // nil without network

	// The host's ends of the standard streams and of the console.
	stdin          *io.PipeWriter // the keyboard, if the console is the terminal of the user
	stdout, stderr *output
	console        *output

	done   chan struct{} // closed when the machine has stopped
	result vm.Result
	err    error
}

// start boots a machine whose standard streams are ports.
func start(t *testing.T, cfg vm.Config) *guest {
	t.Helper()
	g := &guest{t: t, stdout: newOutput(), stderr: newOutput()}
	stdin, w := io.Pipe()
	g.stdin = w
	cfg.Ports = append(cfg.Ports,
		vm.Port{Name: "krun-stdin", In: stdin},
		vm.Port{Name: "krun-stdout", Out: g.stdout},
		vm.Port{Name: "krun-stderr", Out: g.stderr},
	)
	g.boot(cfg)
	return g
}

// startServer is start for a machine with a network. See guest.dial.
func startServer(t *testing.T, cfg vm.Config) *guest {
	t.Helper()
	return startOn(t, newNetwork(t), cfg)
}

// newNetwork returns a network for one machine.
func newNetwork(t *testing.T) *network.Network {
	t.Helper()
	n, err := network.Gvisor(network.Options{}, network.Lease{
		Address: netip.MustParsePrefix("192.168.127.2/24"),
		Routers: []netip.Addr{netip.MustParseAddr("192.168.127.1")},
		MTU:     1500,
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// startOn is start for a machine on a network.
func startOn(t *testing.T, n *network.Network, cfg vm.Config) *guest {
	t.Helper()
	n.AddTo(&cfg)
	cfg.Env = append(slices.Clip(cfg.Env), "KRUN_DHCP=1", "KRUN_DHCP_TIMEOUT_MS=10000")
	g := start(t, cfg)
	g.network = n
	return g
}

// boot runs the machine until it stops, at the latest at the end of the test.
func (g *guest) boot(cfg vm.Config) {
	g.console = newOutput()
	cfg.Console = g.console
	g.done = make(chan struct{})
	go func() {
		defer close(g.done)
		g.result, g.err = vm.Run(g.t.Context(), cfg)
		for _, o := range []*output{g.stdout, g.stderr, g.console} {
			o.close()
		}
	}()
	g.t.Cleanup(func() { // the context of the test has ended
		<-g.done
		if g.t.Failed() {
			g.t.Logf("exit codes %d, %v", g.result.ExitCodes, g.err)
			for name, o := range map[string]*output{"stdout": g.stdout, "stderr": g.stderr, "console": g.console} {
				text := o.String()
				g.t.Logf("%s:\n%s", name, text[max(0, len(text)-4000):])
			}
		}
	})
}

// wantExit waits until the machine has stopped and checks the exit code.
func (g *guest) wantExit(code int) {
	g.t.Helper()
	<-g.done
	if g.err != nil {
		g.t.Fatal(g.err)
	}
	if g.result.ExitCode != code {
		g.t.Fatalf("exit codes = %d, want %d", g.result.ExitCodes, code)
	}
}

// dial connects to a TCP port of the guest. It waits until the guest listens.
func (g *guest) dial(ctx context.Context, port uint16) (net.Conn, error) {
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		conn, err := g.network.Dial(attempt, port)
		cancel()
		if err == nil {
			return conn, nil
		}
		select {
		case <-g.done:
			return nil, errors.New("the guest has stopped")
		case <-ctx.Done():
			return nil, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// forward returns host and port of a TCP server on this machine that forwards connections to a port
// of the guest.
func (g *guest) forward(port uint16) (string, string) {
	g.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed
			}
			go g.join(client, port)
		}
	}()
	host, number, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		g.t.Fatal(err)
	}
	return host, number
}

// join copies between client and a port of the guest until both have sent all.
func (g *guest) join(client net.Conn, port uint16) {
	defer client.Close()
	server, err := g.dial(g.t.Context(), port)
	if err != nil {
		return
	}
	defer server.Close()
	var copies sync.WaitGroup
	for from, to := range map[net.Conn]net.Conn{client: server, server: client} {
		copies.Go(func() {
			io.Copy(to, from)
			to.(interface{ CloseWrite() error }).CloseWrite()
		})
	}
	copies.Wait()
}

// command returns a command that runs a program of the root on this machine, with the root's
// libraries. The program must not need other files of the root.
func (r root) command(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := r.build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	loaders, err := filepath.Glob(path + "/usr/lib/*-linux-gnu/ld-linux-*")
	if err != nil || len(loaders) != 1 {
		t.Fatalf("loaders of programs = %q, %v, want one", loaders, err)
	}
	args = append([]string{"--library-path", filepath.Dir(loaders[0]), filepath.Join(path, program)}, args...)
	return exec.CommandContext(t.Context(), loaders[0], args...)
}

// client returns an HTTP client of the server on a port of the guest, for URLs with any host.
func (g *guest) client(port uint16) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return g.dial(ctx, port)
		},
	}}
}

// get requests a path from the HTTP server on a port of the guest, and returns status and body.
func (g *guest) get(port uint16, path string) (int, string) {
	g.t.Helper()
	request, err := http.NewRequestWithContext(g.t.Context(), "GET", "http://guest"+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	response, err := g.client(port).Do(request)
	if err != nil {
		g.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// An output is what the guest has written to a stream.
type output struct {
	mu      sync.Mutex
	changed sync.Cond
	text    bytes.Buffer
	seen    int // how much wait has consumed
	closed  bool
}

func newOutput() *output {
	o := &output{}
	o.changed.L = &o.mu
	return o
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.changed.Broadcast()
	return o.text.Write(p)
}

func (o *output) close() {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.changed.Broadcast()
}

func (o *output) String() string {
	if o == nil {
		return ""
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// wait waits until the guest has written text, after what the last wait has found. It returns what
// comes before text. It fails the test if the guest stops before.
func (o *output) wait(t *testing.T, text string) string {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		rest := o.text.Bytes()[o.seen:]
		if before, _, found := bytes.Cut(rest, []byte(text)); found {
			o.seen += len(before) + len(text)
			return string(before)
		}
		if o.closed {
			t.Fatalf("output = %q, want %q in it", rest, text)
		}
		o.changed.Wait()
	}
}

// withControl returns i with an entry point that runs a shell besides the workload, as "docker
// exec" does: as root. It reads its commands from the guest's standard input; the workload's is empty.
func (i image) withControl() image {
	i.Entrypoint = slices.Concat([]string{"/usr/bin/control"}, i.Entrypoint)
	return i
}

// exec executes a command in a shell; see withControl.
func (g *guest) exec(format string, args ...any) {
	g.t.Helper()
	if _, err := fmt.Fprintf(g.stdin, format+"\n", args...); err != nil {
		g.t.Fatal(err)
	}
}

// wantLines checks that text has lines that contain these strings, in any order.
func wantLines(t *testing.T, text string, want ...string) {
	t.Helper()
	lines := slices.Collect(strings.Lines(text))
	for _, w := range want {
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, w) }) {
			t.Errorf("output = %q, want a line with %q", text, w)
		}
	}
}

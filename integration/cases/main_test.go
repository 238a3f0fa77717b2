package cases

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/krunbox/krunbox/integration/guestroot"
	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/vm"
)

// guestDir is the directory of the test binary in the guest. The name of the file selects the guest
// half to run, because arguments and environment belong to the cases.
const guestDir = "/guest/"

// TestMain runs a guest half if the binary is below guestDir, and the tests otherwise.
func TestMain(m *testing.M) {
	if name, ok := strings.CutPrefix(os.Args[0], guestDir); ok {
		runGuest(name)
	}
	code := m.Run()
	os.RemoveAll(guestPrograms.dir)
	os.Exit(code)
}

// A guest is the guest half of a case: a test that runs in the guest, as its workload.
type guest struct {
	name string
	test func(*testing.T)
}

// guests lists all guest halves. inGuest adds to it while package variables are initialized.
var guests []guest

// passed is the output of a guest half that passes.
const passed = "PASS\n"

// inGuest registers a guest half:
//
//	var overlayGuest = inGuest("overlay", func(t *testing.T) { ... })
//
// If the test passes, the program prints passed to its standard output and exits with code 0.
// Otherwise it prints the errors and exits with code 1. os.Args has its arguments.
func inGuest(name string, test func(*testing.T)) guest {
	g := guest{name, test}
	guests = append(guests, g)
	return g
}

// path returns the path of the guest half in the guest.
func (g guest) path() string { return guestDir + g.name }

// addTo adds the guest half to a machine, as a virtual file that can be looked up any number of
// times, and makes it the workload.
func (g guest) addTo(t *testing.T, cfg *vm.Config, args ...string) {
	t.Helper()
	cfg.Files = append(cfg.Files, hostfs.File{Path: g.path(), Source: guestPrograms.build(t, cfg.Arch), Mode: 0o755})
	cfg.Args = append([]string{g.path()}, args...)
}

// runGuest runs a guest half, in the guest, and exits.
func runGuest(name string) {
	i := slices.IndexFunc(guests, func(g guest) bool { return g.name == name })
	if i < 0 {
		fmt.Fprintln(os.Stderr, "unknown guest half:", name)
		os.Exit(2)
	}
	flag.CommandLine.Parse(nil) // package testing must not parse the arguments
	all := func(_, _ string) (bool, error) { return true, nil }
	testing.Main(all, []testing.InternalTest{{Name: name, F: guests[i].test}}, nil, nil)
}

// guestPrograms builds this package's test binary for guests.
var guestPrograms programs

type programs struct {
	mu  sync.Mutex
	dir string
}

// build returns the path of the binary for arch. The first call for an architecture builds it with
// the go command, as a static binary. The binary of the host need not be static, nor of the same
// architecture.
func (p *programs) build(t *testing.T, arch string) string {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dir == "" {
		dir, err := os.MkdirTemp("", "krunbox-cases-")
		if err != nil {
			t.Fatal(err)
		}
		p.dir = dir
	}
	path := filepath.Join(p.dir, arch)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-trimpath", "-ldflags=-s -w", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the guest's test binary: %v\n%s", err, output)
	}
	return path
}

// product returns the path of krunbox for arch, as make build creates it.
func product(t *testing.T, arch string) string {
	t.Helper()
	path, command := "../../build/init.krun", "make build"
	if arch != runtime.GOARCH {
		path, command = "../../build/"+arch+"/init.krun", command+" GOARCH="+arch
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run %s first", err, command)
	}
	return path
}

// eachArch runs a test for each architecture of guests, as parallel subtests.
func eachArch(t *testing.T, test func(t *testing.T, arch string)) {
	t.Parallel()
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			test(t, arch)
		})
	}
}

// machine returns the configuration of a machine with krunbox as its init. As in a libkrun guest,
// the program of init disappears after its first lookup. The root is empty.
func machine(t *testing.T, arch string) vm.Config {
	t.Helper()
	return vm.Config{Arch: arch, Init: product(t, arch), InitOneShot: true}
}

// withBusybox returns a machine whose root is a new directory with busybox.
func withBusybox(t *testing.T, arch string) vm.Config {
	t.Helper()
	cfg := machine(t, arch)
	cfg.Root = t.TempDir()
	if err := guestroot.Create(t.Context(), arch, cfg.Root); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// scriptPath is the path of the script in the guest.
const scriptPath = "/script"

// script returns withBusybox with a shell script as its workload.
func script(t *testing.T, arch, text string) vm.Config {
	t.Helper()
	cfg := withBusybox(t, arch)
	cfg.Files = []hostfs.File{{Path: scriptPath, Data: []byte("#!/bin/sh\n" + text), Mode: 0o755}}
	cfg.Args = []string{scriptPath}
	return cfg
}

// run boots a machine and waits until it stops. It fails the test unless the host received the exit
// code want, and no other. Where processes were left behind it comes twice.
func run(t *testing.T, cfg vm.Config, want int) vm.Result {
	t.Helper()
	ports := make([]bytes.Buffer, len(cfg.Ports)) // their output, for failure messages
	cfg.Ports = slices.Clone(cfg.Ports)
	for i, port := range cfg.Ports {
		cfg.Ports[i].Out = &ports[i]
		if port.Out != nil {
			cfg.Ports[i].Out = io.MultiWriter(&ports[i], port.Out)
		}
	}
	result, err := vm.Run(t.Context(), cfg)
	if guest, ok := errors.AsType[*vm.GuestError](err); ok &&
		(guest.BeforeInit || vm.KernelBug(guest.Kernel+string(result.Console)) != "") && rewind(&cfg) {
		t.Logf("the guest's kernel failed itself, so the guest is booted again; its messages:\n%s\nconsole:\n%s",
			guest.Kernel, result.Console)
		result, err = vm.Run(t.Context(), cfg)
	}
	codes := slices.Compact(slices.Clone(result.ExitCodes))
	if err == nil && slices.Equal(codes, []int{want}) {
		return result
	}
	for i, port := range cfg.Ports {
		t.Logf("port %s: %q", port.Name, ports[i].String())
	}
	if guest, ok := errors.AsType[*vm.GuestError](err); ok {
		t.Fatalf("%v; the kernel's last messages:\n%s\nconsole:\n%s", guest.Err, guest.Kernel, result.Console)
	}
	if err != nil {
		t.Fatalf("%v; console:\n%s", err, result.Console)
	}
	t.Fatalf("exit codes = %d, want %d; console:\n%s", result.ExitCodes, want, result.Console)
	return result
}

// rewind sets the inputs of a machine back to their start. It returns whether all can be set back.
func rewind(cfg *vm.Config) bool {
	inputs := []io.Reader{cfg.ConsoleIn}
	for _, port := range cfg.Ports {
		inputs = append(inputs, port.In)
	}
	for _, in := range inputs {
		if in == nil {
			continue
		}
		seeker, ok := in.(io.Seeker)
		if !ok {
			return false
		}
		if _, err := seeker.Seek(0, io.SeekStart); err != nil {
			return false
		}
	}
	return true
}

func TestRewind(t *testing.T) {
	in := strings.NewReader("input")
	if _, err := io.ReadAll(in); err != nil {
		t.Fatal(err)
	}
	cfg := vm.Config{ConsoleIn: in, Ports: []vm.Port{{Name: "output"}}}
	if !rewind(&cfg) || in.Len() != len("input") {
		t.Errorf("rewind() left %d bytes to read, want %d", in.Len(), len("input"))
	}
	r, w := io.Pipe()
	defer w.Close()
	cfg.Ports[0].In = r
	if rewind(&cfg) {
		t.Error("rewind() = true with a pipe")
	}
}

// console returns the output on the console, with LF line ends.
func console(result vm.Result) string {
	return string(bytes.ReplaceAll(result.Console, []byte("\r\n"), []byte("\n")))
}

// wantConsole checks the whole output on the console.
func wantConsole(t *testing.T, result vm.Result, want string) {
	t.Helper()
	if got := console(result); got != want {
		t.Errorf("console = %q, want %q", got, want)
	}
}

// wantLine checks that text is a single line that contains parts, in this order.
func wantLine(t *testing.T, text string, parts ...string) {
	t.Helper()
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		t.Errorf("text = %q, want one line", text)
	}
	rest := text
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Errorf("text = %q, want it to contain %q in this order", text, parts)
			return
		}
		rest = after
	}
}

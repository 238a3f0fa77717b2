package cases

import (
	"bytes"
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

// guestDir is where the guest finds the test binary, under the name of the guest half that it is to run. Nothing else
// tells it, for arguments and environment belong to the cases.
const guestDir = "/guest/"

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

// guests are all guest halves. They are registered before main.
var guests []guest

// passed is what a guest half prints when it passes.
const passed = "PASS\n"

// inGuest registers a guest half:
//
//	var overlayGuest = inGuest("overlay", func(t *testing.T) { ... })
//
// If it passes, it ends with exit code 0 and has passed on its standard output; if not, with 1 and what went wrong. Its
// arguments are in os.Args.
func inGuest(name string, test func(*testing.T)) guest {
	g := guest{name, test}
	guests = append(guests, g)
	return g
}

// path is the guest half's path in the guest.
func (g guest) path() string { return guestDir + g.name }

// addTo puts the guest half into a machine, as a virtual file that can be read at any time, and makes it the workload.
func (g guest) addTo(t *testing.T, cfg *vm.Config, args ...string) {
	t.Helper()
	cfg.Files = append(cfg.Files, hostfs.File{Path: g.path(), Source: guestPrograms.build(t, cfg.Arch), Mode: 0o755})
	cfg.Args = append([]string{g.path()}, args...)
}

// runGuest runs a guest half, in the guest, and exits.
func runGuest(name string) {
	i := slices.IndexFunc(guests, func(g guest) bool { return g.name == name })
	if i < 0 {
		fmt.Fprintln(os.Stderr, "no guest half is called", name)
		os.Exit(2)
	}
	flag.CommandLine.Parse(nil) // the arguments are not for package testing
	all := func(_, _ string) (bool, error) { return true, nil }
	testing.Main(all, []testing.InternalTest{{Name: name, F: guests[i].test}}, nil, nil)
}

// guestPrograms are this test's binaries for the guests.
var guestPrograms programs

type programs struct {
	mu  sync.Mutex
	dir string
}

// build returns the path of the binary for arch. It is made when it is first asked for, by the go command, and static:
// the one that runs on the host may be neither.
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
		t.Fatalf("build the guest's program: %v\n%s", err, output)
	}
	return path
}

// product returns the path of krunbox for arch, as make leaves it.
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

// eachArch runs a case for each architecture that guests can have, as parallel subtests.
func eachArch(t *testing.T, test func(t *testing.T, arch string)) {
	t.Parallel()
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			test(t, arch)
		})
	}
}

// machine returns the configuration of a machine with krunbox as its init, which is good for one look-up as in a libkrun
// guest. Its root is empty.
func machine(t *testing.T, arch string) vm.Config {
	t.Helper()
	return vm.Config{Arch: arch, Init: product(t, arch), InitOneShot: true}
}

// withBusybox is a machine whose root is a directory of its own, with busybox in it.
func withBusybox(t *testing.T, arch string) vm.Config {
	t.Helper()
	cfg := machine(t, arch)
	cfg.Root = t.TempDir()
	if err := guestroot.Create(t.Context(), arch, cfg.Root); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// scriptPath is where the guest has the script of a machine that script makes.
const scriptPath = "/script"

// script is withBusybox with a shell script as its workload.
func script(t *testing.T, arch, text string) vm.Config {
	t.Helper()
	cfg := withBusybox(t, arch)
	cfg.Files = []hostfs.File{{Path: scriptPath, Data: []byte("#!/bin/sh\n" + text), Mode: 0o755}}
	cfg.Args = []string{scriptPath}
	return cfg
}

// run boots a machine, waits for its end, and ends the test unless the host received one exit code, which is want.
func run(t *testing.T, cfg vm.Config, want int) vm.Result {
	t.Helper()
	ports := make([]bytes.Buffer, len(cfg.Ports)) // what they put out, for the failure
	cfg.Ports = slices.Clone(cfg.Ports)
	for i, port := range cfg.Ports {
		cfg.Ports[i].Out = &ports[i]
		if port.Out != nil {
			cfg.Ports[i].Out = io.MultiWriter(&ports[i], port.Out)
		}
	}
	result, err := vm.Run(t.Context(), cfg)
	if err == nil && slices.Equal(result.ExitCodes, []int{want}) {
		return result
	}
	for i, port := range cfg.Ports {
		t.Logf("port %s: %q", port.Name, ports[i].String())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Fatalf("exit codes = %d, want %d; console:\n%s", result.ExitCodes, want, result.Console)
	return result
}

// console returns what a machine showed, with the line ends of a file.
func console(result vm.Result) string {
	return string(bytes.ReplaceAll(result.Console, []byte("\r\n"), []byte("\n")))
}

// wantConsole checks all that a machine showed.
func wantConsole(t *testing.T, result vm.Result, want string) {
	t.Helper()
	if got := console(result); got != want {
		t.Errorf("console = %q, want %q", got, want)
	}
}

// wantLine checks that text, of console or port, is a single line, and that it has all of parts in it, in this order.
func wantLine(t *testing.T, text string, parts ...string) {
	t.Helper()
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		t.Errorf("text = %q, want one line", text)
	}
	rest := text
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Errorf("text = %q, want %q in it", text, parts)
			return
		}
		rest = after
	}
}

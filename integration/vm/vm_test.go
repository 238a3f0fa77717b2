package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/krunbox/krunbox/integration/guestkernel"
	"github.com/krunbox/krunbox/integration/guestroot"
	"github.com/krunbox/krunbox/integration/hostfs"
)

func busyboxRoot(t *testing.T, arch string) string {
	t.Helper()
	dir := t.TempDir()
	if err := guestroot.Create(t.Context(), arch, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func peerInit(t *testing.T) string {
	t.Helper()
	path, err := guestkernel.PeerInit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// shell returns the configuration of a machine on which libkrun's init runs a shell script.
func shell(t *testing.T, script string) Config {
	t.Helper()
	return Config{
		Arch: "amd64",
		Init: peerInit(t),
		Root: busyboxRoot(t, "amd64"),
		Env:  []string{"KRUN_INIT=/bin/sh"},
		Args: []string{"-c", script},
	}
}

func TestRun(t *testing.T) {
	var console bytes.Buffer
	cfg := shell(t, "env; exit 7")
	cfg.Env = append(cfg.Env, "TEXT=two  words")
	cfg.Console = &console
	var codes []int
	cfg.OnExitCode = func(code int) { codes = append(codes, code) }
	result, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(codes, []int{7}) {
		t.Errorf("OnExitCode was called with %d, want [7]", codes)
	}
	if result.ExitCode != 7 || !slices.Equal(result.ExitCodes, []int{7}) {
		t.Errorf("ExitCode = %d, ExitCodes = %d, want 7, [7]", result.ExitCode, result.ExitCodes)
	}
	if want := "\nTEXT=two  words\r\n"; !strings.Contains(console.String(), want) {
		t.Errorf("console = %q, want %q in it", console.String(), want)
	}
	if got := string(result.Console); got != console.String() {
		t.Errorf("Result.Console = %q, want %q", got, console.String())
	}
}

// scriptAsInit returns the configuration of a machine whose init is a shell script.
func scriptAsInit(t *testing.T, arch, script string) Config {
	t.Helper()
	return Config{
		Arch:     arch,
		InitPath: "/script",
		Root:     busyboxRoot(t, arch),
		Files:    []hostfs.File{{Path: "/script", Data: []byte("#!/bin/sh\n" + script), Mode: 0o755}},
	}
}

// TestKernelParsesCmdline checks that init gets the variables and arguments of Config exactly,
// after the guest kernel has parsed its command line.
func TestKernelParsesCmdline(t *testing.T) {
	env := []string{"EMPTY=", "BLANKS= a  b ", "LINES=a\tb\nc", "UTF8=à é", "EQUALS=a=b", "QUOTE='\\$x", "under_score-dash=1"}
	args := []string{"-c", "", " ", "a=b c", "à", "line\nfeed", "'\\&&", "---"}
	for len(env) < maxEnv {
		env = append(env, fmt.Sprintf("V%d=%d", len(env), len(env)))
	}
	for len(args) < maxArgs {
		args = append(args, fmt.Sprintf("arg%d", len(args)))
	}
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			cfg := scriptAsInit(t, arch, "mount -t proc proc /proc && "+
				"cat /proc/1/environ >/environ && cat /proc/1/cmdline >/cmdline; reboot -f")
			cfg.Env, cfg.Args = env, args
			result, err := Run(t.Context(), cfg)
			if !errors.Is(err, ErrNoExitCode) {
				t.Errorf("Run() = %v, want %v", err, ErrNoExitCode)
			}
			if result.ExitCode != -1 {
				t.Errorf("ExitCode = %d, want -1", result.ExitCode)
			}
			read := func(name string) []string {
				b, err := os.ReadFile(filepath.Join(cfg.Root, name))
				if err != nil {
					t.Fatal(err)
				}
				return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
			}
			if got, want := read("environ"), append([]string{"HOME=/", "TERM=linux"}, env...); !slices.Equal(got, want) {
				t.Errorf("environment = %q, want %q", got, want)
			}
			if got, want := read("cmdline"), append([]string{"/bin/sh", "/script"}, args...); !slices.Equal(got, want) {
				t.Errorf("arguments = %q, want %q", got, want)
			}
		})
	}
}

func TestPorts(t *testing.T) {
	// The input is larger than the buffers on its way, and contains bytes that a terminal would
	// change.
	input := strings.Repeat("every byte\x00\xff\r\n\x04", 50000)
	var stdout, stderr, extra, console bytes.Buffer
	cfg := shell(t, "cat; echo diagnostics >&2; echo more >/dev/vport0p4; echo on the console >/dev/console; exit 3")
	cfg.Console = &console
	cfg.Ports = []Port{
		{Name: "krun-stdin", In: strings.NewReader(input)},
		{Name: "krun-stdout", Out: &stdout},
		{Name: "krun-stderr", Out: &stderr},
		{Name: "com.example,extra", Out: &extra},
	}
	result, err := Run(t.Context(), cfg)
	if err != nil || result.ExitCode != 3 {
		t.Errorf("Run() = %d, %v, want 3", result.ExitCode, err)
	}
	if got := stdout.String(); got != input {
		t.Errorf("standard output has %d bytes, want the input's %d", len(got), len(input))
	}
	if got, want := stderr.String(), "diagnostics\n"; got != want {
		t.Errorf("standard error = %q, want %q", got, want)
	}
	if got, want := extra.String(), "more\n"; got != want {
		t.Errorf("port com.example,extra = %q, want %q", got, want)
	}
	if got, want := console.String(), "on the console\r\n"; got != want {
		t.Errorf("console = %q, want %q", got, want)
	}
}

// TestSlowWriter checks that no output is lost if a Writer blocks until the guest has powered off.
func TestSlowWriter(t *testing.T) {
	input := strings.Repeat("0123456789abcdef", 200000) // 3.2 MB, much more than sockets hold
	var stdout bytes.Buffer
	cfg := shell(t, "cat")
	cfg.Ports = []Port{
		{Name: "krun-stdin", In: strings.NewReader(input)},
		{Name: "krun-stdout", Out: writerFunc(func(p []byte) (int, error) {
			for len(children(t)) > 0 {
				time.Sleep(10 * time.Millisecond)
			}
			return stdout.Write(p)
		})},
	}
	if _, err := Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if got := stdout.String(); got != input {
		t.Errorf("standard output has %d bytes, want the input's %d", len(got), len(input))
	}
}

func TestConsoleInput(t *testing.T) {
	cfg := shell(t, "read line; exit $line")
	cfg.ConsoleIn = strings.NewReader("5\n")
	result, err := Run(t.Context(), cfg)
	if err != nil || result.ExitCode != 5 {
		t.Errorf("Run() = %d, %v, want 5", result.ExitCode, err)
	}
}

func TestGuestConfig(t *testing.T) {
	cfg := shell(t, "")
	cfg.Env, cfg.Args = nil, nil
	cfg.GuestConfig = []byte(`{"process":{"args":["/bin/sh","-c","exit 9"]}}`)
	cfg.InitOneShot = true
	result, err := Run(t.Context(), cfg)
	if err != nil || result.ExitCode != 9 {
		t.Errorf("Run() = %d, %v, want 9", result.ExitCode, err)
	}
}

// TestMachinesAtOnce runs machines in parallel, with one to three CPUs.
func TestMachinesAtOnce(t *testing.T) {
	cfg := shell(t, "exit $(grep -c ^processor /proc/cpuinfo)")
	cfg.Root, cfg.ReadOnly = busyboxRoot(t, "amd64"), true
	var wg sync.WaitGroup
	for cpus := 1; cpus <= 3; cpus++ {
		wg.Go(func() {
			cfg := cfg
			cfg.CPUs = cpus
			result, err := Run(t.Context(), cfg)
			if err != nil || result.ExitCode != cpus {
				t.Errorf("Run() with %d CPUs = %d, %v, want %[1]d", cpus, result.ExitCode, err)
			}
		})
	}
	wg.Wait()
}

// TestKilledMachineLeavesNothing checks that Run leaves no processes, file descriptors and
// goroutines behind after it has killed a machine that does not stop by itself.
func TestKilledMachineLeavesNothing(t *testing.T) {
	cfg := shell(t, "echo ready; while :; do :; done")
	fds, goroutines := openFiles(t), runtime.NumGoroutine()
	cause := errors.New("stopped by the test")

	ctx, cancel := context.WithCancelCause(t.Context())
	cfg.Console = writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("ready")) {
			cancel(cause)
		}
		return len(p), nil
	})
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Ports = []Port{{Name: "krun-stdin", In: pr}}
	_, err = Run(ctx, cfg)
	if !errors.Is(err, cause) {
		t.Errorf("Run() with a context that ends = %v, want %v", err, cause)
	}
	if !strings.Contains(err.Error(), "\nready") {
		t.Errorf("Run() with a context that ends = %q, want the console's output in it", err)
	}
	pw.Close() // ends the pending Read of the port's In
	pr.Close()

	cfg.Console, cfg.Ports = nil, nil
	cfg.Deadline = 3 * time.Second
	start := time.Now()
	_, err = Run(t.Context(), cfg)
	if took := time.Since(start); !errors.Is(err, ErrDeadline) || took < cfg.Deadline {
		t.Errorf("Run() = %v after %v, want %v after %v", err, took, ErrDeadline, cfg.Deadline)
	}

	if got := children(t); len(got) > 0 {
		t.Errorf("processes left: %q", got)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		nowFDs, nowGoroutines := openFiles(t), runtime.NumGoroutine()
		if len(nowFDs) <= len(fds) && nowGoroutines <= goroutines {
			return
		}
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			t.Fatalf("after Run(): open files %q, want %q; %d goroutines, want %d\n%s",
				nowFDs, fds, nowGoroutines, goroutines, stacks)
		}
	}
}

func TestWriterError(t *testing.T) {
	boom := errors.New("boom")
	cfg := shell(t, "echo hello; sleep 1000")
	cfg.Console = writerFunc(func([]byte) (int, error) { return 0, boom })
	if _, err := Run(t.Context(), cfg); !errors.Is(err, boom) {
		t.Errorf("Run() = %v, want %v", err, boom)
	}
}

func TestErrorsBeforeTheGuestRuns(t *testing.T) {
	cfg := shell(t, "")
	cfg.Devices = []Device{{Args: func([]int) []string { return []string{"-device", "no-such-device"} }}}
	_, err := Run(t.Context(), cfg)
	var qemuErr *QEMUError
	if !errors.As(err, &qemuErr) || !strings.Contains(qemuErr.Stderr, "no-such-device") {
		t.Errorf("Run() with bad arguments = %v, want a QEMUError with QEMU's message", err)
	}

	t.Setenv("PATH", t.TempDir())
	cfg.Devices = nil
	_, err = Run(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "apt-get install qemu-system-x86") {
		t.Errorf("Run() without QEMU = %v, want the command that installs it in it", err)
	}
	for _, cfg := range []Config{
		{},
		{Init: "/nonexistent", Kernel: "/nonexistent"},
		{Init: cfg.Init, Kernel: "/nonexistent", Arch: "riscv64"},
		{Init: cfg.Init, Kernel: "/nonexistent", CPUs: -1},
		{Init: cfg.Init, Kernel: "/nonexistent", Root: "/nonexistent"},
		{Init: cfg.Init, Kernel: "/nonexistent", Shares: []Share{{Tag: "share", Dir: "/nonexistent"}}},
		{Init: cfg.Init, Kernel: "/nonexistent", Ports: []Port{{}}},
		{Init: cfg.Init, Kernel: "/nonexistent", Ports: []Port{{Name: "a"}, {Name: "a"}}},
		{Init: cfg.Init, Kernel: "/nonexistent", Env: []string{"a.b=c"}},
	} {
		if _, err := Run(t.Context(), cfg); err == nil {
			t.Errorf("Run(%+v) = nil, want an error", cfg)
		}
	}
}

func TestDeviceFiles(t *testing.T) {
	disk, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	if err := disk.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	cfg := shell(t, "echo written >/dev/vda; sync")
	cfg.Devices = []Device{{
		Files: []*os.File{disk},
		Args: func(fds []int) []string {
			return []string{
				"-add-fd", fmt.Sprintf("set=1,fd=%d", fds[0]),
				"-drive", "id=disk,if=none,format=raw,file=/dev/fdset/1,auto-read-only=off",
				"-device", "virtio-blk-device,drive=disk",
			}
		},
	}}
	if result, err := Run(t.Context(), cfg); err != nil || result.ExitCode != 0 {
		t.Fatalf("Run() = %d, %v, want 0", result.ExitCode, err)
	}
	got := make([]byte, 8)
	if _, err := disk.ReadAt(got, 0); err != nil || string(got) != "written\n" {
		t.Errorf("disk begins with %q, %v, want %q", got, err, "written\n")
	}
}

// TestDisks checks the order of the disks, that a read-only disk is not changed, and that flushed
// data is in the file when QEMU is killed.
func TestDisks(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			cfg := scriptAsInit(t, arch, `
for d in a b c; do head -n 1 /dev/vd$d; done
for d in a b c; do echo written by the guest | dd conv=fsync of=/dev/vd$d 2>/dev/null && echo ok; done
echo ready
while :; do :; done
`)
			for i, text := range []string{"first\n", "second\n", "third\n"} {
				path := filepath.Join(t.TempDir(), "a,b:c")
				if err := os.WriteFile(path, append([]byte(text), make([]byte, 1<<20)...), 0o644); err != nil {
					t.Fatal(err)
				}
				cfg.Disks = append(cfg.Disks, Disk{Path: path, ReadOnly: i == 1})
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cfg.Console = writerFunc(func(p []byte) (int, error) {
				if bytes.Contains(p, []byte("ready")) {
					cancel()
				}
				return len(p), nil
			})
			result, err := Run(ctx, cfg)
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			want := "first\r\nsecond\r\nthird\r\nok\r\nok\r\nready"
			if got := strings.TrimSpace(string(result.Console)); got != want {
				t.Errorf("console = %q, want %q", got, want)
			}
			for i, want := range []string{"written by the guest\n", "second\n", "written by the guest\n"} {
				if got, err := os.ReadFile(cfg.Disks[i].Path); err != nil || !bytes.HasPrefix(got, []byte(want)) {
					t.Errorf("disk %d begins with %.30q, %v, want %q", i, got, err, want)
				}
			}
		})
	}
}

// TestShares checks that the guest can mount a writable and a read-only share.
func TestShares(t *testing.T) {
	cfg := shell(t, `
mkdir /w /r
mount -t virtiofs writable /w && mount -t virtiofs 'read,only' /r || exit 1
cat /w/file /r/file
echo new >/w/new
echo new >/r/new
exit 0
`)
	for _, tag := range []string{"writable", "read,only"} {
		share := Share{Tag: tag, Dir: t.TempDir(), ReadOnly: tag != "writable"}
		if err := os.WriteFile(filepath.Join(share.Dir, "file"), []byte(tag+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		cfg.Shares = append(cfg.Shares, share)
	}
	result, err := Run(t.Context(), cfg)
	if err != nil || result.ExitCode != 0 {
		t.Fatalf("Run() = %d, %v, want 0", result.ExitCode, err)
	}
	want := "writable\r\nread,only\r\n/bin/sh: can't create /r/new: Read-only file system\r\n"
	if got := string(result.Console); got != want {
		t.Errorf("console = %q, want %q", got, want)
	}
	for i, want := range []bool{true, false} {
		if _, err := os.Stat(filepath.Join(cfg.Shares[i].Dir, "new")); (err == nil) != want {
			t.Errorf("new file in the share %q: %v, want success: %v", cfg.Shares[i].Tag, err, want)
		}
	}
}

func TestTail(t *testing.T) {
	w := tail{max: 10}
	var all string
	for i := range 100 {
		text := strings.Repeat("x", i%13) + fmt.Sprint(i)
		all += text
		if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("Write(%q) = %d, %v, want %d", text, n, err, len(text))
		}
		if got, want := string(w.bytes()), all[max(0, len(all)-10):]; got != want {
			t.Errorf("bytes() = %q, want %q", got, want)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func openFiles(t *testing.T) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil {
			files = append(files, target)
		}
	}
	return files
}

// children returns the IDs of this process's children, including zombies.
func children(t *testing.T) []string {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err == nil {
			pids = append(pids, strings.Fields(string(b))...)
		}
	}
	return pids
}

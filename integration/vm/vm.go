// Package vm runs virtual machines the way libkrun does, for tests of an init program or of a whole image: the guest
// kernel of libkrunfw, a virtiofs root with virtual files over it, a console, named ports, and the exit code that init
// reports to the host.
//
// The machine is QEMU's, with its TCG interpreter, so that no KVM is needed. A machine boots in about 1.5 s.
//
//	result, err := vm.Run(ctx, vm.Config{
//		Init: "build/init.krun",
//		Root: "path/of/an/unpacked/image",
//		Args: []string{"/bin/sh", "-c", "exit 7"},
//	})
//	// err is nil, result.ExitCode 7
//
// # Slow writers
//
// A guest that switches itself off does not wait for the readers of its ports and console, and neither does QEMU. So Run
// keeps up to 64 MiB for each Writer that is slower than the guest. Of one that is even further behind, the end of the
// output can be lost.
package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/krunbox/krunbox/integration/guestkernel"
	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/virtiofs"
)

// Defaults of Config.
const (
	DefaultInitPath = "/init.krun"
	DefaultMemMiB   = 512
	DefaultCPUs     = 1
	DefaultDeadline = 60 * time.Second
)

// configPath is where init looks for its configuration.
const configPath = "/.krun_config.json"

// Errors of Run. They come in a GuestError.
var (
	// ErrDeadline means that the machine was still running at Config.Deadline.
	ErrDeadline = errors.New("deadline exceeded")

	// ErrNoExitCode means that the machine stopped before init had reported an exit code: the kernel panicked, say.
	ErrNoExitCode = errors.New("the guest stopped without an exit code")
)

// A GuestError is the reason why a guest has not come to an orderly end, with what may tell more.
type GuestError struct {
	Err     error  // ErrDeadline, ErrNoExitCode, the cause of the context's end, or the error of a Reader or Writer
	Console string // the last lines of the console
}

func (e *GuestError) Unwrap() error { return e.Err }

func (e *GuestError) Error() string {
	if e.Console == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + "; the last lines of the console:\n" + e.Console
}

// A QEMUError is a failure of QEMU itself: it rejected its arguments, say, or was killed.
type QEMUError struct {
	Status string // how it ended, such as "exit status 1"
	Stderr string // what it printed, cut at the front if it was much
}

func (e *QEMUError) Error() string {
	if e.Stderr == "" {
		return "QEMU failed: " + e.Status
	}
	return "QEMU failed: " + e.Status + ": " + e.Stderr
}

// Config describes a machine and the host's side of it. The zero value, plus Init, is a machine with an empty root.
type Config struct {
	Arch   string // GOARCH of the guest, amd64 or arm64; default: this machine's
	Kernel string // path of a file for QEMU's -kernel; default: guestkernel.Path(Arch)
	Initrd string // path of an initramfs, in which InitPath is then; the root below is a share called /dev/root then
	// Machine is Q35, Microvm or Virt for the kernel of a distribution; its console is a serial port. Empty: what libkrun's
	// kernel needs.
	Machine string
	MemMiB  int // memory; default: DefaultMemMiB
	CPUs    int // default: DefaultCPUs

	// Init is the path of the init program, which the guest sees as the virtual file InitPath. If Init is empty,
	// InitPath names a file of the root.
	Init        string
	InitPath    string // default: DefaultInitPath
	InitOneShot bool   // the file is gone after its first look-up, its contents with the first close

	// Root is the directory that the guest has as its root; the guest writes into it. An empty Root is an empty
	// directory, not writable. Over it lie Files, and empty virtual directories called Dirs, to serve as mount points;
	// nil Dirs means /dev, /proc and /sys if Root is empty, none otherwise.
	Root        string
	ReadOnly    bool // the guest can't change Root
	HostChanges bool // the host changes Root while the guest runs, which costs the guest some of its caches
	Files       []hostfs.File
	Dirs        []string

	// TemporaryRoot makes the host answer a guest that asks for its root to be removed, as a host does that has made it for
	// one boot from a disk. Nothing is removed.
	TemporaryRoot bool

	// OnExitCode, unless nil, is called with each exit code that init reports, while init waits for the host's answer.
	OnExitCode func(code int)

	Disks  []Disk  // in the guest /dev/vda, /dev/vdb ...
	Shares []Share // further virtiofs file systems

	// GuestConfig, unless nil, is what the guest finds in the one-shot file /.krun_config.json.
	GuestConfig []byte

	// Env (NAME=VALUE) and Args reach init on the kernel command line. It has room for about 1700 bytes, 31 variables
	// and 32 arguments, and can't express double quotes, names with dots, and an argument "--": Run fails then. The
	// kernel keeps the names it knows (quiet, mem ...) to itself.
	Env  []string
	Args []string

	KernelArgs     string // further words for the kernel, as they are
	KernelMessages bool   // the kernel shows more than errors on the console

	// Console gets what the guest writes to its console, hvc0. ConsoleIn is typed there; its end means nothing to the
	// guest. With NoConsole there is none, and the guest starts with its standard descriptors closed.
	Console   io.Writer
	ConsoleIn io.Reader
	NoConsole bool

	Ports   []Port   // named ports; the console is not one of them
	Devices []Device // further devices

	// Deadline bounds the life of the machine, downloads excluded. Default: DefaultDeadline; negative: none.
	Deadline time.Duration

	Log *log.Logger // diagnostics, such as QEMU's command line; nil: none
}

// A Port is a character device of the guest that it finds by name, as libkrun's krun-stdin, krun-stdout and
// krun-stderr.
type Port struct {
	Name string

	// In is what the guest reads. At its end the guest sees the end of the file; the port is closed in both directions
	// then, and a guest that writes to it after that may block. Nil: nothing, and no end.
	In io.Reader

	// Out gets what the guest writes. Nil: it is dropped.
	Out io.Writer
}

// A Disk is a file that is a block device of the guest. What the guest has flushed is in the file, even if the machine is
// killed.
type Disk struct {
	Path     string
	ReadOnly bool
}

// A Share is a directory of the host's that the guest can mount: mount -t virtiofs TAG DIR.
type Share struct {
	Tag, Dir string
	ReadOnly bool
}

// A Device adds something to the machine that this package has no field for. The machine is a microvm on amd64, "virt"
// on arm64; devices are virtio-mmio ones, such as virtio-net-device. There is room for five of them, disks
// and shares included.
type Device struct {
	// Files are handed down to QEMU. Run does not close them.
	Files []*os.File

	// Args returns arguments for QEMU. fds has QEMU's file descriptor for each of Files.
	Args func(fds []int) []string
}

// Result is what the host has learned when a machine has stopped.
type Result struct {
	// ExitCode is what init reported, the last report if there were several. -1 if there was none.
	ExitCode int

	// ExitCodes are all reports, in order.
	ExitCodes []int

	// RootRemovals is how often the guest has asked for its root to be removed, see Config.TemporaryRoot.
	RootRemovals int

	// Console is what the guest wrote to its console, of much output the last 256 KiB.
	Console []byte

	// Requests returns how many requests of a kind the guest made to its root file system.
	Requests func(virtiofs.Opcode) uint64

	// Duration is the time from the start of QEMU to its end.
	Duration time.Duration
}

// Run boots a machine and returns when it has stopped: by itself, at the deadline, because ctx ended, or because a Writer
// or Reader of Config failed. Nothing of the machine is left then, but for a Read of a port's In or of ConsoleIn that
// still waits; Run does not wait for it. Writers have returned; a Writer that blocks holds Run up.
//
// The Result is as complete as it can be even if there is an error.
func Run(ctx context.Context, cfg Config) (Result, error) {
	if err := cfg.complete(ctx); err != nil {
		return failed(), err
	}
	if cfg.Deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, cfg.Deadline, fmt.Errorf("%w after %v", ErrDeadline, cfg.Deadline))
		defer cancel()
	}
	m, err := newMachine(&cfg)
	if err != nil {
		return failed(), err
	}
	return m.run(ctx)
}

// failed returns the result of a machine that never started.
func failed() Result {
	return Result{ExitCode: -1, Requests: func(virtiofs.Opcode) uint64 { return 0 }}
}

// complete checks the configuration and fills in the defaults.
func (c *Config) complete(ctx context.Context) error {
	if c.Arch == "" {
		c.Arch = runtime.GOARCH
	}
	if _, ok := boards[c.Arch]; !ok {
		return fmt.Errorf("no virtual machine of architecture %q: want amd64 or arm64", c.Arch)
	}
	if stock, ok := stockBoards[c.Machine]; c.Machine != "" && (!ok || stock.arch != c.Arch) {
		return fmt.Errorf("no machine %q of architecture %s", c.Machine, c.Arch)
	}
	if c.Init == "" && c.InitPath == "" {
		return errors.New("no init program for the virtual machine")
	}
	if c.InitPath == "" {
		c.InitPath = DefaultInitPath
	}
	if c.MemMiB == 0 {
		c.MemMiB = DefaultMemMiB
	}
	if c.CPUs == 0 {
		c.CPUs = DefaultCPUs
	}
	if c.MemMiB < 0 || c.CPUs < 0 {
		return fmt.Errorf("virtual machine with %d MiB of memory and %d CPUs", c.MemMiB, c.CPUs)
	}
	if c.Deadline == 0 {
		c.Deadline = DefaultDeadline
	}
	if c.Log == nil {
		c.Log = log.New(io.Discard, "", 0)
	}
	if c.Dirs == nil && c.Root == "" {
		c.Dirs = []string{"/dev", "/proc", "/sys"}
	}
	var names []string
	for _, p := range c.Ports {
		if p.Name == "" || slices.Contains(names, p.Name) {
			return fmt.Errorf("port %q: names must be unique, and not empty", p.Name)
		}
		names = append(names, p.Name)
	}
	// The file that init comes from, the configuration, and what the caller wants to add.
	files := slices.Clone(c.Files)
	if c.Init != "" {
		files = append(files, hostfs.File{Path: c.InitPath, Source: c.Init, Mode: 0o755, OneShot: c.InitOneShot})
	}
	if c.GuestConfig != nil {
		files = append(files, hostfs.File{Path: configPath, Data: c.GuestConfig, Mode: 0o444, OneShot: true})
	}
	c.Files = files

	if c.Kernel == "" {
		kernel, err := guestkernel.Path(ctx, c.Arch)
		if err != nil {
			return fmt.Errorf("guest kernel: %w", err)
		}
		c.Kernel = kernel
	}
	return nil
}

// Package vm runs virtual machines like libkrun's, for tests of an init program or of a whole
// image. A machine has the guest kernel of libkrunfw, a virtiofs root overlaid with virtual files,
// a console, and named ports. Its init program reports an exit code to the host.
//
// The machines run in QEMU with TCG, which emulates the CPU, so they do not need KVM. A machine
// boots in about 1.5 s.
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
// Neither a guest that powers off nor QEMU waits until the output of the ports and the console is
// read. So Run buffers up to 64 MiB for each Writer that is slower than the guest. If a Writer
// falls further behind, the end of its output can be lost.
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
	"syscall"
	"time"

	"github.com/krunbox/krunbox/integration/guestkernel"
	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/virtiofs"
)

// Default values of the fields of Config.
const (
	DefaultInitPath = "/init.krun"
	DefaultMemMiB   = 512
	DefaultCPUs     = 1
	DefaultDeadline = 60 * time.Second
)

// configPath is the path of init's configuration file.
const configPath = "/.krun_config.json"

// Errors that Run returns, wrapped in a GuestError.
var (
	// ErrDeadline means that the machine was still running at Config.Deadline.
	ErrDeadline = errors.New("deadline exceeded")

	// ErrNoExitCode means that the machine stopped before init reported an exit code, for example
	// because the kernel panicked.
	ErrNoExitCode = errors.New("the guest stopped without an exit code")
)

// A GuestError describes why a guest did not end by itself with an exit code.
type GuestError struct {
	// Err wraps ErrDeadline, ErrNoExitCode, the cause of the context's end, or the error of a
	// Reader or Writer.
	Err error

	Console string // the last lines of the console's output
	Kernel  string // the kernel's last messages, also those that "quiet" kept from the console

	// BeforeInit is whether the kernel's messages show that it had not started init.
	BeforeInit bool
}

func (e *GuestError) Unwrap() error { return e.Err }

func (e *GuestError) Error() string {
	if e.Console == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + "; the last lines of the console:\n" + e.Console
}

// A QEMUError is a failure of QEMU itself, for example because it rejected its arguments or was
// killed.
type QEMUError struct {
	Status string // how QEMU ended, such as "exit status 1"
	Stderr string // the last 4 KiB that QEMU printed
}

func (e *QEMUError) Error() string {
	if e.Stderr == "" {
		return "QEMU failed: " + e.Status
	}
	return "QEMU failed: " + e.Status + ": " + e.Stderr
}

// Config describes a machine and its connections to the host. A Config with only Init set is a
// machine with an empty root.
type Config struct {
	Arch   string // GOARCH of the guest, amd64 or arm64; default: this machine's
	Kernel string // path of a file for QEMU's -kernel; default: guestkernel.Path(Arch)

	// Initrd is the path of an initramfs. If it is set, InitPath is a file of the initramfs, and
	// Root is a share with the tag /dev/root.
	Initrd string

	// Machine is Q35, Microvm or Virt for the kernel of a distribution; the console is a serial
	// port then. Empty means the machine for libkrun's kernel.
	Machine string

	MemMiB int // memory; default: DefaultMemMiB
	CPUs   int // default: DefaultCPUs

	// Init is the path of the init program, which the guest sees as the virtual file InitPath. If
	// Init is empty, InitPath is a file of the root.
	Init        string
	InitPath    string // default: DefaultInitPath
	InitOneShot bool   // makes the virtual file a one-shot file; see hostfs.File

	// Root is the directory of the guest's root file system; the guest can write to it. If Root is
	// empty, the guest's root is an empty read-only directory. Files and Dirs are overlaid on the
	// root. Dirs are empty virtual directories, which can serve as mount points; nil means /dev,
	// /proc and /sys if Root is empty, otherwise no directories.
	Root        string
	ReadOnly    bool // the guest cannot change Root
	HostChanges bool // the host changes Root while the guest runs; disables caches of the guest
	Files       []hostfs.File
	Dirs        []string

	// Intercept, unless nil, decides about the guest's requests to its root file system.
	Intercept virtiofs.Interceptor

	// TemporaryRoot makes the host accept the guest's request to remove its root, like a host that
	// created the root for booting from a disk. Nothing is removed.
	TemporaryRoot bool

	// OnExitCode, unless nil, is called with each exit code that init reports, while init waits for
	// the host's reply.
	OnExitCode func(code int)

	Disks  []Disk  // /dev/vda, /dev/vdb, ... in the guest
	Shares []Share // virtiofs file systems besides the root

	// GuestConfig, unless nil, is the contents of the one-shot file /.krun_config.json.
	GuestConfig []byte

	// Env (NAME=VALUE) and Args are passed to init on the kernel command line. It has room for
	// about 1700 bytes, 31 variables and 32 arguments, and it cannot represent double quotes, names
	// with dots, and the argument "--". Run fails if they do not fit. The kernel does not pass on
	// names that are its own parameters, such as quiet and mem.
	Env  []string
	Args []string

	KernelArgs     string // words to add to the kernel command line, unquoted
	KernelMessages bool   // the kernel prints all messages on the console, not only errors

	// Console receives the guest's output on its console, hvc0. ConsoleIn is the console's input;
	// the guest does not see its end. With NoConsole, the guest has no console and starts with its
	// standard descriptors closed.
	Console   io.Writer
	ConsoleIn io.Reader
	NoConsole bool

	// ConsoleUnread means that the host does not read the console. Console and Result.Console get
	// nothing then.
	ConsoleUnread bool

	Ports   []Port   // named ports; the console is not one of them
	Devices []Device // devices that this package has no field for

	// Deadline is the maximum duration of the machine's run, without downloads. Zero means
	// DefaultDeadline; a negative value means no limit.
	Deadline time.Duration

	Log *log.Logger // receives diagnostics, such as QEMU's command line; may be nil
}

// A Port is a character device that the guest finds by its name, like krun-stdin, krun-stdout and
// krun-stderr in libkrun.
type Port struct {
	Name string

	// In is the guest's input. When In ends, the guest reads the end of the file. The port is then
	// closed in both directions, and a guest that writes to it later may block. With a nil In, the
	// guest's reads block.
	In io.Reader

	// Out receives the guest's output. If it is nil, the output is discarded. If a Write returns
	// ErrClosePort, the host closes the port; other errors stop the machine.
	Out io.Writer

	// Unread means that the host does not read the guest's output, so the port fills up.
	Unread bool

	// Unconnected means that nobody on the host has opened the port. In and Out are not used.
	Unconnected bool
}

// ErrClosePort is what the Write method of a Port's Out returns to close the port.
var ErrClosePort = errors.New("close the port")

// A Disk is a file that the guest uses as a block device. Data that the guest has flushed is in the
// file even if the machine is killed.
type Disk struct {
	Path     string
	ReadOnly bool

	// BytesPerSecond, unless 0, limits how fast the guest reads and writes.
	BytesPerSecond int

	// Errors are requests that fail.
	Errors []DiskError
}

// A DiskError makes requests to a Disk fail.
type DiskError struct {
	Op     string        // read, write or flush
	Errno  syscall.Errno // the cause that QEMU sees; the guest sees an I/O error or no space
	Sector int64         // of 512 bytes; requests that touch it fail; -1: any
	Once   bool          // only the first such request fails
}

// A Share is a directory of the host that the guest can mount: mount -t virtiofs TAG DIR.
type Share struct {
	Tag, Dir string
	ReadOnly bool
}

// MaxDevices is how many virtio-mmio devices a microvm has room for, besides those that each
// machine has: QEMU's has eight slots.
const MaxDevices = 5

// HasRoom reports whether another virtio device can be added to the machine of c. It counts each of
// Devices as one.
func HasRoom(c *Config) bool {
	return c.Arch == "arm64" || len(c.Disks)+len(c.Shares)+len(c.Devices) < MaxDevices
}

// A Device is a device that Config has no field for. The machine is a microvm on amd64 and a "virt"
// on arm64. Its devices are virtio-mmio ones, such as virtio-net-device. There is room for
// MaxDevices of them on amd64, including disks and shares.
type Device struct {
	// Files are inherited by QEMU. Run does not close them.
	Files []*os.File

	// Args returns arguments for QEMU. fds has QEMU's file descriptor for each of Files.
	Args func(fds []int) []string
}

// Result describes a run of a machine.
type Result struct {
	// ExitCode is the exit code that init reported last, or -1 if it reported none.
	ExitCode int

	// ExitCodes are all exit codes that init reported, in order.
	ExitCodes []int

	// RootRemovals is how often the guest requested to remove its root; see Config.TemporaryRoot.
	RootRemovals int

	// Console is the last 256 KiB of the guest's output on its console.
	Console []byte

	// Requests returns how many requests with an opcode the guest made to its root file system.
	Requests func(virtiofs.Opcode) uint64

	// Duration is the time from the start of QEMU to its end.
	Duration time.Duration
}

// Run boots a machine and returns when it has stopped: by itself, at the deadline, because ctx
// ended, or because a Writer or Reader of Config failed. Then everything of the machine is gone,
// except for a pending Read of a port's In or of ConsoleIn, for which Run does not wait. Run waits
// for all Writes.
//
// Run fails if the machine cannot be started, with a QEMUError if QEMU fails, and with a GuestError
// if the machine was stopped or did not report an exit code. The Result has all that is known, even
// if there is an error.
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
		return fmt.Errorf("virtual machine of architecture %q: want amd64 or arm64", c.Arch)
	}
	if stock, ok := stockBoards[c.Machine]; c.Machine != "" && (!ok || stock.arch != c.Arch) {
		return fmt.Errorf("virtual machine of architecture %s has no type %q", c.Arch, c.Machine)
	}
	if c.Init == "" && c.InitPath == "" {
		return errors.New("virtual machine without an init program")
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
		return fmt.Errorf(
			"virtual machine with %d MiB of memory and %d CPUs: want positive numbers",
			c.MemMiB, c.CPUs)
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
			return fmt.Errorf("port %q: names must be unique and not empty", p.Name)
		}
		names = append(names, p.Name)
	}
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

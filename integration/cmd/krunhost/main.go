// Krunhost runs a command in a virtual machine whose init program is krunbox, as a libkrun host
// does.
//
// Synopsis:
//
//	krunhost [OPTIONS] [--] [CMD ARG...]
//	krunhost boot-chart [-text] <REPORT
//
// Description:
//
// Krunhost boots a virtual machine in QEMU, runs CMD in it, and exits with the exit code of CMD. The
// default CMD is a shell or, with --image, what the image says. Krunhost is for trying images and
// hosts, and for tests: it shows the guest what a libkrun host shows it, with libkrun's guest
// kernel, which it downloads when it is first used. It requires neither KVM nor privileges. It is
// built from the sources of krunbox by "make krunhost".
//
// If standard input and output are a terminal, CMD runs on the guest's console, all keys are the
// guest's, and Ctrl-] kills the machine. Otherwise, CMD has the standard input, output and error of
// krunhost, unchanged, and the output of the console, such as messages of init, goes to standard
// error.
//
// SIGINT (Ctrl-C), SIGTERM and SIGHUP press the power key of the guest, and hold it. krunbox asks
// CMD to stop then, by the image's stop signal or SIGTERM. The machine is killed when the guest has
// not ended 10 s after its stop time (KRUN_STOP_TIMEOUT, default 10 s), at the next such signal, and
// at SIGQUIT. With five devices (disks, shares, a network) besides the root there is no power key,
// and the first signal kills the machine.
//
// "krunhost boot-chart" makes the picture of --boot-chart, on standard output, from the report that
// a guest with KRUN_DEBUG=1 has in /dev/.boot.json, or from the lines that its console has shown.
// With -text it makes text.
//
// Exit codes: that of CMD; 125 if krunhost or the machine failed; 128+N if signal N killed the
// machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/krunbox/krunbox/integration/guestkernel"
	"github.com/krunbox/krunbox/integration/guestroot"
	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/vm"
	"github.com/krunbox/krunbox/internal/progress"
)

// exitHost is the exit code if krunhost or the virtual machine failed. The command may not have
// run.
const exitHost = 125

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes the command line args, without the program's name, and returns the exit code.
func run(args []string, stdin, stdout, stderr *os.File) int {
	if len(args) > 0 && args[0] == "boot-chart" {
		return drawChart(args[1:], stdin, stdout, stderr)
	}
	opts, err := parseOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "krunhost: %v\nTry: krunhost --help\n", err)
		return exitHost
	}
	if opts.manual {
		synopsis, _, _ := strings.Cut(usage, "\n  --")
		fmt.Fprint(stdout, synopsis+"\n\n"+manual)
		return 0
	}
	signal.Ignore(syscall.SIGPIPE) // writing to a closed standard output fails with EPIPE
	terminal := term.IsTerminal(int(stderr.Fd()))
	var messages io.Writer = stderr
	if terminal {
		messages = withCR{stderr}
	}
	ctx, stopper, stop := withSignals(context.Background(), messages)
	defer stop()
	ctx = progress.With(ctx, stderr, "krunhost: ", terminal)

	h := &host{opts: opts, stopper: stopper, stdin: stdin, stdout: stdout, stderr: stderr}
	code, err := h.run(ctx)
	var sig signalError
	var guest *vm.GuestError
	switch {
	case err == nil:
		return code
	case errors.As(err, &sig):
		return 128 + int(sig.Signal)
	case errors.Is(err, syscall.EPIPE):
		return 128 + int(syscall.SIGPIPE)
	case errors.Is(err, errEscape):
		fmt.Fprintln(stderr, "krunhost: virtual machine stopped")
		return exitHost
	case errors.Is(err, vm.ErrNoExitCode) && !opts.verbose:
		err = fmt.Errorf("%w (option -v shows the kernel's messages)", vm.ErrNoExitCode)
	case errors.As(err, &guest): // without the console's output, which was already printed
		err = guest.Err
	}
	fmt.Fprintf(stderr, "krunhost: %v\n", err)
	return exitHost
}

// host runs one virtual machine.
type host struct {
	opts                  *options
	stopper               *stopper
	stdin, stdout, stderr *os.File
}

// run runs the virtual machine and returns the exit code of the guest.
func (h *host) run(ctx context.Context) (code int, err error) {
	cfg, err := h.config(ctx)
	if err != nil {
		return 0, err
	}
	if cfg.Root == "" {
		dir, err := os.MkdirTemp("", "krunhost-root-")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir)
		if err := guestroot.Create(ctx, cfg.Arch, dir); err != nil {
			return 0, err
		}
		cfg.Root = dir
	}
	for _, port := range h.opts.ports {
		out, err := port.open(h.stderr)
		if err != nil {
			return 0, err
		}
		defer out.Close()
		cfg.Ports = append(cfg.Ports, vm.Port{Name: port.name, Out: out})
	}

	var recorder *chartRecorder
	if h.opts.chart != "" {
		chart, err := createChart(h.opts.chart, h.stdout)
		if err != nil {
			return 0, err
		}
		recorder = &chartRecorder{show: h.opts.showDebug}
		defer func() { // when the terminal is as it was
			if err := errors.Join(recorder.close(), chart.write(recorder.report)); err != nil {
				fmt.Fprintf(h.stderr, "krunhost: %v\n", err)
			}
		}()
	}
	done, err := h.stopper.use(&cfg, h.opts.env)
	if err != nil {
		return 0, err
	}
	defer done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if term.IsTerminal(int(h.stdin.Fd())) && term.IsTerminal(int(h.stdout.Fd())) {
		cfg.Console = h.stdout
		cfg.ConsoleIn = &escapeReader{r: h.stdin, escape: func() { cancel(errEscape) }}
		state, err := term.MakeRaw(int(h.stdin.Fd()))
		if err != nil {
			return 0, fmt.Errorf("terminal: %w", err)
		}
		defer func() { err = errors.Join(err, term.Restore(int(h.stdin.Fd()), state)) }()
	} else {
		cfg.Console = withoutCR{h.stderr}
		cfg.Ports = append(cfg.Ports,
			vm.Port{Name: "krun-stdin", In: h.stdin},
			vm.Port{Name: "krun-stdout", Out: h.stdout},
			vm.Port{Name: "krun-stderr", Out: h.stderr},
		)
	}
	if recorder != nil {
		recorder.w = cfg.Console
		cfg.Console = recorder
	}
	result, err := vm.Run(ctx, cfg)
	return result.ExitCode, err
}

// config returns the configuration of the machine, except for the temporary root, console and
// ports.
func (h *host) config(ctx context.Context) (vm.Config, error) {
	opts := h.opts
	cfg := vm.Config{
		Arch:           opts.arch,
		Init:           opts.init,
		InitOneShot:    true, // as in libkrun
		Root:           opts.root,
		Disks:          opts.disks,
		Shares:         opts.shares,
		MemMiB:         opts.memMiB,
		CPUs:           opts.cpus,
		KernelMessages: opts.verbose,
		Deadline:       opts.timeout,
	}
	if cfg.Deadline == 0 {
		cfg.Deadline = -1 // no limit
	}
	if opts.net {
		for _, f := range opts.publish {
			if err := f.check(); err != nil {
				return vm.Config{}, err
			}
		}
		cfg.Devices = append(cfg.Devices, network(opts.publish))
	}
	if opts.verbose {
		cfg.Log = log.New(withCR{h.stderr}, "", 0)
	}
	if cfg.Init == "" {
		path, err := builtInit(cfg.Arch)
		if err != nil {
			return vm.Config{}, err
		}
		cfg.Init = path
	}
	for _, f := range opts.files {
		info, err := os.Stat(f.path)
		if err != nil {
			return vm.Config{}, fmt.Errorf("--file: %w", err)
		}
		cfg.Files = append(cfg.Files, hostfs.File{
			Path: f.name, Source: f.path, Mode: uint32(info.Mode().Perm()), OneShot: f.oneShot,
		})
	}
	var err error
	if opts.image != "" {
		if err := h.bootImage(ctx, &cfg); err != nil {
			return vm.Config{}, err
		}
	}
	if opts.config != "" {
		cfg.Env, cfg.Args = append(cfg.Env, opts.env...), opts.command
		cfg.GuestConfig, err = os.ReadFile(opts.config)
		if err != nil {
			return vm.Config{}, fmt.Errorf("--config: %w", err)
		}
	} else if opts.image == "" {
		var env []string
		cfg.Env, env = splitEnv(opts.env)
		cfg.GuestConfig = guestConfig(opts.command, withDefaults(env))
	}
	// Get the kernel before the terminal is in raw mode, because the download can take long.
	cfg.Kernel, err = guestkernel.Path(ctx, cfg.Arch)
	return cfg, err
}

// builtInit returns the path of init.krun for arch that "make build" creates: in the directory of
// krunhost or, if arch is not that of this machine, in its subdirectory arch. It fails if the file
// does not exist.
func builtInit(arch string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find init.krun (option --init sets its path): %w", err)
	}
	path := filepath.Join(filepath.Dir(self), "init.krun")
	if arch != runtime.GOARCH {
		path = filepath.Join(filepath.Dir(self), arch, "init.krun")
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf(
			"%w: build it with make build GOARCH=%s, or use option --init", err, arch)
	}
	return path, nil
}

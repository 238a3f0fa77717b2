// Command krunhost runs a command in a virtual machine, with krunbox as the init program, the way a libkrun host does.
//
// Synopsis:
//
//	krunhost [OPTIONS] [--] [CMD ARG...]
//
// "krunhost --help" has the options and examples. It needs QEMU and fetches the guest kernel when it is first used; it
// needs no KVM, and no privileges.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/term"

	"github.com/krunbox/krunbox/integration/guestkernel"
	"github.com/krunbox/krunbox/integration/guestroot"
	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/vm"
)

// exitHost is the exit code when the host's side failed, and the command may not have run.
const exitHost = 125

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run does what the command line says and returns the exit code.
func run(args []string, stdin, stdout, stderr *os.File) int {
	opts, err := parseOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, help)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "krunhost: %v\nTry: krunhost --help\n", err)
		return exitHost
	}
	signal.Ignore(syscall.SIGPIPE) // a closed standard output is an error like others
	ctx, stop := withSignals(context.Background())
	defer stop()

	h := &host{opts: opts, stdin: stdin, stdout: stdout, stderr: stderr}
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
	case errors.As(err, &guest): // what the console showed is on the screen
		err = guest.Err
	}
	fmt.Fprintf(stderr, "krunhost: %v\n", err)
	return exitHost
}

// signalError is the end of a context by a signal.
type signalError struct{ syscall.Signal }

func (e signalError) Error() string { return "got signal: " + e.Signal.String() }

// withSignals returns a context that ends when a signal asks this process to.
func withSignals(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			cancel(signalError{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// host runs one virtual machine.
type host struct {
	opts                  *options
	stdin, stdout, stderr *os.File
}

func (h *host) run(ctx context.Context) (code int, err error) {
	cfg, err := h.config(ctx)
	if err != nil {
		return 0, err
	}
	if h.opts.root == "" {
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
	result, err := vm.Run(ctx, cfg)
	return result.ExitCode, err
}

// config returns what the options say about the machine, without its root and its streams.
func (h *host) config(ctx context.Context) (vm.Config, error) {
	opts := h.opts
	cfg := vm.Config{
		Arch:           opts.arch,
		Init:           opts.init,
		InitOneShot:    true, // as libkrun does it
		Root:           opts.root,
		Disks:          opts.disks,
		Shares:         opts.shares,
		MemMiB:         opts.memMiB,
		CPUs:           opts.cpus,
		KernelMessages: opts.verbose,
		Deadline:       opts.timeout,
	}
	if cfg.Deadline == 0 {
		cfg.Deadline = -1 // none
	}
	if opts.net {
		cfg.Devices = append(cfg.Devices, vm.Device{Args: func([]int) []string {
			return []string{"-netdev", "user,id=net", "-device", "virtio-net-device,netdev=net"}
		}})
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
	if opts.config != "" {
		cfg.Env, cfg.Args = opts.env, opts.command
		cfg.GuestConfig, err = os.ReadFile(opts.config)
		if err != nil {
			return vm.Config{}, fmt.Errorf("--config: %w", err)
		}
	} else {
		var env []string
		cfg.Env, env = splitEnv(opts.env)
		cfg.GuestConfig = guestConfig(opts.command, withDefaults(env))
	}
	// Before the terminal is raw: it can take a while.
	cfg.Kernel, err = guestkernel.Path(ctx, cfg.Arch)
	return cfg, err
}

// builtInit returns the path of init.krun for arch as "make build" leaves it: next to krunhost, or in a directory named
// after arch if that is not this machine's.
func builtInit(arch string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("no --init given, and: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), "init.krun")
	if arch != runtime.GOARCH {
		path = filepath.Join(filepath.Dir(self), arch, "init.krun")
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: build it with: make build GOARCH=%s, or name one with --init", err, arch)
	}
	return path, nil
}

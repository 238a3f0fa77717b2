//go:build linux || freebsd

// Package guestboot is the boot of a libkrun guest: the order of its stages, from the first mount
// to the end of the machine.
//
// The order is data. Stages returns it as two lists, and a program that needs another boot takes
// these, replaces, adds or removes stages, and passes them to Run:
//
//	g := guestboot.New(guestboot.Options{Params: bootparam.Parse(args, environ), ...})
//	up, down := guestboot.Stages()
//	os.Exit(guestboot.Run(g, up, down))
//
// The stages are in one file, stages_linux.go or stages_freebsd.go, and their plans in the files
// plan_*.go.
package guestboot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/exec"
	"github.com/krunbox/krunbox/pkg/guest"
	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/imagefile"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/poweroff"
)

// Options are the inputs of a boot.
type Options struct {
	// Name is argv[0] of init, "" if the kernel gives none.
	Name   string
	Params bootparam.Params
	// Print writes a line for people to a descriptor: 2, or one that leads to the workload's
	// standard error.
	Print func(fd int, line string)

	// For plans that are printed and not carried out:

	// Root is a directory whose files are read in place of those of /.
	Root string
	// ConfigFile is read in place of the guest's configuration.
	ConfigFile string
	// Cmdline, unless nil, is read in place of /proc/cmdline.
	Cmdline *string
}

// Guest is the state of a boot: its inputs, and what the stages have found out.
type Guest struct {
	Options
	// Config is the configuration, once stage "configuration" is over.
	Config guestconfig.Config
	// Settings are the decisions on parameters, configuration and image, once stage "settings" is
	// over.
	Settings guest.Settings

	hasConfig bool // there is a configuration
	signals   *loop.Signals
	pid       int             // of the workload; 0: not started
	status    unix.WaitStatus // of the workload, once it has ended
	failure   error           // that ended the boot; nil: the workload ran
	code      int             // exit code for the host
	waited    time.Duration   // time that stages waited for a lease or a device

	platform
}

// New returns the state of a boot that has not begun.
func New(o Options) *Guest {
	g := &Guest{Options: o}
	g.init()
	return g
}

// Run boots: it carries out the stages up, which end with the workload, and then, even if a stage
// failed, the stages down, which end the machine. Where there is no machine to end, as in a PID
// namespace, it returns the exit code: the workload's, 128+N if signal N killed it, 127 or 126 if
// it could not be executed, 125 if the boot failed.
func Run(g *Guest, up, down []boot.Stage[*Guest]) (code int) {
	runner := boot.Runner{Warn: g.warn}
	if g.Params.Debug {
		runner.Clock, runner.Ended = monotonic, g.ended
		runner.Waited = func() time.Duration { return g.waited }
	}
	g.code = poweroff.InitFailed
	if g.failure = boot.Run(&runner, up, g); g.failure != nil {
		g.code = exec.ExitCode(g.failure)
	} else {
		g.code = g.exitCode()
	}
	if err := boot.Run(&runner, down, g); err != nil {
		g.warn(err)
	}
	return g.code
}

// Print prints the boot that g would have, as text or as JSON, without carrying it out.
func Print(w io.Writer, g *Guest, asJSON bool) error {
	write := boot.WriteText[*Guest]
	if asJSON {
		write = boot.WriteJSON[*Guest]
	}
	up, down := Stages()
	return write(w, append(up, down...), g)
}

// warn prints a warning where an operator reads it, on the console.
func (g *Guest) warn(err error) { g.Print(unix.Stderr, "warning: "+boot.Line(err)) }

// warnOf returns a function that prints warnings in the name of a stage. It is for work that the
// stage starts and that continues after it.
func (g *Guest) warnOf(stage string) func(error) {
	return func(err error) { g.warn(&boot.Error{Stage: stage, Err: err}) }
}

// paramErrors returns an error for each unsupported or malformed variable of the host.
func (g *Guest) paramErrors() []error {
	var errs []error
	for _, name := range g.Params.Unsupported {
		errs = append(errs, fmt.Errorf("%s: %w", name, op.ErrUnsupported))
	}
	for _, variable := range g.Params.Malformed {
		errs = append(errs, fmt.Errorf("%s: invalid value", variable))
	}
	return errs
}

// configPath returns the path of the configuration in the guest, and the file to read.
func (g *Guest) configPath() (path, file string) {
	path, file = g.Params.Config, g.ConfigFile
	if path == "" {
		path = defaultConfig
	}
	if file == "" {
		file = g.Root + path
	}
	return path, file
}

// setConfig parses the configuration that was read from a file with the given result. The file at
// the default path may be missing. One that is named, or is there, must be valid.
func (g *Guest) setConfig(file string, data []byte, err error) error {
	if errors.Is(err, fs.ErrNotExist) && g.Params.Config == "" && g.ConfigFile == "" {
		return nil
	}
	if err != nil {
		return err
	}
	if g.Config, err = guestconfig.Parse(data); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	g.hasConfig = true
	return nil
}

// prepareSettings decides what the workload runs as. A missing or masked passwd file, and a missing
// group file, count as empty.
func (g *Guest) prepareSettings() (err error) {
	const limit = 1 << 20
	s := guest.Sources{Params: g.Params, Config: g.Config, HasConfig: g.hasConfig,
		LeaseHostname: g.leaseHostname}
	const passwd = "/etc/passwd"
	if !slices.Contains(g.Config.Linux.MaskedPaths, passwd) { // stage "protected paths" masks it later
		s.Passwd, _ = imagefile.Read(g.Root+passwd, limit)
	}
	if g.Config.User != "" {
		s.Group, _ = imagefile.Read(g.Root+"/etc/group", limit)
	}
	g.Settings, err = guest.Resolve(s)
	return err
}

func (g *Guest) hasWorkdir() bool { return g.Settings.Process.Cwd != "" }
func (g *Guest) isPID1() bool     { return g.Params.InitPID1 }
func (g *Guest) isNotPID1() bool  { return !g.Params.InitPID1 }

func (g *Guest) planWorkdir() ([]op.Op, error) {
	return []op.Op{exec.Workdir{Path: g.Settings.Process.Cwd}}, nil
}

func (g *Guest) hasFailed() bool { return g.failure != nil }

// planReason prints why the boot failed to the descriptor that is, or would have been, the
// workload's standard error.
func (g *Guest) planReason() ([]op.Op, error) { return []op.Op{printReason{g}}, nil }

type printReason struct{ g *Guest }

func (printReason) Describe() op.Description {
	return op.Describe("print", "why there is no workload")
}

func (p printReason) Do() error {
	p.g.Print(p.g.stderr(), boot.Line(p.g.failure))
	return nil
}

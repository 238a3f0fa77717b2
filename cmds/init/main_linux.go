// Init boots a libkrun guest and runs its workload, as the host's kernel command line and configuration file ask for it.
//
// Synopsis:
//
//	init
//	init -n [-json] [-root DIR] [-config FILE] [-cmdline TEXT] [--] [ARG...]
//
// Description:
//
// As PID 1 it takes the workload's arguments from its own, and its parameters from the environment (KRUN_*). It mounts the
// base file systems, brings up loopback, reads the configuration, runs the workload and reaps what it leaves behind. The
// workload's exit code goes to the host, and the machine is switched off.
//
// With -n, on any machine, it has no effects and prints the plan it would carry out for the environment and arguments that
// it gets.
//
// Options:
//
//	-n             print the plan, do nothing
//	-json          print it as JSON
//	-root DIR      for -n: read configuration and passwd of this root file system (default /)
//	-config FILE   for -n: read this configuration instead
//	-cmdline TEXT  for -n: the kernel command line (default empty)
//	--force        act though this is not PID 1 and the mount namespace is the machine's
package main

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/multicall/os"
	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/exec"
	"github.com/krunbox/krunbox/pkg/guard"
	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/network"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/option"
	"github.com/krunbox/krunbox/pkg/poweroff"
	"github.com/krunbox/krunbox/pkg/rootfs"
	"github.com/krunbox/krunbox/pkg/signals"
	"github.com/krunbox/krunbox/pkg/stdio"
	"github.com/krunbox/krunbox/pkg/timesync"
)

func main() {
	if unix.Getpid() == 1 {
		os.Exit(bootGuest(os.Args, os.Environ()))
	}
	os.Exit(run(os.Args, os.Environ(), os.Stdout, os.Stderr))
}

// bootGuest boots, runs the workload and switches the machine off. Where there is no machine to switch off it returns the
// exit code.
func bootGuest(args, env []string) (code int) {
	name := ""
	if len(args) > 0 { // a kernel may give none
		name = args[0]
	}
	g := newGuest(name, bootparam.Parse(args, env))
	up, down := order()

	runner := boot.Runner{Warn: warn}
	if g.params.Debug {
		runner.Clock, runner.Ended = loop.Now, g.ended
	}
	// What fails is reported in one line: warnings where an operator reads them, on the console, but the reason why there is
	// no workload, in its turn, on its standard error.
	g.code = poweroff.InitFailed
	if g.failure = boot.Run(&runner, up, g); g.failure != nil {
		g.code = exec.ExitCode(g.failure)
	} else {
		g.code = poweroff.Code(g.status)
	}
	if err := boot.Run(&runner, down, g); err != nil {
		warn(err)
	}
	return g.code
}

// ended tells who asked for it, by KRUN_DEBUG, what became of a stage.
func (g *guest) ended(o boot.Outcome) {
	g.outcomes = append(g.outcomes, o)
	say(2, o.String())
}

// sayReason is the operation that says why the boot has failed, on what would be the workload's standard error.
type sayReason struct{ *guest }

func (sayReason) Describe() op.Description {
	return op.Describe("say", "why there is no workload")
}

func (s sayReason) Do() error {
	say(s.stderr(), boot.Line(s.failure))
	return nil
}

// stderr is the workload's standard error. A boot that failed early has not looked for it yet.
func (g *guest) stderr() int {
	if !g.redirected {
		sys := mount.Mount{Type: "sysfs", Source: "sysfs", Target: "/sys"}
		ports := stdio.Redirect{ClassDir: stdio.ClassDir, Streams: g.streams}
		if op.Protect(sys.Do) == nil {
			_ = op.Protect(ports.Do)
		}
	}
	return g.streams[2]
}

func warn(err error) { say(2, "warning: "+boot.Line(err)) }

// warnLater returns what reports warnings of a stage whose work goes on when the stage is over.
func warnLater(stage string) func(error) {
	return func(err error) { warn(&boot.Error{Stage: stage, Err: err}) }
}

// say writes a line to a descriptor, as far as somebody reads there: neither a port nor a console that is full must keep PID 1
// from its work. After a second the line of a port goes to the console, and one of the console nowhere.
func say(fd int, line string) {
	const most = 2048
	if len(line) > most {
		line = line[:most] + "..."
	}
	text := []byte("krunbox: " + line + "\n")
	if !writable(fd) {
		if fd == 2 || !writable(2) {
			return
		}
		fd = 2
	}
	_, _ = unix.Write(fd, text)
}

// writable waits up to a second until a descriptor takes what is written.
func writable(fd int) bool {
	ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(ready, 1000)
	return err != nil || n == 1 && ready[0].Revents&unix.POLLOUT != 0
}

const usage = `usage: init -n [-json] [-root DIR] [-config FILE] [-cmdline TEXT] [--] [ARG...]
init boots a libkrun guest as its PID 1. By hand it only prints, with -n, what it would do.
  -n             print the plan for this environment and ARG, do nothing
  -json          print it as JSON
  -root DIR      read configuration and passwd of the root file system in DIR
  -config FILE   read the configuration in FILE
  -cmdline TEXT  the kernel command line
  --force        boot here, whatever this machine is
Examples:
  env -i KRUN_INIT=/bin/date KRUN_WORKDIR=/tmp krunbox init -n -- -u
  krunbox init -n -json -root rootfs -config config.json
`

func run(args, env []string, stdout, stderr io.Writer) int {
	var printOnly, asJSON, force bool
	var root, config, cmdline string
	operands, err := option.Parse(args[min(1, len(args)):],
		option.Flag("n", &printOnly), option.Flag("json", &asJSON), option.Flag("force", &force),
		option.Text("root", &root), option.Text("config", &config), option.Text("cmdline", &cmdline))
	if errors.Is(err, option.ErrHelp) {
		io.WriteString(stdout, usage)
		return 0
	}
	if err == nil && !printOnly && !force && guard.Check() != nil {
		err = errors.New(guard.ErrOwnMachine.Error() + " (init -n prints what it would do)")
	}
	argv := append([]string{"/init.krun"}, operands...)
	if err == nil && !printOnly {
		return bootGuest(argv, env)
	}
	if err == nil {
		g := newGuest(argv[0], bootparam.Parse(argv, env))
		g.root, g.configFile = root, config
		g.readCmdline = func() ([]byte, error) { return []byte(cmdline), nil }
		err = g.print(stdout, asJSON)
	}
	if err != nil {
		io.WriteString(stderr, "init: "+boot.Line(err)+"\n")
		return poweroff.InitFailed
	}
	return 0
}

// guest is what is known of the guest as its boot goes on.
type guest struct {
	name   string // argv[0]
	params bootparam.Params
	config guestconfig.Config

	root        string // prefix of files that are read for planning; "" but for init -n
	configFile  string // instead of the guest's; "" but for init -n
	readCmdline func() ([]byte, error)
	cmdline     string // the kernel's command line, once it was read

	first      rootfs.First // the root that was there before another one was mounted
	signals    *signals.Pipe
	fresh      bool // nobody has mounted anything before
	streams    *stdio.Streams
	redirected bool             // streams were looked for
	console    string           // device behind /dev/console, if the workload is to have it
	clock      *timesync.Sync   // nil: not wanted
	network    *network.Network // nil: not asked for
	tasks      loop.Loop        // what goes on beside the workload

	leaseHostname string
	outcomes      []boot.Outcome // of the stages that are over, for KRUN_DEBUG

	pid     int
	status  unix.WaitStatus
	failure error // of the boot; nil: the workload ran
	code    int
}

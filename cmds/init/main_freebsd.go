// Init boots a libkrun guest and runs its workload, as the host's kernel environment and configuration disk ask for it.
//
// Synopsis:
//
//	init
//	init -n [-json] [-root DIR] [-config FILE] [--] [ARG...]
//
// Description:
//
// As PID 1 it takes the workload's arguments from its own, and its parameters from the kernel environment, kenv(1). It opens
// the console, brings up loopback, reads the configuration, runs the workload and reaps what it leaves behind. Then the
// machine is switched off.
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
//	--force        act though this is not PID 1
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
	"github.com/krunbox/krunbox/pkg/option"
	"github.com/krunbox/krunbox/pkg/poweroff"
	"github.com/krunbox/krunbox/pkg/signals"
)

func main() {
	if unix.Getpid() == 1 {
		os.Exit(bootGuest(os.Args, append(os.Environ(), bootparam.Kenv(bootparam.KernelVariable)...)))
	}
	os.Exit(run(os.Args, os.Environ(), os.Stdout, os.Stderr))
}

// bootGuest boots, runs the workload and switches the machine off. Where there is no machine to switch off it returns the
// exit code.
func bootGuest(args, env []string) (code int) {
	g := newGuest(bootparam.Parse(args, env))
	up, down := order()

	runner := boot.Runner{Warn: warn}
	if err := boot.Run(&runner, up, g); err != nil {
		code = exec.ExitCode(err)
		say(boot.Line(err))
	} else {
		code = poweroff.Code(g.status)
	}
	if err := boot.Run(&runner, down, g); err != nil {
		warn(err)
	}
	return code
}

func warn(err error) { say("warning: " + boot.Line(err)) }

// say writes a line to standard error. With the workload's session its terminal is gone, for us too: then the line goes to
// the console anew.
func say(line string) {
	const most = 2048
	if len(line) > most {
		line = line[:most] + "..."
	}
	text := []byte("krunbox: " + line + "\n")
	if _, err := unix.Write(2, text); err == nil {
		return
	}
	if fd, err := unix.Open(console, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
		_, _ = unix.Write(fd, text)
		_ = unix.Close(fd)
	}
}

const usage = `usage: init -n [-json] [-root DIR] [-config FILE] [--] [ARG...]
init boots a libkrun guest as its PID 1. By hand it only prints, with -n, what it would do.
  -n             print the plan for this environment and ARG, do nothing
  -json          print it as JSON
  -root DIR      read configuration and passwd of the root file system in DIR
  -config FILE   read the configuration in FILE
  --force        boot here, whatever this machine is
Examples:
  env -i KRUN_INIT=/bin/date KRUN_WORKDIR=/tmp krunbox init -n -- -u
  krunbox init -n -json -root rootfs -config config.json
`

func run(args, env []string, stdout, stderr io.Writer) int {
	var printOnly, asJSON, force bool
	var root, config string
	operands, err := option.Parse(args[min(1, len(args)):],
		option.Flag("n", &printOnly), option.Flag("json", &asJSON), option.Flag("force", &force),
		option.Text("root", &root), option.Text("config", &config))
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
		g := newGuest(bootparam.Parse(argv, env))
		g.root, g.configFile = root, config
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
	params bootparam.Params
	config guestconfig.Config

	root       string // prefix of files that are read for planning; "" but for init -n
	configFile string // instead of the guest's; "" but for init -n

	signals *signals.Pipe
	disk    bool // the configuration disk is there

	pid    int
	status unix.WaitStatus
}

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
	"flag"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/exitreport"
	"github.com/krunbox/krunbox/pkg/guard"
	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/signals"
	"github.com/krunbox/krunbox/pkg/stdio"
	"github.com/krunbox/krunbox/pkg/workload"
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
	g := newGuest(bootparam.Parse(args, env))
	up, down := g.order()

	// What fails is reported in one line: warnings where an operator reads them, on the console, but the reason why there is
	// no workload on its standard error.
	warn := func(err error) { say(2, "warning: "+boot.Line(err)) }
	g.code = exitreport.InitFailed
	if err := boot.Run(up, warn); err != nil {
		g.code = workload.ExitCode(err)
		say(g.streams[2], boot.Line(err))
	} else {
		g.code = exitreport.Code(g.status)
	}
	if err := boot.Run(down, warn); err != nil {
		warn(err)
	}
	return g.code
}

// say writes a line to a descriptor. A port whose host does not read must not stop the machine's end: after a second the
// line goes to the console.
func say(fd int, line string) {
	const most = 2048
	if len(line) > most {
		line = line[:most] + "..."
	}
	text := []byte("krunbox: " + line + "\n")
	if fd > 2 {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if n, _ := unix.Poll(ready, 1000); n != 1 || ready[0].Revents&unix.POLLOUT == 0 {
			fd = 2
		}
	}
	_, _ = unix.Write(fd, text)
}

func run(args, env []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("init", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "usage: init -n [-json] [-root DIR] [-config FILE] [-cmdline TEXT] [--] [ARG...]\n"+
			"init boots a libkrun guest as its PID 1; by hand it only prints, with -n, what it would do.\n"+
			"Example: env -i KRUN_INIT=/bin/date KRUN_WORKDIR=/tmp krunbox init -n -- -u\n")
		flags.PrintDefaults()
	}
	printOnly := flags.Bool("n", false, "print the plan, do nothing")
	asJSON := flags.Bool("json", false, "print the plan as JSON")
	root := flags.String("root", "", "read configuration and passwd of the root file system in `DIR`")
	config := flags.String("config", "", "read the configuration in `FILE`")
	cmdline := flags.String("cmdline", "", "the kernel's command line")
	force := flags.Bool("force", false, "boot here, whatever this machine is")
	switch err := flags.Parse(args[min(1, len(args)):]); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitreport.InitFailed
	}
	argv := append([]string{"/init.krun"}, flags.Args()...)

	if !*printOnly {
		if err := guard.Check(); err != nil && !*force {
			fmt.Fprintf(stderr, "init: %v (init -n prints what it would do)\n", err)
			return exitreport.InitFailed
		}
		return bootGuest(argv, env)
	}

	g := newGuest(bootparam.Parse(argv, env))
	g.root = *root
	g.configFile = *config
	g.readCmdline = func() ([]byte, error) { return []byte(*cmdline), nil }
	write := boot.WriteText
	if *asJSON {
		write = boot.WriteJSON
	}
	up, down := g.order()
	if err := write(stdout, append(up, down...)); err != nil {
		fmt.Fprintf(stderr, "init: %s\n", boot.Line(err))
		return exitreport.InitFailed
	}
	return 0
}

// guest is what is known of the guest as its boot goes on.
type guest struct {
	params bootparam.Params
	config guestconfig.Config

	root        string // prefix of files that are read for planning; "" but for init -n
	configFile  string // instead of the guest's; "" but for init -n
	readCmdline func() ([]byte, error)
	cmdline     string // the kernel's command line, once it was read

	signals *signals.Pipe
	fresh   bool // nobody has mounted anything before
	streams *stdio.Streams
	pid     int
	status  unix.WaitStatus
	code    int
}

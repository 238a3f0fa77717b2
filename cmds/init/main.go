//go:build linux || freebsd

// Init boots a libkrun guest and runs its workload, as the host's parameters and configuration ask
// for it.
//
// Synopsis:
//
//	init
//	init -n [-json] [-root DIR] [-config FILE] [-cmdline TEXT] [--] [ARG...]
//
// Description:
//
// As PID 1 it takes the workload's arguments from its own, and its parameters (KRUN_*) from the
// environment or, on FreeBSD, from the kernel environment, kenv(1). It mounts the base file
// systems, brings up loopback, reads the configuration, runs the workload and reaps orphans. At
// the end it reports the workload's exit code to the host and switches the machine off.
//
// With -n, on any machine, it has no effects: it prints the plan for its environment and arguments.
//
// Options:
//
//	-n             print the plan, do nothing
//	-json          print it as JSON
//	-root DIR      for -n: read configuration, passwd and group of this root file system (default /)
//	-config FILE   for -n: read this configuration instead
//	-cmdline TEXT  for -n: the kernel command line (default empty)
//	--force        boot although this is not PID 1 and the mount namespace is the machine's
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/guard"
	"github.com/krunbox/krunbox/pkg/guestboot"
	"github.com/krunbox/krunbox/pkg/poweroff"
	"github.com/krunbox/krunbox/pkg/stdio"
)

func main() { os.Exit(run(os.Args, os.Environ(), os.Stdout, os.Stderr)) }

const usage = `usage: init -n [-json] [-root DIR] [-config FILE] [-cmdline TEXT] [--] [ARG...]
init boots a libkrun guest as its PID 1. By hand, with -n, it prints what it would do.
  -n             print the plan for this environment and ARG, do nothing
  -json          print it as JSON
  -root DIR      read configuration, passwd and group of the root file system in DIR
  -config FILE   read the configuration in FILE
  -cmdline TEXT  the kernel command line
  --force        boot here, whatever this machine is
Examples:
  env -i KRUN_INIT=/bin/date KRUN_WORKDIR=/tmp krunbox init -n -- -u
  krunbox init -n -json -root rootfs -config config.json
Variables:
`

func run(args, environ []string, stdout, stderr io.Writer) int {
	if os.Getpid() == 1 {
		return bootGuest(args, guestEnviron(environ))
	}
	var printOnly, asJSON, force bool
	var cmdline string
	o := guestboot.Options{Name: "/init.krun", Cmdline: &cmdline}
	flags := flag.NewFlagSet("init", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&printOnly, "n", false, "")
	flags.BoolVar(&asJSON, "json", false, "")
	flags.BoolVar(&force, "force", false, "")
	flags.StringVar(&o.Root, "root", "", "")
	flags.StringVar(&o.ConfigFile, "config", "", "")
	flags.StringVar(&cmdline, "cmdline", "", "")
	err := flags.Parse(args[min(1, len(args)):])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage+bootparam.Help())
		return 0
	}
	argv := append([]string{o.Name}, flags.Args()...)
	switch {
	case err != nil:
	case printOnly:
		o.Params = bootparam.Parse(argv, environ)
		err = guestboot.Print(stdout, guestboot.New(o), asJSON)
	case !force && guard.CheckBoot() != nil:
		err = fmt.Errorf("%w (init -n prints what it would do)", guard.ErrOwnMachine)
	default:
		return bootGuest(argv, environ)
	}
	if err != nil {
		fmt.Fprintln(stderr, "init:", boot.Line(err))
		return poweroff.InitFailed
	}
	return 0
}

// bootGuest boots this machine. It returns the exit code where there is no machine to switch off.
func bootGuest(args, environ []string) int {
	o := guestboot.Options{Params: bootparam.Parse(args, environ), Print: new(stdio.Printer).Print}
	if len(args) > 0 { // a kernel may give none
		o.Name = args[0]
	}
	up, down := guestboot.Stages()
	return guestboot.Run(guestboot.New(o), up, down)
}

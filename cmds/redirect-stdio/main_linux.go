// Redirect-stdio runs a command on the virtio ports that a libkrun host serves as its standard
// streams.
//
// Synopsis:
//
//	redirect-stdio [--] CMD [ARG...]
//	redirect-stdio
//
// Description:
//
// The ports krun-stdin, krun-stdout and krun-stderr, as far as they exist, replace standard input,
// output and error of CMD, which is executed in the place of redirect-stdio. Without CMD the named
// ports are listed, with the streams that they replace.
//
// The exit code is that of CMD; 127 if it is not found, 126 if it cannot be executed, 125 if there
// are no virtio ports.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/exec"
	"github.com/krunbox/krunbox/pkg/stdio"
)

const usage = `usage: redirect-stdio [--] CMD [ARG...]
       redirect-stdio
Run CMD on the virtio ports krun-stdin, krun-stdout and krun-stderr; without CMD, list the ports and
the streams they replace.
Examples:
  redirect-stdio sort -u
  redirect-stdio -- sh -c 'cat >/tmp/in; echo done >&2'
`

func main() { os.Exit(run(os.Args, os.Environ(), stdio.ClassDir, os.Stdout, os.Stderr)) }

func run(args, env []string, classDir string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("redirect-stdio", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	err := flags.Parse(args[min(1, len(args)):])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return 0
	}
	var ports []stdio.Port
	if err == nil {
		ports, err = stdio.Ports(classDir)
	}
	switch {
	case err != nil:
	case flags.NArg() == 0:
		err = list(stdout, ports)
	default:
		err = execute(flags.Args(), env, ports, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "redirect-stdio:", boot.Line(err))
		return exec.ExitCode(err)
	}
	return 0
}

// list prints a line for each port.
func list(w io.Writer, ports []stdio.Port) error {
	var text []byte
	for _, p := range ports {
		replaces := "-"
		if s := p.Stream(); s >= 0 {
			replaces = [...]string{"stdin", "stdout", "stderr"}[s]
		}
		text = fmt.Appendf(text, "%-16s %-24s %s\n", p.Device, p.Name, replaces)
	}
	if len(ports) == 0 {
		text = []byte("no port has a name\n")
	}
	_, err := w.Write(text)
	return err
}

// execute replaces this process by the command. A port that cannot be opened is reported and
// skipped.
func execute(args, env []string, ports []stdio.Port, stderr io.Writer) error {
	streams := stdio.Inherited()
	for _, p := range ports {
		if err := streams.Open(p); err != nil {
			fmt.Fprintln(stderr, "redirect-stdio: warning:", boot.Line(err))
		}
	}
	spec := exec.Spec{Process: specs.Process{Args: args, Env: env}, Streams: *streams}
	return spec.Exec()
}

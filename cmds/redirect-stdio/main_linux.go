// Redirect-stdio runs a command on the virtio ports that a libkrun host serves as its standard streams.
//
// Synopsis:
//
//	redirect-stdio [--] CMD [ARG...]
//	redirect-stdio
//
// Description:
//
// The ports named krun-stdin, krun-stdout and krun-stderr, each where it exists, replace standard input, output and error
// of CMD, which is executed in the place of redirect-stdio. Without CMD the named ports are listed with what they would
// replace.
//
// The exit code is CMD's; 127 if it is not found, 126 if it can't be executed, 125 if there are no virtio ports at all.
package main

import (
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/krunbox/krunbox/multicall/os"
	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/exec"
	"github.com/krunbox/krunbox/pkg/option"
	"github.com/krunbox/krunbox/pkg/stdio"
)

const usage = `usage: redirect-stdio [--] CMD [ARG...]   run CMD on the ports krun-stdin, krun-stdout, krun-stderr
       redirect-stdio                     list the virtio ports and what they would replace
Examples:
  redirect-stdio sort -u
  redirect-stdio -- sh -c 'cat >/tmp/in; echo done >&2'
`

func main() { os.Exit(run(os.Args, os.Environ(), stdio.ClassDir, os.Stdout, os.Stderr)) }

func run(args, env []string, classDir string, stdout, stderr io.Writer) int {
	command, err := option.Parse(args[min(1, len(args)):])
	if errors.Is(err, option.ErrHelp) {
		io.WriteString(stdout, usage)
		return 0
	}
	if err == nil {
		if len(command) == 0 {
			err = list(stdout, classDir)
		} else {
			err = execute(command, env, classDir, stderr)
		}
	}
	if err != nil {
		io.WriteString(stderr, "redirect-stdio: "+boot.Line(err)+"\n")
		return exec.ExitCode(err)
	}
	return 0
}

// list prints a line for each port.
func list(w io.Writer, classDir string) error {
	ports, err := stdio.Ports(classDir)
	if err != nil {
		return err
	}
	slices.SortFunc(ports, func(a, b stdio.Port) int { return strings.Compare(a.Device, b.Device) })
	var b strings.Builder
	for _, p := range ports {
		replaces := "-"
		if s := p.Stream(); s >= 0 {
			replaces = [...]string{"stdin", "stdout", "stderr"}[s]
		}
		b.WriteString(pad(p.Device, 17) + pad(p.Name, 25) + replaces + "\n")
	}
	if len(ports) == 0 {
		b.WriteString("no port has a name\n")
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// pad fills s up to a width with blanks, at least one.
func pad(s string, width int) string { return s + strings.Repeat(" ", max(1, width-len(s))) }

// execute replaces this process by the command. A port that can't be opened is said and skipped.
func execute(args, env []string, classDir string, stderr io.Writer) error {
	ports, err := stdio.Ports(classDir)
	if err != nil {
		return err
	}
	streams := stdio.Inherited()
	for _, p := range ports {
		if err := streams.Open(p); err != nil {
			io.WriteString(stderr, "redirect-stdio: warning: "+boot.Line(err)+"\n")
		}
	}
	spec := exec.Spec{Args: args, Env: env, Streams: *streams}
	return spec.Exec()
}

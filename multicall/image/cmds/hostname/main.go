// Hostname prints or sets the name of the machine.
//
// Synopsis:
//
//	hostname [-s | NAME]
//
// The option -s prints the part before the first dot.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	if err := hostname(args, stdout); err != nil {
		fmt.Fprintf(stderr, "hostname: %v\n", err)
		return 1
	}
	return 0
}

func hostname(args []string, stdout io.Writer) error {
	short := len(args) == 1 && args[0] == "-s"
	switch {
	case len(args) > 1:
		return fmt.Errorf("want one name, have %d", len(args))
	case len(args) == 1 && !short && strings.HasPrefix(args[0], "-"):
		return fmt.Errorf("unknown option %s", args[0])
	case len(args) == 1 && !short:
		if err := unix.Sethostname([]byte(args[0])); err != nil {
			return fmt.Errorf("set %s: %w", args[0], err)
		}
		return nil
	}
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	if short {
		name, _, _ = strings.Cut(name, ".")
	}
	_, err = fmt.Fprintln(stdout, name)
	return err
}

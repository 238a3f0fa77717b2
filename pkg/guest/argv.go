package guest

import (
	"strings"

	"github.com/krunbox/krunbox/pkg/exec"
)

// Argv returns the workload's argument vector. It is the host's program, if any, with init's own
// arguments; else the configured vector; else init's arguments, nil if there are none. Arguments
// that begin with an option are those of a shell, as with libkrun's init in C.
func Argv(program string, configured, args []string) []string {
	switch {
	case program != "":
		return append([]string{program}, args...)
	case len(configured) > 0:
		return configured
	case len(args) > 0 && strings.HasPrefix(args[0], "-"):
		return append([]string{exec.Shell}, args...)
	case len(args) > 0:
		return args
	default:
		return nil
	}
}

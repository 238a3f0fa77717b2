package exec

import (
	"fmt"
	"syscall"
)

// explain returns why execve(2) refused the candidate with an index.
func explain(errno syscall.Errno, candidates []string, refused int) error {
	if len(candidates) > 1 {
		return fmt.Errorf("looked for in PATH, last reason %s: %w", candidates[refused], errno)
	}
	return errno
}

// isScript reports whether a file that the kernel can't execute is text for a shell. Here, every
// such file is left to the shell.
func isScript(string) bool { return true }

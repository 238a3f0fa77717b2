// Package tool runs programs of the build host.
package tool

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Run runs a program and returns its standard output. An empty dir is the working directory, a nil
// env is the environment of this process. The error contains what the program printed.
func Run(
	ctx context.Context, dir string, env []string, program string, args ...string,
) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err == nil {
		return stdout.Bytes(), nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	err = fmt.Errorf("%s %s: %w", filepath.Base(program), args[0], err)
	printed := bytes.TrimSpace(append(stderr.Bytes(), stdout.Bytes()...))
	if len(printed) > 0 {
		err = fmt.Errorf("%w\n%s", err, printed)
	}
	return nil, err
}

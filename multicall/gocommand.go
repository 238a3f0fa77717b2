package multicall

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/version"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// A goCommand is the go command of the toolchain that a module selects. It is called such that the
// user's settings do not change what it builds.
type goCommand struct {
	dir     string // in the module
	path    string // of the go command
	version string // language version of the module, such as go1.26
	goos    string // to build for
	goarch  string
	goroot  string
	gopath  string
	gocache string
}

func newGoCommand(ctx context.Context, dir, goos, goarch string) (goCommand, error) {
	c := goCommand{dir: dir, goos: goos, goarch: goarch}
	// The go command runs the toolchain that go.mod selects, and reports its GOROOT.
	out, err := run(ctx, dir, c.moduleEnv(), "go", "env", "-json", "GOROOT", "GOPATH", "GOCACHE")
	if err != nil {
		return c, err
	}
	var env struct{ GOROOT, GOPATH, GOCACHE string }
	if err := json.Unmarshal(out, &env); err != nil {
		return c, fmt.Errorf("go env: %w", err)
	}
	c.goroot, c.gopath, c.gocache = env.GOROOT, env.GOPATH, env.GOCACHE
	c.path = filepath.Join(c.goroot, "bin", "go")

	out, err = run(ctx, dir, c.moduleEnv(), c.path, "list", "-m", "-f", "{{.GoVersion}}")
	if err != nil {
		return c, err
	}
	c.version = version.Lang("go" + strings.TrimSpace(string(out)))
	return c, nil
}

// buildEnv is common to all environments. It selects the oldest CPU, whatever the user has selected.
func (c *goCommand) buildEnv() []string {
	return []string{
		"GOOS=" + c.goos, "GOARCH=" + c.goarch, "GOAMD64=v1", "GOARM64=v8.0", "GORISCV64=rva20u64", "CGO_ENABLED=0",
	}
}

// moduleEnv is the environment for commands in the module. Of the user's settings it keeps those that
// say where modules come from and where they are cached.
func (c *goCommand) moduleEnv() []string {
	env := append(os.Environ(), c.buildEnv()...)
	if c.goroot != "" {
		// makebb does not read the settings of "go env -w".
		env = append(env, "GOROOT="+c.goroot, "GOPATH="+c.gopath, "GOCACHE="+c.gocache)
	}
	// An empty GOFLAGS would not override the one of "go env -w"; a flag without effect does.
	return append(env, "GO111MODULE=on", "GOWORK=off", "GOFLAGS=-buildvcs=false")
}

// gopathEnv is the environment for builds in a GOPATH tree, which use nothing outside of it.
func (c *goCommand) gopathEnv(gopath string) []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GO") && !strings.HasPrefix(e, "CGO_") {
			env = append(env, e)
		}
	}
	env = append(env, c.buildEnv()...)
	return append(env, "GOENV=off", "GOTOOLCHAIN=local", "GOROOT="+c.goroot, "GOCACHE="+c.gocache,
		"GOEXPERIMENT=", "GO111MODULE=off", "GOPATH="+gopath)
}

// tool builds a tool of the module for this host and returns the path of its executable, in the build
// cache.
func (c *goCommand) tool(ctx context.Context, name string) (string, error) {
	env := append(c.moduleEnv(), "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	out, err := run(ctx, c.dir, env, c.path, "tool", "-n", name)
	return strings.TrimSpace(string(out)), err
}

// run executes a program and returns its standard output. Its error contains what the program printed.
func run(ctx context.Context, dir string, env []string, program string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		err = fmt.Errorf("%s %s: %w", filepath.Base(program), args[0], err)
		// makebb prints its errors on standard output.
		if printed := bytes.TrimSpace(append(stderr.Bytes(), stdout.Bytes()...)); len(printed) > 0 {
			err = fmt.Errorf("%w\n%s", err, printed)
		}
		return nil, err
	}
	return stdout.Bytes(), nil
}

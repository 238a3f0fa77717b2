package multicall

import (
	"context"
	"encoding/json"
	"fmt"
	"go/version"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/krunbox/krunbox/internal/tool"
)

// A goCommand is the go command of the toolchain that a module selects. It runs in environments in
// which the user's settings do not change what it builds.
type goCommand struct {
	dir     string // in the module
	path    string // of the go command
	release string // of the toolchain, such as go1.26.8
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
	out, err := tool.Run(ctx, dir, c.moduleEnv(),
		"go", "env", "-json", "GOROOT", "GOPATH", "GOCACHE", "GOVERSION")
	if err != nil {
		return c, err
	}
	var env struct{ GOROOT, GOPATH, GOCACHE, GOVERSION string }
	if err := json.Unmarshal(out, &env); err != nil {
		return c, fmt.Errorf("go env: %w", err)
	}
	c.goroot, c.gopath, c.gocache = env.GOROOT, env.GOPATH, env.GOCACHE
	c.release = env.GOVERSION
	c.path = filepath.Join(c.goroot, "bin", "go")

	out, err = tool.Run(ctx, dir, c.moduleEnv(), c.path, "list", "-m", "-f", "{{.GoVersion}}")
	if err != nil {
		return c, err
	}
	c.version = version.Lang("go" + strings.TrimSpace(string(out)))
	return c, nil
}

// buildEnv returns the part that all environments have in common. It selects the oldest CPU.
func (c *goCommand) buildEnv() []string {
	return []string{
		"GOOS=" + c.goos, "GOARCH=" + c.goarch, "CGO_ENABLED=0",
		"GOAMD64=v1", "GOARM64=v8.0", "GORISCV64=rva20u64",
	}
}

// moduleEnv returns the environment for commands in the module. It keeps the user's settings for
// where modules come from and where they are cached.
func (c *goCommand) moduleEnv() []string {
	env := append(os.Environ(), c.buildEnv()...)
	if c.goroot != "" {
		// makebb does not read the settings of "go env -w".
		env = append(env, "GOROOT="+c.goroot, "GOPATH="+c.gopath, "GOCACHE="+c.gocache)
	}
	// An empty GOFLAGS would not override the one of "go env -w"; a flag without effect does.
	return append(env, "GO111MODULE=on", "GOWORK=off", "GOFLAGS=-buildvcs=false")
}

// gopathEnv returns the environment for builds in a GOPATH tree. They use nothing outside of the
// tree but the toolchain and the build cache.
func (c *goCommand) gopathEnv(gopath string) []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GO") && !strings.HasPrefix(e, "CGO_") {
			env = append(env, e)
		}
	}
	env = append(env, c.buildEnv()...)
	return append(env, "GOENV=off", "GOTOOLCHAIN=local", "GOROOT="+c.goroot, "GOCACHE="+c.gocache,
		"GOEXPERIMENT="+experiments(c.release), "GO111MODULE=off", "GOPATH="+gopath)
}

// experiments returns the experiments of the toolchain to build with. The garbage collector that is
// new in Go 1.26 costs PID 1 45 kB of memory, and makes the binary larger by as much, without a
// benefit: it is made for large heaps. Later releases no longer have the choice.
func experiments(release string) string {
	if version.Lang(release) == "go1.26" {
		return "nogreenteagc"
	}
	return ""
}

// tool builds a tool of the module for this host and returns the path of its executable, in the
// build cache.
func (c *goCommand) tool(ctx context.Context, name string) (string, error) {
	env := append(c.moduleEnv(), "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	out, err := tool.Run(ctx, c.dir, env, c.path, "tool", "-n", name)
	return strings.TrimSpace(string(out)), err
}

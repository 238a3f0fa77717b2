package oci

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/krunbox/krunbox/internal/cache"
)

const runtimeTools = "github.com/opencontainers/runtime-tools/cmd/"

// RuntimeTools returns the directory of two static programs for Linux on amd64: oci-runtime-tool,
// which generates configurations, and runtimetest, which compares a configuration with the
// container that it runs in. The first call builds them. module is the path of the module in
// directory runtimetools.
func RuntimeTools(ctx context.Context, module string) (string, error) {
	sum, err := os.ReadFile(filepath.Join(module, "go.sum"))
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("runtimetools-%x", sha256.Sum256(sum))
	return cache.File(ctx, name[:len("runtimetools-")+12], func(scratch string) (string, error) {
		cmd := exec.CommandContext(ctx, "go", "build", "-C", module, "-trimpath", "-ldflags=-s -w",
			"-o", scratch+"/bin/", runtimeTools+"oci-runtime-tool", runtimeTools+"runtimetest")
		cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=")
		if output, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build runtime-tools: %w\n%s", err, output)
		}
		return filepath.Join(scratch, "bin"), nil
	})
}

// Generate returns the configuration that oci-runtime-tool, a program in the directory tools,
// generates with the given options.
func Generate(ctx context.Context, tools string, options ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(tools, "oci-runtime-tool"),
		append([]string{"generate"}, options...)...)
	config, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return nil, fmt.Errorf("oci-runtime-tool generate: %w", err)
	}
	return config, nil
}

package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const programs = "github.com/krunbox/krunbox/integration/bench/testdata/"

// Programs are the paths of the programs that measure, and of one that is measured for comparison.
type Programs struct {
	Start    string // takes the time and executes /init.krun
	Finish   string // the workload that takes the time
	Plain    string // the plainest init that Go allows
	Transfer string // the workload that moves data through its streams
}

// Build builds the programs into dir. The working directory has to be in this module.
func Build(ctx context.Context, dir string) (Programs, error) {
	p := Programs{
		Start:    filepath.Join(dir, "start"),
		Finish:   filepath.Join(dir, "finish"),
		Plain:    filepath.Join(dir, "plain"),
		Transfer: filepath.Join(dir, "transfer"),
	}
	// The two that measure have addresses of their own, by which the plugin finds them.
	for _, b := range []struct{ output, source, ldflags string }{
		{p.Start, "stamp", "-s -w -E bench_start -T 0x20001000"},
		{p.Finish, "stamp", "-s -w -E bench_finish -T 0x30001000"},
		{p.Plain, "plain", "-s -w"},
		{p.Transfer, "transfer", "-s -w"},
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", b.ldflags,
			"-o", b.output, programs+b.source)
		cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+Arch, "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			return Programs{}, fmt.Errorf("build %s: %w\n%s", b.source, err, out)
		}
	}
	return p, nil
}

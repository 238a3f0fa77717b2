package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const programs = "github.com/krunbox/krunbox/integration/bench/testdata/"

// Programs are the paths of the programs that measure, and of those that are measured for comparison.
type Programs struct {
	Start  string // takes the time and executes /init.krun
	Finish string // the workload that takes the time
	Plain  string // the plainest init that Go allows
	Calls  string // the same, with all system calls that krunbox makes
}

// Build builds the programs into dir. The working directory has to be in this module.
func Build(ctx context.Context, dir string) (Programs, error) {
	p := Programs{
		Start:  filepath.Join(dir, "start"),
		Finish: filepath.Join(dir, "finish"),
		Plain:  filepath.Join(dir, "plain"),
		Calls:  filepath.Join(dir, "calls"),
	}
	// The addresses of the two that measure are no other program's.
	for _, b := range []struct{ output, source, tags, ldflags string }{
		{p.Start, "stamp", "", "-s -w -E bench_start -T 0x20001000"},
		{p.Finish, "stamp", "", "-s -w -E bench_finish -T 0x30001000"},
		{p.Plain, "plain", "", "-s -w"},
		{p.Calls, "plain", "calls", "-s -w"},
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", b.tags, "-ldflags", b.ldflags, "-o", b.output, programs+b.source)
		cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+Arch, "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			return Programs{}, fmt.Errorf("build %s: %w\n%s", b.source, err, out)
		}
	}
	return p, nil
}

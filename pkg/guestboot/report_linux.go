package guestboot

import (
	"bytes"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
)

func (g *Guest) wantsReport() bool { return g.Params.Debug }

// ended prints the outcome of a stage, and keeps it for the report.
func (g *Guest) ended(o boot.Outcome) {
	g.outcomes = append(g.outcomes, o)
	g.Print(unix.Stderr, o.String())
}

func monotonic() time.Duration { return loop.Now() }

// planReport writes the outcomes of the stages so far to /run.
func (g *Guest) planReport() ([]op.Op, error) { return []op.Op{writeReport{&g.outcomes}}, nil }

// reportDir is the directory of the boot report.
const reportDir = "/run/krunbox"

// writeReport writes outcomes to boot.json in reportDir. A root without /run has no report.
type writeReport struct{ outcomes *[]boot.Outcome }

func (writeReport) Describe() op.Description {
	return op.Describe("write", reportDir+"/boot.json", "unless", "no /run")
}

func (w writeReport) Do() error {
	if err := os.Mkdir(reportDir, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	var b bytes.Buffer
	if err := boot.WriteOutcomes(&b, *w.outcomes); err != nil {
		return err
	}
	const flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC | unix.O_NOFOLLOW | unix.O_NONBLOCK
	f, err := os.OpenFile(reportDir+"/boot.json", flags, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(b.Bytes())
	return err
}

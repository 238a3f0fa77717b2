package guestboot

import (
	"bytes"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/imagefile"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
)

func (g *Guest) wantsReport() bool { return g.Params.Debug }

// ended prints the outcome of a stage, and keeps it for the report.
func (g *Guest) ended(o boot.Outcome) {
	g.outcomes = append(g.outcomes, o)
	g.Print(unix.Stderr, o.String())
}

// waiting starts to measure a wait. The function that it returns ends the wait, and adds its duration
// to g.waited.
func (g *Guest) waiting() (over func()) {
	start := monotonic()
	return func() { g.waited += monotonic() - start }
}

func monotonic() time.Duration { return loop.Now() }

// planReport writes the outcomes of the stages so far to a file in memory.
func (g *Guest) planReport() ([]op.Op, error) { return []op.Op{writeReport{&g.outcomes}}, nil }

// ReportFile is the boot report. It is not in /run, which may be a directory of the host.
const ReportFile = "/dev/.boot.json"

// writeReport writes outcomes to ReportFile.
type writeReport struct{ outcomes *[]boot.Outcome }

func (writeReport) Describe() op.Description { return op.Describe("write", ReportFile) }

func (w writeReport) Do() error {
	var b bytes.Buffer
	if err := boot.WriteOutcomes(&b, *w.outcomes); err != nil {
		return err
	}
	return imagefile.Write(ReportFile, b.Bytes(), true) // the workload may have put anything there
}

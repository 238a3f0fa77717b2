package main

import (
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// reportDir is where what became of the boot is left for those who look for a fault.
const reportDir = "/run/krunbox"

// writeReport writes outcomes to boot.json in reportDir.
type writeReport struct{ outcomes *[]boot.Outcome }

func (writeReport) Describe() op.Description {
	return op.Describe("write", reportDir+"/boot.json", "unless", "no /run")
}

func (w writeReport) Do() error {
	if err := unix.Mkdir(reportDir, 0o755); err != nil && err != unix.EEXIST {
		return err
	}
	return sysfile.Write(reportDir+"/boot.json", boot.AppendOutcomes(nil, *w.outcomes), 0o644)
}

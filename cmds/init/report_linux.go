package main

import (
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// reportDir is where what became of the boot is left for those who look for a fault.
const reportDir = "/run/krunbox"

// writeReport writes outcomes to boot.json in reportDir.
type writeReport struct{ outcomes *[]boot.Outcome }

// Describe implements boot.Op.
func (writeReport) Describe() boot.Desc {
	return boot.Desc{Verb: "write", Object: reportDir + "/boot.json", Attrs: []boot.Attr{boot.A("unless", "no /run")}}
}

// Do implements boot.Op.
func (w writeReport) Do() error {
	if err := unix.Mkdir(reportDir, 0o755); err != nil && err != unix.EEXIST {
		return err
	}
	return sysfile.Write(reportDir+"/boot.json", boot.AppendOutcomes(nil, *w.outcomes), 0o644)
}

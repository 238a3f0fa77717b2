// Boot-chart shows what the boot of this guest took.
//
// Synopsis:
//
//	boot-chart [FILE]
//
// Description:
//
// It prints a line for each stage of the boot, up to the start of the workload: when the stage
// began, in seconds since the kernel started, a bar, how long it took, and its outcome. In a bar, "~"
// stands for the time in which the stage waited for a lease or a device, "#" for the rest. The
// stages that were left out follow, with the reason.
//
// The boot report is in /dev/.boot.json if the host has set KRUN_DEBUG=1. FILE is another one.
//
// Exit codes: 0; 1 there is no report; 2 wrong usage.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/guestboot"
	"github.com/krunbox/krunbox/pkg/imagefile"
)

const usage = `usage: boot-chart [FILE]
Show what the boot of this guest took: when each stage began, in seconds since the kernel started, a
bar (~ for waiting, # for the rest), how long it took, and its outcome. FILE is a boot report
(default /dev/.boot.json, which init writes if the host has set KRUN_DEBUG=1).
Exit codes: 0; 1 there is no report; 2 wrong usage.
Examples:
  boot-chart
  boot-chart boot.json | grep -v ok
`

// Exit codes.
const (
	failed  = 1
	misused = 2
)

// maxReport is the maximum size of a report in bytes.
const maxReport = 1 << 20

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	err := flags.Parse(args[1:])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return 0
	}
	if err == nil && flags.NArg() > 1 {
		err = errors.New("want at most one file")
	}
	if err != nil {
		fmt.Fprintf(stderr, "boot-chart: %v\n%s", err, usage)
		return misused
	}
	file := guestboot.ReportFile
	if flags.NArg() == 1 {
		file = flags.Arg(0)
	}
	if err := chart(stdout, file); err != nil {
		fmt.Fprintf(stderr, "boot-chart: %s\n", boot.Line(err))
		return failed
	}
	return 0
}

// chart prints the chart of the report in file.
func chart(w io.Writer, file string) error {
	data, err := imagefile.Read(file, maxReport)
	if errors.Is(err, fs.ErrNotExist) && file == guestboot.ReportFile {
		return fmt.Errorf("no %s: the host has to set KRUN_DEBUG=1 for a boot report", file)
	}
	if err != nil {
		return err
	}
	outcomes, err := boot.ParseOutcomes(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return boot.WriteChart(w, outcomes, guestboot.WorkloadStage)
}

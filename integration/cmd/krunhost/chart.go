package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/krunbox/krunbox/integration/bootchart"
)

// chartRecorder is a Writer for the output of the guest's console. It takes the lines on the stages
// of the boot out of it, and passes the rest to w at once.
type chartRecorder struct {
	w      io.Writer
	show   bool // pass on those lines too
	report bootchart.Report

	line   []byte // the beginning of a line that may be about a stage
	inLine bool   // the line is another one, whose beginning was passed on
}

// linePrefix is what lines of init begin with.
const linePrefix = "krunbox: "

// maxLine is the maximum length of a line about a stage, in bytes.
const maxLine = 16 << 10

func (c *chartRecorder) Write(p []byte) (int, error) {
	for piece := range bytes.Lines(p) {
		ended := piece[len(piece)-1] == '\n'
		if c.inLine {
			c.inLine = !ended
			if _, err := c.w.Write(piece); err != nil {
				return 0, err
			}
			continue
		}
		c.line = append(c.line, piece...)
		n := min(len(c.line), len(linePrefix))
		isOther := string(c.line[:n]) != linePrefix[:n] || len(c.line) > maxLine
		if !ended && !isOther {
			continue // the rest of the line follows
		}
		c.inLine = !ended
		if stage, ok := bootchart.ParseLine(string(c.line)); ok && ended {
			c.report = append(c.report, stage)
			if !c.show {
				c.line = c.line[:0]
			}
		}
		if err := c.close(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// close passes on the beginning of a line that has not ended.
func (c *chartRecorder) close() error {
	if len(c.line) == 0 {
		return nil
	}
	_, err := c.w.Write(c.line)
	c.line = c.line[:0]
	return err
}

// chartFile is where a chart goes.
type chartFile struct {
	file *os.File
	text bool
}

// createChart creates the file name for a chart. "-" stands for text on standard output.
func createChart(name string, stdout *os.File) (*chartFile, error) {
	if name == "-" {
		return &chartFile{stdout, true}, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("--boot-chart: %w", err)
	}
	return &chartFile{f, false}, nil
}

// write draws the chart of a report.
func (c *chartFile) write(r bootchart.Report) error {
	if len(r) == 0 {
		c.file.Close()
		return errors.New("--boot-chart: the guest's init has reported no stages (is it krunbox?)")
	}
	if c.text {
		_, err := io.WriteString(c.file, bootchart.Text(r))
		return err
	}
	_, err := c.file.Write(bootchart.SVG(r))
	return errors.Join(err, c.file.Close())
}

// drawChart executes "krunhost boot-chart": it draws the chart of the report on standard input.
func drawChart(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("krunhost boot-chart", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	text := fs.Bool("text", false, "")
	err := fs.Parse(args)
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, chartUsage)
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "krunhost boot-chart: %v\n%s", err, chartUsage)
		return exitHost
	}
	data, err := io.ReadAll(stdin)
	var report bootchart.Report
	if err == nil {
		report, err = bootchart.Parse(data)
	}
	if err == nil {
		picture := bootchart.SVG(report)
		if *text {
			picture = []byte(bootchart.Text(report))
		}
		_, err = stdout.Write(picture)
	}
	if err != nil {
		fmt.Fprintf(stderr, "krunhost boot-chart: %v\n", err)
		return exitHost
	}
	return 0
}

const chartUsage = `Usage: krunhost boot-chart [-text] <REPORT
Draws the boot report of a guest with KRUN_DEBUG=1, its /dev/.boot.json or what its console has
shown, as SVG or text on standard output.
`

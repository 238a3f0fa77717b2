// Command bench measures krunbox as the init program of a virtual machine, next to libkrun's C
// init, the plainest init that Go allows, and no init at all.
//
// Synopsis:
//
//	bench [OPTIONS]
//
// Description:
//
// It prints a table of medians, a row for each init and configuration:
//
//	instructions              from the start of the init to that of the workload, millions
//	ms                        emulated time of the same
//	blocks                    blocks of instructions that run for the first time then, thousands
//	added                     the figure before it less that of the row "nothing", where the workload
//	                          is the init
//	requests, lookups, reads  to the root file system in the whole boot
//	RSS, anon, threads        of process 1 while a workload runs, kB
//	size                      of the program, bytes
//	native                    from the start of the program on the host to its exit, µs
//
// Then it prints the bars that krunbox is to keep. Time and blocks have none. The exit code is 1 if
// a bar is broken, and noise can't be the reason. "go doc ./bench" tells how all this is measured.
//
// Options:
//
//	-n N              rounds that count instructions, at most (default 5); there is one for the rest
//	-limit DURATION   start no round that would end later (default 4m)
//	-init [NAME=]PATH an init to measure instead of ../build/init.krun; repeat it to compare several.
//	                  The bars are for the first.
//	-peers=false      leave other inits out
//	-oci=false        leave the OCI configuration out
//	-dhcp=false       leave the boots with DHCP out
//	-blocks           count blocks too; needs a C compiler
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/krunbox/krunbox/integration/bench"
	"github.com/krunbox/krunbox/integration/guestkernel"
	"github.com/krunbox/krunbox/integration/guestroot"
)

// defaultInit is where make build leaves krunbox.
const defaultInit = "../build/init.krun"

type options struct {
	rounds    int
	limit     time.Duration
	inits     []bench.Init
	peers     bool
	oci, dhcp bool
	blocks    bool
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	opts, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2 // parseOptions has printed the error
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	broken, err := measure(ctx, opts, stdout, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 2
	}
	if broken {
		return 1
	}
	return 0
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rounds, "n", 5, "`number` of rounds at most")
	flags.DurationVar(&o.limit, "limit", 4*time.Minute, "start no round that would end later")
	flags.Func("init", "measure the init `[NAME=]PATH` instead of "+defaultInit+"; may be repeated",
		func(s string) error {
			name, path, found := strings.Cut(s, "=")
			if !found {
				name, path = s, s
			}
			o.inits = append(o.inits, bench.Init{Name: name, Path: path, Native: true})
			return nil
		})
	flags.BoolVar(&o.peers, "peers", true, "measure other inits too")
	flags.BoolVar(&o.oci, "oci", true, "measure with an OCI configuration too")
	flags.BoolVar(&o.dhcp, "dhcp", true, "measure with an interface that DHCP configures too")
	flags.BoolVar(&o.blocks, "blocks", false, "count blocks that run for the first time too")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.rounds < 1:
		err = errors.New("-n: want at least one round")
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
	}
	if len(o.inits) == 0 {
		o.inits = []bench.Init{{Name: "krunbox", Path: defaultInit, Native: true}}
	}
	return o, err
}

// measure does what the options say, and reports whether a bar is broken.
func measure(ctx context.Context, o options, stdout, stderr io.Writer) (broken bool, err error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	programs, err := bench.Build(ctx, dir)
	if err != nil {
		return false, err
	}
	root := filepath.Join(dir, "root")
	if err := guestroot.Create(ctx, bench.Arch, root); err != nil {
		return false, err
	}
	if err := os.WriteFile(filepath.Join(root, "etc", "resolv.conf"), nil, 0o644); err != nil {
		return false, err
	}

	inits, err := rows(ctx, o, programs)
	if err != nil {
		return false, err
	}
	m := bench.Machine{Programs: programs, Root: root}
	if o.blocks {
		if m.Plugin, err = bench.BuildPlugin(ctx, dir); err != nil {
			return false, err
		}
	}
	progress := func(line string) { fmt.Fprintf(stderr, "bench: %s\n", line) }
	report, err := m.Measure(ctx, inits, o.rounds, o.limit, progress)
	if err != nil {
		return false, err
	}
	if err := report.WriteTable(stdout); err != nil {
		return false, err
	}
	for _, bar := range report.Bars() {
		fmt.Fprintln(stdout, bar)
		broken = broken || bar.Broken()
	}
	return broken, nil
}

// rows returns the inits to measure, each under all its configurations.
func rows(ctx context.Context, o options, programs bench.Programs) ([]bench.Init, error) {
	inits := slices.Clone(o.inits)
	configured := slices.Clone(o.inits) // the inits that have rows with DHCP and with OCI, too
	if o.peers {
		path, err := guestkernel.PeerInit(ctx)
		if err != nil {
			return nil, err
		}
		c := bench.Init{Name: bench.CInit, Path: path}
		inits = append(inits, c, bench.Init{Name: bench.PlainGo, Path: programs.Plain, Native: true})
		configured = append(configured, c)
	}
	if o.dhcp {
		for _, init := range configured {
			init.Name += bench.WithDHCP
			init.DHCP, init.Native = true, false
			inits = append(inits, init)
		}
	}
	if o.oci {
		for _, init := range configured {
			init.Name += bench.WithOCI
			init.Config, init.Native = bench.OCIConfig, false
			inits = append(inits, init)
		}
	}
	return inits, nil
}

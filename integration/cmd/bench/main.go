// Command bench measures krunbox as the init program of a virtual machine, next to libkrun's C init, the plainest init
// that Go allows, and no init at all.
//
// Synopsis:
//
//	bench [OPTIONS]
//
// Description:
//
// It prints a table, a row for each init and configuration:
//
//	time                      from the start of the init to the first instruction of the workload, ms: median
//	min, max                  the least and the greatest of the rounds
//	added                     time less that of the row "nothing", where the workload is the init
//	requests, lookups, reads  to the root file system in the whole boot
//	RSS, anon, threads        of process 1 while a workload runs, kB
//	size                      of the program, bytes
//
// Below are the bars that krunbox is to keep. The exit code is 1 if one is broken by more than noise can be the reason
// for. "go doc ./bench" tells how all this is measured.
//
// Options:
//
//	-n N              rounds (default 9)
//	-init [NAME=]PATH an init to measure instead of ../build/init.krun; repeat it to compare several. The bars are for
//	                  the first.
//	-peers=false      leave other inits out
//	-oci=false        leave the OCI configuration out
//	-dhcp=false       leave the boots with DHCP out
//	-icount           count instructions, in millions, instead of milliseconds
//	-blocks           count blocks of instructions that are executed for the first time, in thousands; needs a C compiler
//	-cpus N, -mem MIB the guest's processors and memory (default 1, 512)
//	-json             print everything that was measured as JSON
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/krunbox/krunbox/integration/bench"
	"github.com/krunbox/krunbox/integration/guestkernel"
	"github.com/krunbox/krunbox/integration/guestroot"
)

// defaultInit is where make build leaves krunbox.
const defaultInit = "../build/init.krun"

type options struct {
	rounds       int
	inits        []bench.Init
	peers        bool
	oci, dhcp    bool
	icount       bool
	blocks       bool
	cpus, memMiB int
	json         bool
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
		return 2 // the flag package has told
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
	flags.IntVar(&o.rounds, "n", 9, "`number` of rounds")
	flags.Func("init", "`[NAME=]PATH` of an init to measure instead of "+defaultInit+"; may be repeated", func(s string) error {
		name, path, found := strings.Cut(s, "=")
		if !found {
			name, path = s, s
		}
		o.inits = append(o.inits, bench.Init{Name: name, Path: path})
		return nil
	})
	flags.BoolVar(&o.peers, "peers", true, "measure other inits too")
	flags.BoolVar(&o.oci, "oci", true, "measure with an OCI configuration too")
	flags.BoolVar(&o.dhcp, "dhcp", true, "measure with a network interface that is configured by DHCP too")
	flags.BoolVar(&o.icount, "icount", false, "count instructions, in millions, instead of milliseconds")
	flags.BoolVar(&o.blocks, "blocks", false, "count blocks of instructions that are executed for the first time, in thousands, instead of milliseconds")
	flags.IntVar(&o.cpus, "cpus", 1, "`number` of the guest's processors")
	flags.IntVar(&o.memMiB, "mem", 512, "memory of the guest, `MiB`")
	flags.BoolVar(&o.json, "json", false, "print everything that was measured as JSON")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("argument %q is none of the options", flags.Arg(0))
	case o.rounds < 1:
		err = errors.New("-n: want at least one round")
	case o.icount && o.blocks:
		err = errors.New("-icount and -blocks are two units")
	case (o.icount || o.blocks) && o.cpus != 1:
		err = errors.New("-icount and -blocks work with one processor only")
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
	}
	if len(o.inits) == 0 {
		o.inits = []bench.Init{{Name: "krunbox", Path: defaultInit}}
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

	inits := slices.Clone(o.inits)
	configured := slices.Clone(o.inits) // those that are measured with DHCP, and with an OCI configuration, too
	if o.peers {
		path, err := guestkernel.PeerInit(ctx)
		if err != nil {
			return false, err
		}
		c := bench.Init{Name: bench.CInit, Path: path}
		inits = append(inits, c, bench.Init{Name: bench.PlainGo, Path: programs.Plain},
			bench.Init{Name: bench.PlainGoCalls, Path: programs.Calls})
		configured = append(configured, c)
	}
	if o.dhcp {
		for _, init := range configured {
			init.Name += bench.WithDHCP
			init.DHCP = true
			inits = append(inits, init)
		}
	}
	if o.oci {
		for _, init := range configured {
			init.Name += ", OCI"
			init.Config = bench.OCIConfig
			inits = append(inits, init)
		}
	}

	m := bench.Machine{Programs: programs, Root: root, CPUs: o.cpus, MemMiB: o.memMiB, CountInstructions: o.icount}
	if o.blocks {
		if m.CountBlocks, err = bench.BuildPlugin(ctx, dir); err != nil {
			return false, err
		}
	}
	report, err := m.Measure(ctx, inits, o.rounds, func(line string) { fmt.Fprintf(stderr, "bench: %s\n", line) })
	if err != nil {
		return false, err
	}
	if o.json {
		return false, json.NewEncoder(stdout).Encode(report)
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

// Soak boots guests with random faults of the host and random workloads, and checks what must hold in
// any case; see package soak. It needs root. Exit code: 1 if an invariant was broken.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/krunbox/krunbox/integration/soak"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("soak", flag.ContinueOnError)
	fs.SetOutput(stderr)
	seed := fs.Uint64("seed", 0, "seed; 0: a random one")
	boot := fs.Int("boot", -1, "repeat only this boot of the seed, and show all that is known of it")
	first := fs.Int("first", 0, "number of the first boot")
	boots := fs.Int("boots", 0, "number of boots at most; 0: no limit")
	duration := fs.Duration("for", 10*time.Minute, "how long to boot")
	parallel := fs.Int("parallel", 2, "boots at the same time")
	only := fs.String("only", "", "leave out boots whose plan does not contain this text")
	init := fs.String("init", "../build/init.krun", "path of krunbox")
	verbose := fs.Bool("v", false, "with -boot: guests print the kernel's messages and the stages of the boot")
	planOnly := fs.Bool("n", false, "with -boot: only print the plan")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if *seed == 0 {
		*seed = rand.Uint64() >> 32
	}
	if *planOnly {
		fmt.Fprint(stdout, soak.NewPlan(*seed, max(*boot, 0)))
		return 0
	}
	lab, err := soak.NewLab(ctx, *init)
	if err != nil {
		fmt.Fprintln(stderr, "soak:", err)
		return 2
	}
	defer lab.Close()
	if *boot >= 0 {
		lab.Verbose = *verbose
		return repeat(ctx, lab, soak.NewPlan(*seed, *boot), stdout)
	}
	fmt.Fprintf(stdout, "seed %d, %v; to repeat boot N: %s\n", *seed, *duration, soak.Repeat(*seed, 0))
	table := soak.Campaign{
		Seed: *seed, First: *first, Boots: *boots, For: *duration, Parallel: *parallel, Out: stdout, Every: time.Minute,
		Choose: func(p soak.Plan) bool { return strings.Contains(p.String(), *only) },
	}.Run(ctx, lab)
	fmt.Fprintf(stdout, "\n%v", table)
	if table.Broken() > 0 {
		return 1
	}
	return 0
}

// repeat carries out one plan and prints all that is known.
func repeat(ctx context.Context, lab *soak.Lab, p soak.Plan, stdout io.Writer) int {
	fmt.Fprint(stdout, p)
	o := lab.Boot(ctx, p)
	fmt.Fprintf(stdout, "  took      %v\n  codes     %v\n", o.Duration, o.Codes)
	if o.Processors != nil {
		fmt.Fprintf(stdout, "  late      %q\n", o.Processors)
	}
	fmt.Fprintf(stdout, "--- console\n%s\n", o.Console)
	var names []string
	for name := range o.Ports {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(stdout, "--- port %s\n%.2000s\n", name, o.Ports[name])
	}
	f := soak.Finding{Plan: p, Broken: soak.Judge(p, o), Failure: soak.Failure(o), Kernel: o.Kernel}
	if len(f.Broken) == 0 && f.Failure == nil {
		fmt.Fprintln(stdout, "--- no broken invariant")
		return 0
	}
	fmt.Fprintf(stdout, "---\n%v", f)
	return 1
}

// Command bench measures what krunbox costs as an init program, next to libkrun's C init, the least that an init in Go can
// be, and no init at all.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/krunbox/krunbox/integration/bench"
	"github.com/krunbox/krunbox/integration/guestkernel"
	"github.com/krunbox/krunbox/integration/guestroot"
)

type options struct {
	rounds       int
	cpus, memMiB int
	inits        []string
	peers, oci   bool
	icount       bool
	json         bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o options
	flag.IntVar(&o.rounds, "n", 9, "number of rounds")
	flag.IntVar(&o.cpus, "cpus", 1, "number of the guest's processors")
	flag.IntVar(&o.memMiB, "mem", 512, "memory of the guest, MiB")
	flag.BoolVar(&o.peers, "peers", true, "measure other inits too")
	flag.BoolVar(&o.oci, "oci", true, "measure with an OCI configuration too")
	flag.BoolVar(&o.icount, "icount", false, "count instructions")
	flag.BoolVar(&o.json, "json", false, "print all that was measured, as JSON")
	flag.Func("init", "`[NAME=]PATH` of an init to measure instead of build/init.krun; repeat for several", func(s string) error {
		o.inits = append(o.inits, s)
		return nil
	})
	flag.Parse()
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, stdout, stderr io.Writer) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	programs, err := bench.Build(ctx, dir)
	if err != nil {
		return err
	}
	root := filepath.Join(dir, "root")
	if err := guestroot.Create(ctx, "amd64", root); err != nil {
		return err
	}
	m := &bench.Machine{Programs: programs, Root: root, CPUs: o.cpus, MemMiB: o.memMiB, CountInstructions: o.icount}

	if len(o.inits) == 0 {
		o.inits = []string{"krunbox=../build/init.krun"}
	}
	var inits []bench.Init
	for _, s := range o.inits {
		name, path, found := strings.Cut(s, "=")
		if !found {
			name, path = s, s
		}
		inits = append(inits, bench.Init{Name: name, Path: path})
	}
	if o.peers {
		c, err := guestkernel.PeerInit(ctx)
		if err != nil {
			return err
		}
		inits = append(inits, bench.Init{Name: "C init", Path: c}, bench.Init{Name: "plain", Path: programs.Plain})
	}
	if o.oci {
		for _, i := range inits {
			if i.Name != "plain" {
				inits = append(inits, bench.Init{Name: i.Name + ", OCI", Path: i.Path, Config: bench.OCIConfig})
			}
		}
	}
	r, err := m.Measure(ctx, inits, o.rounds, func(s string) { fmt.Fprintln(stderr, "bench:", s) })
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(stdout).Encode(r)
	}
	return r.Write(stdout)
}

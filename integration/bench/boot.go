package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/virtiofs"
	"github.com/krunbox/krunbox/integration/vm"
)

// arch is the architecture of the guest: that of the C init there is to compare with.
const arch = "amd64"

// An Init is an init program under one configuration.
type Init struct {
	Name   string
	Path   string // of the program on the host
	Config []byte // what it finds in /.krun_config.json; nil: no such file
}

// A Machine is where inits are measured.
type Machine struct {
	Programs Programs
	Root     string // directory that is the guest's root
	CPUs     int
	MemMiB   int

	// CountInstructions makes a nanosecond of the guest's time one instruction. Not with several CPUs.
	CountInstructions bool
}

// A Start is how one start of an init went.
type Start struct {
	Time     time.Duration // from the start of init to that of the workload
	Requests Requests      // of the whole boot, the kernel's included
}

// Requests counts requests to the root file system.
type Requests struct{ All, Lookup, Read uint64 }

// Memory is what process 1 takes while a workload runs.
type Memory struct {
	RSS, Anonymous int // kB
	Threads        int
}

// Time boots a machine with init and returns how the start went.
func (m *Machine) Time(ctx context.Context, init Init) (Start, error) {
	cfg := m.config(init)
	cfg.InitPath = "/start"
	cfg.Files = append(cfg.Files,
		hostfs.File{Path: "/start", Source: m.Programs.Start, Mode: 0o755},
		hostfs.File{Path: "/init.krun", Source: init.Path, Mode: 0o755, OneShot: true},
		hostfs.File{Path: "/workload", Source: m.Programs.Finish, Mode: 0o755})
	cfg.Env = append(cfg.Env, stampVariable)
	clock := startClock(m.CountInstructions)
	result, err := vm.Run(ctx, cfg)
	tick := clock.tick()
	if err != nil && !(errors.Is(err, vm.ErrNoExitCode) && init.Path == m.Programs.Finish) {
		return Start{}, fmt.Errorf("%s: %w", init.Name, err)
	}
	ticks, err := parseStamps(result.Console)
	if err != nil {
		return Start{}, fmt.Errorf("%s: %w; console: %q", init.Name, err, result.Console)
	}
	return Start{Time: time.Duration(float64(ticks) * tick), Requests: requests(result)}, nil
}

// Memory boots a machine with init and returns what process 1 takes there.
func (m *Machine) Memory(ctx context.Context, init Init) (Memory, error) {
	cfg := m.config(init)
	cfg.Init, cfg.InitOneShot = init.Path, true
	cfg.Files = append(cfg.Files,
		hostfs.File{Path: "/workload", Data: []byte("#!/bin/sh\ncat /proc/1/status\n"), Mode: 0o755})
	result, err := vm.Run(ctx, cfg)
	if err != nil {
		return Memory{}, fmt.Errorf("%s: %w", init.Name, err)
	}
	memory, err := parseStatus(result.Console)
	if err != nil {
		return Memory{}, fmt.Errorf("%s: /proc/1/status: %w", init.Name, err)
	}
	return memory, nil
}

func (m *Machine) config(init Init) vm.Config {
	cfg := vm.Config{
		Arch:        arch,
		Root:        m.Root,
		ReadOnly:    true,
		CPUs:        m.CPUs,
		MemMiB:      m.MemMiB,
		GuestConfig: init.Config,
	}
	if init.Config == nil {
		cfg.Env = []string{"KRUN_INIT=/workload"}
	}
	if m.CountInstructions {
		cfg.Devices = []vm.Device{{Args: func([]int) []string { return []string{"-icount", "shift=0,sleep=off"} }}}
	}
	return cfg
}

func requests(result vm.Result) Requests {
	r := Requests{Lookup: result.Requests(virtiofs.OpLookup), Read: result.Requests(virtiofs.OpRead)}
	for op := range virtiofs.Opcode(64) {
		r.All += result.Requests(op)
	}
	return r
}

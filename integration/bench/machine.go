package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/virtiofs"
	"github.com/krunbox/krunbox/integration/vm"
)

// Arch is the GOARCH of the guest: that of the C init there is to compare with.
const Arch = "amd64"

// An Init is an init program under one configuration.
type Init struct {
	Name   string
	Path   string // of the program on the host
	Config []byte // of /.krun_config.json; nil: no such file, and KRUN_INIT names the workload
	DHCP   bool   // the init is to configure eth0 by DHCP; QEMU's own server answers at once
	Native bool   // the program is to be started on the host too; see the package's comment
}

// A Machine is where inits are measured: a guest with one processor.
type Machine struct {
	Programs Programs
	Root     string // a directory with busybox, the guest's root; not changed
	Plugin   string // what BuildPlugin returned; needed for the unit Blocks only
}

// A Unit is a unit of what an init takes until the workload starts.
type Unit string

// The units.
const (
	Instructions Unit = "instructions" // millions
	Time         Unit = "ms"           // under emulation
	Blocks       Unit = "blocks"       // blocks of instructions that run for the first time, thousands
)

// A Start is how an init came to start its workload.
type Start struct {
	Value    float64  // from the start of the init to that of the workload, in a Unit
	Requests Requests // to the root file system from the kernel's boot to the end
}

// Requests are numbers of FUSE requests.
type Requests struct{ All, Lookup, Read uint64 }

// Memory is what process 1 takes while a workload runs.
type Memory struct {
	RSS, Anonymous int // kB
	Threads        int
}

// Start boots a machine with init and returns how it started a workload.
func (m *Machine) Start(ctx context.Context, init Init, unit Unit) (Start, error) {
	cfg := m.config(init)
	cfg.InitPath = "/start"
	cfg.Files = append(cfg.Files,
		hostfs.File{Path: "/start", Source: m.Programs.Start, Mode: 0o755},
		hostfs.File{Path: "/init.krun", Source: init.Path, Mode: 0o755, OneShot: true},
		hostfs.File{Path: "/workload", Source: m.Programs.Finish, Mode: 0o755})
	cfg.Env = append(cfg.Env, stampVariable)
	switch unit {
	case Blocks:
		return m.countBlocks(ctx, cfg, init)
	case Instructions:
		countInstructions(&cfg)
	}

	clock := startClock()
	result, err := vm.Run(ctx, cfg)
	ticksPerMS := clock.ticksPerMS()
	// A workload that is process 1 itself has no way to report an exit code.
	if err != nil && !errors.Is(err, vm.ErrNoExitCode) {
		return Start{}, fmt.Errorf("%s: %w", init.Name, err)
	}
	ticks, err := parseStamps(result.Console)
	if err != nil {
		return Start{}, fmt.Errorf("%s: %w; console: %q", init.Name, err, result.Console)
	}
	s := Start{Requests: requests(result)}
	if unit == Instructions {
		s.Value = float64(ticks>>icountShift) / 1e6
	} else {
		s.Value = float64(ticks) / ticksPerMS
	}
	return s, nil
}

// Memory boots a machine with init and returns what process 1 takes there.
func (m *Machine) Memory(ctx context.Context, init Init) (Memory, error) {
	cfg := m.config(init)
	cfg.Init, cfg.InitOneShot = init.Path, true
	cfg.Env = append(cfg.Env, "KRUN_PID_NAMESPACE=0") // or process 1 would be the workload
	cfg.Files = append(cfg.Files,
		hostfs.File{Path: "/workload", Mode: 0o755, Data: []byte("#!/bin/sh\ncat /proc/1/status\n")})
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

// config returns what is common to all boots.
func (m *Machine) config(init Init) vm.Config {
	cfg := vm.Config{
		Arch:        Arch,
		Root:        m.Root,
		ReadOnly:    true,
		CPUs:        1,
		MemMiB:      512,
		GuestConfig: init.Config,
	}
	if init.Config == nil {
		cfg.Env = []string{"KRUN_INIT=/workload"}
	} else {
		// The C init makes no PID namespace, and process 1 in one would be the workload.
		cfg.Env = []string{"KRUN_PID_NAMESPACE=0"}
	}
	if init.DHCP {
		cfg.ReadOnly = false // for /etc/resolv.conf
		cfg.Env = append(cfg.Env, "KRUN_DHCP=1")
		cfg.Devices = append(cfg.Devices, vm.Device{Args: func([]int) []string {
			return []string{"-netdev", "user,id=net", "-device", "virtio-net-device,netdev=net"}
		}})
	}
	return cfg
}

// icountShift is the binary logarithm of the nanoseconds that an instruction takes when QEMU counts
// them. With 0, the loops in which the kernel's boot waits for time to pass would take ten seconds.
const icountShift = 3

// countInstructions makes the guest's time stamp counter count instructions.
func countInstructions(cfg *vm.Config) {
	cfg.Devices = append(cfg.Devices, vm.Device{Args: func([]int) []string {
		return []string{"-icount", fmt.Sprintf("shift=%d,sleep=off", icountShift)}
	}})
	// A processor that halts would let the time jump to the next tick of the kernel's timer.
	cfg.KernelArgs = "idle=poll"
}

// requests returns how many requests the guest has made.
func requests(result vm.Result) Requests {
	const opcodes = 64 // more than FUSE has
	r := Requests{Lookup: result.Requests(virtiofs.OpLookup), Read: result.Requests(virtiofs.OpRead)}
	for op := range virtiofs.Opcode(opcodes) {
		r.All += result.Requests(op)
	}
	return r
}

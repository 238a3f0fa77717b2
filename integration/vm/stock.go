package vm

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Machine types for the kernels of distributions; see Config.Machine.
const (
	Q35     = "q35"     // amd64: a PC with PCI devices
	Microvm = "microvm" // amd64: virtio-mmio devices, announced by ACPI
	Virt    = "virt"    // arm64: virtio-mmio devices, announced by ACPI or a device tree
)

// stockBoards has the boards for the kernels of distributions, by machine type. Most drivers of
// these kernels are modules. The console is a serial port, because its driver is built in.
var stockBoards = map[string]struct {
	arch string
	board
}{
	Q35: {"amd64", board{
		qemu:    boards["amd64"].qemu,
		install: boards["amd64"].install,
		args:    []string{"-M", "q35,memory-backend=mem", "-cpu", "max"},
		cmdline: []string{"no_timer_check"},
		serial:  "ttyS0",
		pci:     true,
	}},
	Microvm: {"amd64", board{
		qemu:    boards["amd64"].qemu,
		install: boards["amd64"].install,
		args:    []string{"-M", "microvm,rtc=on,memory-backend=mem", "-cpu", "max"},
		cmdline: append(tscFrequency(), "no_timer_check"),
		serial:  "ttyS0",
	}},
	Virt: {"arm64", board{
		qemu:     boards["arm64"].qemu,
		install:  boards["arm64"].install,
		args:     boards["arm64"].args,
		serial:   "ttyAMA0",
		reversed: true,
	}},
}

// tscFrequency returns the kernel parameter for the frequency of the time stamp counter, or nil if
// /proc/cpuinfo does not tell it. TCG's guests read the counter of this machine. If this machine is
// busy, the guest's kernel cannot measure the frequency and falls back to the timer interrupt. It
// hangs then, because on this board that interrupt does not arrive where ACPI says.
func tscFrequency() []string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "cpu MHz" {
			if mhz, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
				return []string{fmt.Sprintf("tsc_early_khz=%.0f", mhz*1000)}
			}
		}
	}
	return nil
}

// board returns the board for the machine type and architecture of c.
func (c *Config) board() board {
	if c.Machine != "" {
		return stockBoards[c.Machine].board
	}
	return boards[c.Arch]
}

// pciNames replaces the names of virtio-mmio devices among QEMU's arguments by those of the same
// devices on a PCI bus.
func pciNames(args []string) {
	for i := 1; i < len(args); i++ {
		if args[i-1] != "-device" {
			continue
		}
		name, options, _ := strings.Cut(args[i], ",")
		if virtio, ok := strings.CutSuffix(name, "-device"); ok {
			args[i] = strings.TrimSuffix(virtio+"-pci,"+options, ",")
		}
	}
}

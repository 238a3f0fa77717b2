package vm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// rootTag is the name by which the guest finds its root file system, the one libkrun uses.
const rootTag = "/dev/root"

// A board is the part of QEMU's configuration that depends on the architecture.
type board struct {
	qemu    string // the command
	install string // the Debian package that has it
	args    []string

	// cmdline is what the guest kernel must be told about the board.
	cmdline []string

	// reversed tells that the kernel finds the devices in the reverse order of QEMU's arguments.
	reversed bool

	serial string // the kernel's name for the serial port that is the console; empty: hvc0 is
	pci    bool   // the devices are on a PCI bus
}

var boards = map[string]board{
	"amd64": {
		qemu:    "qemu-system-x86_64",
		install: "qemu-system-x86",
		args: []string{
			"-M", "microvm,acpi=off,pit=on,pic=on,rtc=on,isa-serial=off,auto-kernel-cmdline=off,memory-backend=mem",
			"-cpu", "max",
			// What is in this slot, which the kernel is not told of, keeps others away from the interrupt of the clock.
			"-device", fmt.Sprintf("virtio-rng-device,bus=virtio-mmio-bus.%d", microvmClockSlot),
		},
		// The kernel tests its timer early, and gives up if a busy host delays the ticks: seen as a reboot without a word, in 2 of
		// some 60 boots without this.
		cmdline: append(microvmDevices(), "no_timer_check"),
	},
	"arm64": {
		qemu:    "qemu-system-aarch64",
		install: "qemu-system-arm",
		args:    []string{"-M", "virt,gic-version=3,memory-backend=mem", "-cpu", "cortex-a72"},
		// The board announces its devices in a device tree.
		reversed: true,
	},
}

// microvmClockSlot is the slot of QEMU's microvm whose interrupt, 8, is that of its real-time clock.
const microvmClockSlot = 3

// microvmDevices returns the kernel's parameters for the virtio devices of QEMU's microvm. QEMU can write them by
// itself, but does so at the end of the command line, where the kernel would take them for arguments of init. A slot
// without a device does no harm.
func microvmDevices() []string {
	const (
		slots     = 8
		base      = 0xfeb00000
		size      = 512
		firstLine = 5 // interrupt of slot 0
	)
	var words []string
	for i := slots - 1; i >= 0; i-- { // QEMU fills them from the end
		if i == microvmClockSlot {
			continue
		}
		words = append(words, fmt.Sprintf("virtio_mmio.device=%d@%#x:%d", size, base+i*size, firstLine+i))
	}
	return words
}

// qemuArgs returns QEMU's arguments, without those for character devices and what is connected to them.
func (b *board) qemuArgs(cfg *Config, cmdline string) []string {
	mem := strconv.Itoa(cfg.MemMiB) + "M"
	args := append(slices.Clip(b.args),
		"-accel", "tcg,thread=single", // with a thread for each CPU, one guest of several hundred crashed in the kernel
		"-smp", strconv.Itoa(cfg.CPUs),
		"-m", mem,
		"-object", "memory-backend-memfd,id=mem,share=on,size="+mem, // shared with the virtiofs server
		"-global", "virtio-mmio.force-legacy=false",
		"-nodefaults", "-no-user-config", "-display", "none",
		"-no-reboot",
		"-kernel", cfg.Kernel,
		"-append", cmdline,
	)
	if cfg.Initrd != "" {
		args = append(args, "-initrd", cfg.Initrd)
	}
	if !cfg.NoConsole && b.serial == "" || len(cfg.Ports) > 0 {
		args = append(args, "-device", "virtio-serial-device,id=serial")
	}
	return args
}

// optionValue escapes a value inside of a comma-separated argument of QEMU.
func optionValue(s string) string {
	return strings.ReplaceAll(s, ",", ",,")
}

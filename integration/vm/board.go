package vm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// rootTag is the virtiofs tag of the guest's root file system, as in libkrun.
const rootTag = "/dev/root"

// A board is the part of QEMU's configuration that depends on the architecture.
type board struct {
	qemu    string // the command
	install string // the Debian package of the command
	args    []string

	// cmdline has the kernel parameters that describe the board.
	cmdline []string

	// reversed is whether the kernel finds the devices in the reverse order of QEMU's arguments.
	reversed bool

	serial string // the kernel's name of the console's serial port; empty: the console is hvc0
	pci    bool   // the devices are on a PCI bus
}

var boards = map[string]board{
	"amd64": {
		qemu:    "qemu-system-x86_64",
		install: "qemu-system-x86",
		args: []string{
			"-M", "microvm,acpi=off,pit=on,pic=on,rtc=on,isa-serial=off,auto-kernel-cmdline=off," +
				"memory-backend=mem",
			"-cpu", "max",
			// The kernel has no parameter for this slot. The device in it keeps QEMU from
			// putting another one there, which would share the interrupt of the clock.
			"-device", fmt.Sprintf("virtio-rng-device,bus=virtio-mmio-bus.%d", microvmClockSlot),
		},
		// Without no_timer_check, the kernel tests its timer early in the boot and reboots silently
		// if a busy host delays the ticks. That happened in 2 of about 60 boots.
		// The others shorten a boot: the kernel does not measure its delay loop, and keeps
		// instructions that QEMU would have to translate again.
		cmdline: append(microvmDevices(), "no_timer_check", "lpj=100000", "noreplace-smp"),
	},
	"arm64": {
		qemu:    "qemu-system-aarch64",
		install: "qemu-system-arm",
		args:    []string{"-M", "virt,gic-version=3,memory-backend=mem", "-cpu", "cortex-a72"},
		// The device tree describes the devices; they need no kernel parameters.
		reversed: true,
	},
}

// microvmClockSlot is the virtio-mmio slot of QEMU's microvm that shares its interrupt, 8, with the
// real-time clock.
const microvmClockSlot = 3

// microvmDevices returns the kernel parameters for the virtio devices of QEMU's microvm. QEMU could
// add them itself, but it appends them to the command line, where the kernel would pass them to
// init as arguments. A parameter for an empty slot is harmless.
func microvmDevices() []string {
	const (
		slots     = 8
		base      = 0xfeb00000
		size      = 512
		firstLine = 5 // interrupt of slot 0
	)
	var words []string
	for i := slots - 1; i >= 0; i-- { // QEMU fills the slots from the last one
		if i == microvmClockSlot {
			continue
		}
		words = append(words,
			fmt.Sprintf("virtio_mmio.device=%d@%#x:%d", size, base+i*size, firstLine+i))
	}
	return words
}

// qemuArgs returns QEMU's arguments, except those for the character devices and the devices that
// are connected to them, which machine.connect adds.
func (b *board) qemuArgs(cfg *Config, cmdline string) []string {
	args := append(slices.Clip(b.args),
		// With one thread per CPU, the kernel of one guest in several hundred crashed.
		"-accel", "tcg,thread=single",
		"-smp", strconv.Itoa(cfg.CPUs),
		"-m", strconv.Itoa(cfg.MemMiB)+"M",
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

// optionValue returns s, escaped for use as a value in a comma-separated argument of QEMU.
func optionValue(s string) string {
	return strings.ReplaceAll(s, ",", ",,")
}

// options returns the disk's options for QEMU's -drive.
func (d *Disk) options() string {
	options := ",readonly=off"
	if d.ReadOnly {
		options = ",readonly=on"
	}
	if d.BytesPerSecond > 0 {
		options += ",throttling.bps-total=" + strconv.Itoa(d.BytesPerSecond)
	}
	if d.Errors == nil {
		return options + ",file.driver=file,file.filename=" + optionValue(d.Path)
	}
	options += ",file.driver=blkdebug,file.image.driver=file,file.image.filename=" + optionValue(d.Path)
	for i, e := range d.Errors {
		options += fmt.Sprintf(",file.inject-error.%d.event=none,file.inject-error.%[1]d.iotype=%s"+
			",file.inject-error.%[1]d.errno=%[3]d", i, e.Op, int(e.Errno))
		if e.Sector >= 0 {
			options += fmt.Sprintf(",file.inject-error.%d.sector=%d", i, e.Sector)
		}
		if e.Once {
			options += fmt.Sprintf(",file.inject-error.%d.once=on", i)
		}
	}
	return options
}

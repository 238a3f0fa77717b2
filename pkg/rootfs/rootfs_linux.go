package rootfs

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
)

// Config describes the root file system.
type Config struct {
	// Device is the path of a block device, or UUID=, LABEL=, PARTUUID= or PARTLABEL= and a value.
	// For a Type without a device it is the source of mount(2). If it is empty, the current root is
	// used, which needs an Overlay.
	Device string
	Type   string  // of the file system, as for mount(2); "": the type found on the device
	Flags  uintptr // MS_* of mount(2)
	Data   string  // options of the file system, comma-separated
	// Options are the options that Flags and Data come from. They are shown when the plan is
	// printed.
	Options string
	// Overlay takes all changes to the root. The device below it is not written, not even to replay
	// a journal. It is "tmpfs", which lasts until the machine ends, or a device, named like Device,
	// on which directories upper and work are created.
	Overlay string
	// Timeout is how long to wait for a device to appear; 0 means not at all.
	Timeout time.Duration
	// Pause waits between two attempts to find the device. Its error ends the wait.
	Pause loop.Pause
}

// OriginalRoot holds the root that init started on, and file systems that no path leads to any more.
type OriginalRoot struct {
	fd     int
	opened bool
	// initramfs says that the root is an initramfs, which stays mounted below the new root.
	initramfs bool
	// detached holds descriptors of directories, one on each file system that no path leads to.
	detached []int
}

// FD returns a descriptor (O_PATH) of the root directory, and whether it was opened.
func (r *OriginalRoot) FD() (fd int, ok bool) { return r.fd, r.opened }

// OpenOriginalRoot opens the current root, so that it stays accessible when another one takes its
// place. The open sends no request to the host (O_PATH).
type OpenOriginalRoot struct{ Original *OriginalRoot }

func (OpenOriginalRoot) Describe() op.Description { return op.Describe("keep open", "/") }

func (o OpenOriginalRoot) Do() error {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /: %w", err)
	}
	o.Original.fd, o.Original.opened = fd, true
	return nil
}

// Directories of the workspace, a temporary root between the original and the new one.
const (
	newRoot  = "/root"
	lowerDir = "/lower" // the file system below an overlay
	upperDir = "/upper" // the file system that takes the changes
)

// overlayTmpfs is the value of Config.Overlay for an overlay in memory.
const overlayTmpfs = "tmpfs"

// Plan returns the operations that make cfg the root of this mount namespace, in order. If one
// fails, the rest must not be carried out. They need CAP_SYS_ADMIN, and OpenOriginalRoot must have
// opened original. After the first operation only original leads to the old root; a failure then
// leaves an empty root with /dev and /proc. After the last one only the new root is mounted.
func Plan(cfg Config, original *OriginalRoot) []op.Op {
	target := newRoot
	if cfg.Overlay != "" {
		target = lowerDir
	}
	ops := []op.Op{&enterWorkspace{original, cfg.Device == ""}}
	if cfg.Device != "" {
		root := &volume{role: "root", source: cfg.Device, fsType: cfg.Type, flags: cfg.Flags,
			data: cfg.Data, options: cfg.Options, immutable: cfg.Overlay != ""}
		ops = append(ops, &findDevice{root, cfg.Timeout, cfg.Pause}, &mountVolume{root, target})
	}
	if cfg.Overlay != "" {
		flags := cfg.Flags &^ unix.MS_RDONLY
		if cfg.Overlay != overlayTmpfs {
			upper := &volume{role: "overlay", source: cfg.Overlay, flags: flags,
				options: cfg.Options}
			ops = append(ops, &findDevice{upper, cfg.Timeout, cfg.Pause}, &mountVolume{upper, upperDir})
		}
		ops = append(ops, &mountOverlay{original, cfg.Overlay, flags, cfg.Options})
	}
	if cfg.Device != "" {
		ops = append(ops, dropHostRoot{original})
	}
	return append(ops, enterNewRoot{})
}

// ioctlDropRoot asks hosts with an older libkrun to delete a directory whose only purpose was to be
// the original root.
const ioctlDropRoot = 0x7603

// dropHostRoot tells the host that its root is not needed any more. It ignores errors, because not
// every host supports the ioctl.
type dropHostRoot struct{ original *OriginalRoot }

func (dropHostRoot) Describe() op.Description {
	return op.Describe("drop", "the host's temporary root",
		"ioctl", fmt.Sprintf("%#x", ioctlDropRoot), "unless", "not virtiofs", "errors", "ignored")
}

func (d dropHostRoot) Do() error {
	var fs unix.Statfs_t
	if unix.Fstatfs(d.original.fd, &fs) != nil || fs.Type != unix.FUSE_SUPER_MAGIC {
		return nil
	}
	fd, err := unix.Openat(d.original.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	_ = unix.IoctlSetInt(fd, ioctlDropRoot, 0)
	return nil
}

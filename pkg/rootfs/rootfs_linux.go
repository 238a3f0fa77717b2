package rootfs

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Config says what the root is to be.
type Config struct {
	// Device is the path of a block device, or UUID=, LABEL=, PARTUUID= or PARTLABEL= and what it has; for a Type without
	// a device, its source. Empty: the root there is, which needs an Overlay.
	Device string
	Type   string  // of the file system, as mount(2) takes it; empty: the one that is found on the device
	Flags  uintptr // MS_* of mount(2)
	Data   string  // options of the file system, comma-separated
	// Options is what Flags and Data come from, as somebody wrote it. It is shown where the plan is printed.
	Options string
	// Overlay takes what is written to the root; nothing below changes then, be there a journal to replay. It is
	// "tmpfs", for as long as the machine runs, or a device as in Device, which gets directories upper and work.
	Overlay string
	// Timeout is how long to wait for a device that is not there yet; 0: not at all.
	Timeout time.Duration
}

// First is the root that was there first, as a descriptor, and what else can't be reached by a path any more.
type First struct {
	fd        int
	kept      bool
	immovable bool // it stays where it was, below the workspace
	hidden    []int
}

// FD returns a descriptor of the first root directory, by which it can be opened (O_PATH), and whether there is one yet.
func (f *First) FD() (fd int, ok bool) { return f.fd, f.kept }

// Names in the workspace, an own root between the first one and the new one.
const (
	newRoot  = "/root"
	lowerDir = "/lower" // what is below the overlay
	upperDir = "/upper" // what takes its changes
)

// overlayTmpfs is the Overlay that is no device.
const overlayTmpfs = "tmpfs"

// Plan returns the operations that make cfg the root of this mount namespace, in order; where one fails, those after it make
// no sense. They need CAP_SYS_ADMIN, and first to be kept. From the first one on that root is out of reach, but for first: a
// failure leaves an empty root, with /dev and /proc. After the last one nothing is mounted but the new root.
func Plan(cfg Config, first *First) []op.Op {
	target := newRoot
	if cfg.Overlay != "" {
		target = lowerDir
	}
	ops := []op.Op{&workspace{first, cfg.Device == ""}}
	if cfg.Device != "" {
		root := &volume{role: "root", source: cfg.Device, fsType: cfg.Type, flags: cfg.Flags, data: cfg.Data, options: cfg.Options,
			frozen: cfg.Overlay != ""}
		ops = append(ops, &findOp{root, cfg.Timeout}, &mountOp{root, target})
	}
	if cfg.Overlay != "" {
		flags := cfg.Flags &^ unix.MS_RDONLY
		if cfg.Overlay != overlayTmpfs {
			upper := &volume{role: "overlay", source: cfg.Overlay, flags: flags, options: cfg.Options}
			ops = append(ops, &findOp{upper, cfg.Timeout}, &mountOp{upper, upperDir})
		}
		ops = append(ops, &overlay{first, cfg.Overlay, flags, cfg.Options})
	}
	if cfg.Device != "" {
		ops = append(ops, drop{first})
	}
	return append(ops, enter{})
}

// describe makes a description of names and values, in turns.
func describe(verb, object string, details ...string) op.Description {
	d := op.Describe(verb, object)
	for ; len(details) >= 2; details = details[2:] {
		d.Details = append(d.Details, op.A(details[0], details[1]))
	}
	return d
}

// Keep opens the first root: whatever becomes the root, also by others, it stays within reach. A file server that it comes from
// does not hear of it (O_PATH).
type Keep struct{ First *First }

func (Keep) Describe() op.Description { return op.Describe("keep in reach", "/") }

func (k Keep) Do() error {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /: %w", err)
	}
	k.First.fd, k.First.kept = fd, true
	return nil
}

func openDir(path string) (int, error) {
	return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// workspace makes a tmpfs the root, so that nothing is needed of the first one.
type workspace struct {
	first *First
	lower bool // the first root becomes what is below the overlay
}

func (w *workspace) Describe() op.Description {
	mounts := "/dev,/proc"
	if w.lower {
		mounts += "," + lowerDir
	}
	return describe("make root", "tmpfs", "mount", mounts)
}

func (w *workspace) Do() error {
	if err := w.make(); err != nil {
		return fmt.Errorf("make a tmpfs the root: %w", err)
	}
	return nil
}

func (w *workspace) make() error {
	// pivot_root(2) wants no mount that shares what happens to it.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make all mounts private: %w", err)
	}
	lower := -1
	if w.lower {
		// A copy of the mount, without what is mounted below it. Of one that is detached none can be made.
		var err error
		if lower, err = unix.OpenTree(w.first.fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH); err != nil {
			return fmt.Errorf("copy the mount of /: %w", err)
		}
		defer unix.Close(lower)
	}
	tmpfs, err := newTmpfs()
	if err != nil {
		return err
	}
	defer unix.Close(tmpfs)
	for _, dir := range [...]string{"dev", "proc", newRoot[1:], lowerDir[1:], upperDir[1:]} {
		if err := unix.Mkdirat(tmpfs, dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.MoveMount(tmpfs, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount it: %w", err)
	}
	if err := unix.Fchdir(tmpfs); err != nil {
		return err
	}
	err = swapRoot()
	if err == unix.EINVAL { // an initramfs can't be moved away: it stays below
		w.first.immovable = true
		err = unix.Chroot(".")
	}
	if err != nil {
		return fmt.Errorf("move to it: %w", err)
	}
	for _, m := range [...]struct{ fsType, target string }{{"devtmpfs", "/dev"}, {"proc", "/proc"}} {
		if err := unix.Mount(m.fsType, m.target, m.fsType, unix.MS_NOSUID|unix.MS_NOEXEC, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.fsType, err)
		}
	}
	if lower < 0 {
		return nil
	}
	err = unix.MoveMount(lower, "", unix.AT_FDCWD, lowerDir, unix.MOVE_MOUNT_F_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("mount the first root below it: %w", err)
	}
	return nil
}

// newTmpfs returns the descriptor of a tmpfs that is mounted nowhere.
func newTmpfs() (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "mode", "0755"); err != nil {
		return -1, err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}

// swapRoot makes the working directory, a mount point, the root, and unmounts the one there was, with all below it. Neither
// needs a directory for the old one: it is put over the new one for a moment, pivot_root(2).
func swapRoot() error {
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("change to /: %w", err)
	}
	return nil
}

// findOp looks for the device of a volume.
type findOp struct {
	volume  *volume
	timeout time.Duration
}

func (f *findOp) Describe() op.Description {
	return describe("find", f.volume.source, "for", f.volume.role, "timeout", f.timeout.String())
}

func (f *findOp) Do() error {
	v := f.volume
	var err error
	if v.block = needsDevice(v.fsType); v.block {
		v.device, err = find(v.source, f.timeout)
	} else {
		v.device = Device{Path: v.source}
	}
	if err != nil {
		return fmt.Errorf("find the %s device %s: %w", v.role, v.source, err)
	}
	return nil
}

// mountOp mounts a volume that was found.
type mountOp struct {
	volume *volume
	target string
}

func (m *mountOp) Describe() op.Description {
	v := m.volume
	fsType, device := v.fsType, "read-only if not writable"
	if fsType == "" {
		fsType = "found"
	}
	if v.frozen {
		device = "read-only, without recovery"
	}
	return describe("mount", v.source, "as", v.role, "type", fsType, "options", v.options, "device", device)
}

func (m *mountOp) Do() error { return m.volume.mount(m.target) }

// overlay mounts an overlay on the new root.
type overlay struct {
	first   *First
	upper   string
	flags   uintptr
	options string
}

func (o *overlay) Describe() op.Description {
	return describe("mount", "overlay", "as", "root", "upper", o.upper, "options", o.options)
}

func (o *overlay) Do() error {
	if err := o.mount(); err != nil {
		return fmt.Errorf("mount an overlay with %s as root: %w", o.upper, err)
	}
	return nil
}

func (o *overlay) mount() error {
	defer hush()()
	const upper, work = upperDir + "/upper", upperDir + "/work"
	err := unix.Mkdir(work, 0o700)
	if err == nil || err == unix.EEXIST {
		err = unix.Mkdir(upper, 0o700)
	}
	if err == nil { // the root directory is the upper one now: it shall look like the lower one
		err = copyOwner(lowerDir, upper)
	}
	if err != nil && err != unix.EEXIST { // what is there is from the last time
		return fmt.Errorf("make its directories: %w", err)
	}
	records := openLog()
	defer records.close()
	err = unix.Mount("overlay", newRoot, "overlay", o.flags, "lowerdir="+lowerDir+",upperdir="+upper+",workdir="+work)
	if err == unix.ENODEV {
		return errors.New("the kernel has no overlay")
	}
	if err != nil {
		if why := records.reason("overlayfs", "overlay"); why != "" {
			err = &note{err, "kernel: " + why}
		}
		return err
	}
	if o.upper == overlayTmpfs {
		return nil
	}
	fd, err := openDir(upperDir)
	if err != nil {
		return fmt.Errorf("open it: %w", err)
	}
	o.first.hidden = append(o.first.hidden, fd)
	return nil
}

// copyOwner gives a directory the owner and the permissions of another one.
func copyOwner(from, to string) error {
	var st unix.Stat_t
	err := unix.Stat(from, &st)
	if err == nil {
		err = unix.Chown(to, int(st.Uid), int(st.Gid))
	}
	if err == nil {
		err = unix.Chmod(to, st.Mode&0o7777)
	}
	return err
}

// ioctlDropRoot asks hosts with an older libkrun to delete the directory that was the first root and nothing but that.
const ioctlDropRoot = 0x7603

// drop tells the host that its root is not needed any more. A host that knows nothing of that is fine.
type drop struct{ first *First }

func (drop) Describe() op.Description {
	return describe("drop", "the host's temporary root",
		"ioctl", "0x"+strconv.FormatInt(ioctlDropRoot, 16), "unless", "not virtiofs", "errors", "ignored")
}

func (d drop) Do() error {
	var fs unix.Statfs_t
	if unix.Fstatfs(d.first.fd, &fs) != nil || fs.Type != unix.FUSE_SUPER_MAGIC {
		return nil
	}
	fd, err := unix.Openat(d.first.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	_ = unix.IoctlSetInt(fd, ioctlDropRoot, 0)
	return nil
}

// enter leaves the workspace for the new root.
type enter struct{}

func (enter) Describe() op.Description { return describe("enter", "the new root") }

func (enter) Do() error {
	if err := unix.Chdir(newRoot); err != nil {
		return fmt.Errorf("enter the new root: %w", err)
	}
	if err := swapRoot(); err != nil {
		return fmt.Errorf("enter the new root: %w", err)
	}
	return nil
}

// Clean makes the file systems read-only that first hides: there is no mount point by which somebody else could do it. So
// their journals are empty when the machine ends. While a file on them is open for writing, that can't be: EBUSY.
type Clean struct{ First *First }

func (c Clean) Describe() op.Description {
	return describe("make read-only", "the overlay's device")
}

func (c Clean) Do() error {
	var errs []error
	for _, fd := range c.First.hidden {
		if err := makeReadOnly(fd); err != nil {
			errs = append(errs, fmt.Errorf("make the overlay's device read-only: %w", err))
		}
	}
	return errors.Join(errs...)
}

// makeReadOnly makes the file system of a directory read-only, as a remount does, but without a path.
func makeReadOnly(dir int) error {
	fs, err := unix.Fspick(dir, "", unix.FSPICK_EMPTY_PATH|unix.FSPICK_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetFlag(fs, "ro"); err != nil {
		return err
	}
	return unix.FsconfigReconfigure(fs)
}

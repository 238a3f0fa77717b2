package rootfs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/sysfile"
)

// volume is a file system to be mounted.
type volume struct {
	role    string // for messages: root
	source  string // what was asked for, and so on
	fsType  string
	flags   uintptr
	options string // what was asked for, to be shown
	data    string
	// frozen mounts it so that not a byte of the device changes.
	frozen bool
	device Device // what was found
	block  bool   // it is a block device
}

// mount mounts the volume, without a word of the kernel on the console: what it says comes with the error.
func (v *volume) mount(target string) error {
	defer hush()()
	if v.frozen && v.block {
		if err := v.protect(); err != nil {
			return v.wrap("", err)
		}
	}
	fs := v.fsType
	if fs == "" {
		fs = v.device.Type
	}
	if fs == "" {
		return v.wrap("", v.tryAll(target))
	}
	records := openLog()
	defer records.close()
	err := v.try(target, fs, 0)
	if err == nil {
		return nil
	}
	var notes []string
	switch held := v.device.Type; {
	case err == unix.ENODEV && v.fsType == "":
		return v.wrap("", errors.New("it holds "+fs+", and the kernel has no "+fs))
	case held != "" && held != fs:
		notes = append(notes, "it holds "+held)
	}
	if err == unix.ENODEV {
		err = errors.New("the kernel has no " + fs)
	} else if why := records.reason(v.kernelName(), fs); why != "" {
		notes = append(notes, "kernel: "+why)
	}
	return v.wrap(fs+" ", noted(err, notes))
}

// kernelName is what the kernel's messages call the device, or nothing.
func (v *volume) kernelName() string {
	if !v.block {
		return ""
	}
	return v.device.Path[strings.LastIndexByte(v.device.Path, '/')+1:]
}

func (v *volume) wrap(fs string, err error) error {
	if err != nil {
		return fmt.Errorf("mount %s%s as %s: %w", fs, v.device.Path, v.role, err)
	}
	return nil
}

// protect makes the device read-only. Options alone do not do it: ext4 writes to a file system that is mounted read-only,
// if it has orphans to clean up.
func (v *volume) protect() error {
	f, err := openDevice(v.device.Path)
	if err != nil {
		return err
	}
	defer f.close()
	if err := unix.IoctlSetPointerInt(int(f), unix.BLKROSET, 1); err != nil {
		return fmt.Errorf("make it read-only: %w", err)
	}
	return nil
}

// try mounts as one type. more are flags.
func (v *volume) try(target, fs string, more uintptr) error {
	flags, data := v.flags|more, v.data
	if v.frozen || fs == "erofs" || fs == "squashfs" {
		flags |= unix.MS_RDONLY
	}
	if v.frozen {
		data = join(data, noRecovery(fs))
	}
	err := unix.Mount(v.device.Path, target, fs, flags, data)
	switch {
	case (err == unix.EROFS || err == unix.EACCES) && flags&unix.MS_RDONLY == 0:
		// The device can't be written to; mount(8) does that too.
		return v.try(target, fs, more|unix.MS_RDONLY)
	case err == unix.ENODEV && (fs == "ext2" || fs == "ext3"):
		return v.try(target, "ext4", more) // whose driver knows them
	}
	return err
}

// noRecovery is the option to mount a file system without replaying its journal.
func noRecovery(fs string) string {
	switch fs {
	case "ext3", "ext4":
		return "noload"
	case "xfs", "f2fs":
		return "norecovery"
	case "btrfs":
		return "rescue=nologreplay"
	}
	return ""
}

func join(options, more string) string {
	if options == "" || more == "" {
		return options + more
	}
	return options + "," + more
}

// tryAll mounts as whatever type the kernel takes it for.
func (v *volume) tryAll(target string) error {
	types, err := filesystems()
	if err != nil {
		return err
	}
	var tried, notes []string
	for _, t := range types {
		if t.nodev {
			continue
		}
		switch err := v.try(target, t.name, unix.MS_SILENT); err {
		case nil:
			return nil
		case unix.EINVAL: // not of that type
		default:
			notes = append(notes, t.name+": "+err.Error())
		}
		tried = append(tried, t.name)
	}
	return noted(errors.New("no file system that this kernel knows"),
		append([]string{"tried " + list(tried)}, notes[:min(len(notes), most)]...))
}

func filesystems() ([]fsType, error) {
	text, err := sysfile.Read("/proc/filesystems", 64<<10)
	return parseFilesystems(text), err
}

// needsDevice tells whether a file system of the type is mounted from a block device. One of an unknown type may be.
func needsDevice(fs string) bool {
	if fs == "" {
		return true
	}
	types, _ := filesystems()
	return !slices.Contains(types, fsType{fs, true})
}

// note is an error with something more to know about it.
type note struct {
	err  error
	more string
}

func (n *note) Error() string { return n.err.Error() + " (" + n.more + ")" }
func (n *note) Unwrap() error { return n.err }

func noted(err error, notes []string) error {
	if len(notes) == 0 {
		return err
	}
	return &note{err, strings.Join(notes, "; ")}
}

// consoleLevel has four numbers; messages of a level below the first one are shown on the console.
const consoleLevel = "/proc/sys/kernel/printk"

// hush keeps the kernel's messages from the console, but for emergencies, until restore is called. Where that can't be
// done, they are shown.
func hush() (restore func()) {
	text, err := sysfile.Read(consoleLevel, 256)
	level, _, _ := bytes.Cut(text, []byte("\t"))
	if err != nil || setConsoleLevel([]byte("1")) != nil {
		return func() {}
	}
	return func() { _ = setConsoleLevel(level) }
}

func setConsoleLevel(level []byte) error {
	fd, err := unix.Open(consoleLevel, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, level)
	return err
}

// kernelLog is a descriptor of the kernel's log, or -1.
type kernelLog int

// openLog opens the log behind the last record that is there.
func openLog() kernelLog {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_END); err != nil {
		unix.Close(fd)
		return -1
	}
	return kernelLog(fd)
}

func (l kernelLog) close() {
	if l >= 0 {
		unix.Close(int(l))
	}
}

// reason is what the kernel has said since about a device or as a driver, or nothing.
func (l kernelLog) reason(device, driver string) string {
	r := reason{device: device, driver: driver}
	buf := make([]byte, 8<<10) // the kernel's bound of a record
	for range 1000 {
		n, err := unix.Read(int(l), buf)
		switch err {
		case nil:
			r.add(buf[:n])
		case unix.EPIPE, unix.EINTR: // records were overwritten: the next read gets the oldest one
		default:
			return r.String()
		}
	}
	return r.String()
}

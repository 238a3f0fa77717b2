package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/kmsg"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
)

// volume is a file system to mount.
type volume struct {
	role    string // for messages: root or overlay
	source  string // the device that was asked for, by a path or a tag
	fsType  string // "": the type found on the device
	flags   uintptr
	data    string
	options string // flags and data as they were asked for, for messages
	// immutable means that no byte of the device may change.
	immutable bool
	device    Device // set by findDevice
	isBlock   bool   // set by findDevice: device is a block device
}

// findDevice finds the device of a volume.
type findDevice struct {
	volume  *volume
	timeout time.Duration
	pause   loop.Pause
}

func (f *findDevice) Describe() op.Description {
	return op.Describe("find", f.volume.source, "for", f.volume.role, "timeout", f.timeout)
}

func (f *findDevice) Do() (err error) {
	v := f.volume
	defer op.Wrap(&err, "find the %s device %s", v.role, v.source)
	v.device = Device{Path: v.source}
	if v.isBlock = needsDevice(v.fsType); !v.isBlock {
		return nil
	}
	v.device, err = find(v.source, f.timeout, f.pause)
	return err
}

// mountVolume mounts a volume whose device was found.
type mountVolume struct {
	volume *volume
	target string
}

func (m *mountVolume) Describe() op.Description {
	v := m.volume
	fsType, device := v.fsType, "read-only if not writable"
	if fsType == "" {
		fsType = "found"
	}
	if v.immutable {
		device = "read-only, without recovery"
	}
	return op.Describe("mount", v.source, "as", v.role, "type", fsType, "options", v.options,
		"device", device)
}

func (m *mountVolume) Do() error {
	v := m.volume
	defer muteConsole()() // errors include the kernel's messages
	if v.immutable && v.isBlock {
		if err := makeDeviceReadOnly(v.device.Path); err != nil {
			return v.wrap("", err)
		}
	}
	fs := v.fsType
	if fs == "" {
		fs = v.device.Type
	}
	if fs == "" {
		return v.wrap("", v.mountAsAny(m.target))
	}
	messages := kmsg.Open(unix.SEEK_END)
	defer messages.Close()
	err := v.mountAs(m.target, fs, 0)
	if err == nil {
		return nil
	}
	if err == unix.ENODEV && v.fsType == "" {
		return v.wrap("", fmt.Errorf("it holds %s, and the kernel has no %s", fs, fs))
	}
	var notes []string
	if found := v.device.Type; found != "" && found != fs {
		notes = append(notes, "it holds "+found)
	}
	if err == unix.ENODEV {
		err = errors.New("the kernel has no " + fs)
	} else {
		var name string // of the device in the kernel's messages
		if v.isBlock {
			name = path.Base(v.device.Path)
		}
		if why := explain(messages, name, fs); why != "" {
			notes = append(notes, "kernel: "+why)
		}
	}
	return v.wrap(fs+" ", addNotes(err, notes))
}

// wrap puts the volume before err, unless err is nil. fs is the type and a blank, or empty.
func (v *volume) wrap(fs string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("mount %s%s as %s: %w", fs, v.device.Path, v.role, err)
}

// makeDeviceReadOnly makes a block device read-only. Mount options do not suffice: ext4 cleans up
// orphans, and so writes, even when it is mounted read-only.
func makeDeviceReadOnly(path string) (err error) {
	f, err := openDevice(path)
	if err != nil {
		return err
	}
	defer f.Close()
	defer op.Wrap(&err, "make it read-only")
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.BLKROSET, 1)
}

// mountAs mounts the volume as a type, with additional flags.
func (v *volume) mountAs(target, fs string, more uintptr) error {
	flags, data := v.flags|more, v.data
	if v.immutable || fs == "erofs" || fs == "squashfs" {
		flags |= unix.MS_RDONLY
	}
	if option := noRecovery(fs); v.immutable && option != "" {
		data = strings.TrimPrefix(data+","+option, ",")
	}
	err := unix.Mount(v.device.Path, target, fs, flags, data)
	switch {
	case (err == unix.EROFS || err == unix.EACCES) && flags&unix.MS_RDONLY == 0:
		// The device is read-only. mount(8) falls back in the same way.
		return v.mountAs(target, fs, more|unix.MS_RDONLY)
	case err == unix.ENODEV && (fs == "ext2" || fs == "ext3"):
		return v.mountAs(target, "ext4", more) // ext4's driver supports both
	}
	return err
}

// noRecovery returns the option to mount a file system without replaying its journal.
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

// mountAsAny mounts the volume as the first type that the kernel accepts.
func (v *volume) mountAsAny(target string) error {
	types, err := filesystems()
	if err != nil {
		return err
	}
	var tried, notes []string
	for _, t := range types {
		if t.nodev {
			continue
		}
		switch err := v.mountAs(target, t.name, unix.MS_SILENT); err {
		case nil:
			return nil
		case unix.EINVAL: // another type
		default:
			notes = append(notes, t.name+": "+err.Error())
		}
		tried = append(tried, t.name)
	}
	notes = append([]string{"tried " + list(tried)}, notes[:min(len(notes), maxListed)]...)
	return addNotes(errors.New("no file system that this kernel knows"), notes)
}

// filesystems returns the file systems of the kernel.
func filesystems() ([]fsType, error) {
	text, err := os.ReadFile("/proc/filesystems")
	return parseFilesystems(string(text)), err
}

// needsDevice reports whether a file system of the type is mounted from a block device. It returns
// true for an unknown type.
func needsDevice(fs string) bool {
	types, _ := filesystems()
	return !slices.Contains(types, fsType{fs, true})
}

// addNotes adds notes in parentheses to the text of err.
func addNotes(err error, notes []string) error {
	if len(notes) == 0 {
		return err
	}
	return fmt.Errorf("%w (%s)", err, strings.Join(notes, "; "))
}

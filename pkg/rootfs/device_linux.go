package rootfs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
)

// retryInterval is the time between two attempts to find a device.
const retryInterval = 10 * time.Millisecond

// Device is a block device and its contents.
type Device struct {
	Path string // /dev/vda
	Size uint64 // in bytes
	Superblock
	Partition // zero for a disk
}

// String returns the path and what identifies the device, for messages.
func (d Device) String() string {
	text := d.Type
	if text == "" {
		text = "nothing known"
	}
	for _, tag := range [...]tag{
		{"UUID", d.Superblock.UUID}, {"LABEL", d.Superblock.Label},
		{"PARTUUID", d.Partition.UUID}, {"PARTLABEL", d.Partition.Label},
	} {
		if tag.value != "" {
			text += ", " + tag.kind + "=" + tag.text()
		}
	}
	return fmt.Sprintf("%s (%s)", d.Path, text)
}

// tag names a device: by a path if kind is empty, else by its UUID, LABEL, PARTUUID or PARTLABEL.
type tag struct{ kind, value string }

// parseTag parses a path, or UUID=, LABEL=, PARTUUID= or PARTLABEL= and a value, perhaps in quotes,
// as in fstab(5).
func parseTag(s string) (tag, error) {
	if strings.HasPrefix(s, "/") {
		return tag{value: s}, nil
	}
	kind, value, ok := strings.Cut(s, "=")
	if !ok || !slices.Contains([]string{"UUID", "LABEL", "PARTUUID", "PARTLABEL"}, kind) {
		return tag{}, errors.New("want a path, UUID=, LABEL=, PARTUUID= or PARTLABEL=")
	}
	n := len(value)
	if n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		value = value[1 : n-1]
	}
	if value == "" {
		return tag{}, errors.New("an empty " + kind)
	}
	return tag{kind, value}, nil
}

// text returns the value for a message. Labels are quoted.
func (t tag) text() string {
	if strings.HasSuffix(t.kind, "UUID") {
		return t.value
	}
	return strconv.Quote(t.value)
}

// matches reports whether t, which is not a path, names d. The case of UUIDs is ignored.
func (t tag) matches(d *Device) bool {
	switch t.kind {
	case "UUID":
		return strings.EqualFold(t.value, d.Superblock.UUID)
	case "LABEL":
		return t.value == d.Superblock.Label
	case "PARTUUID":
		return strings.EqualFold(t.value, d.Partition.UUID)
	default:
		return t.value == d.Partition.Label
	}
}

// maxListed bounds how many devices or types a message lists.
const maxListed = 8

// list joins the first maxListed words for a message.
func list(words []string) string {
	if len(words) > maxListed {
		words = append(words[:maxListed:maxListed], "...")
	}
	return strings.Join(words, ", ")
}

// Devices returns the block devices and their contents, in the kernel's order. It needs /proc and
// /dev. The contents of a device that cannot be read are unknown.
func Devices() ([]Device, error) {
	text, err := os.ReadFile("/proc/partitions")
	if err != nil {
		return nil, err
	}
	var devices []Device
	for _, b := range parsePartitions(string(text)) {
		d := Device{Path: "/dev/" + b.name, Size: b.size}
		if f, err := openDevice(d.Path); err == nil {
			d.Superblock, _ = Detect(f)
			f.Close()
		}
		if b.disk != "" {
			d.Partition = b.partition()
		}
		devices = append(devices, d)
	}
	return devices, nil
}

// partition looks up b, which is a partition, in the table of its disk. It returns the zero Partition
// if the table cannot be read.
func (b block) partition() Partition {
	disk, err := openDevice("/dev/" + b.disk)
	if err != nil {
		return Partition{}
	}
	defer disk.Close()
	sector, err := unix.IoctlGetInt(int(disk.Fd()), unix.BLKSSZGET)
	if err != nil {
		return Partition{}
	}
	p, _ := FindPartition(disk, sector, b.number)
	return p
}

// openDevice opens a block device for reading. Its errors are Errnos. It returns ENOTBLK for any other
// file and does not open it, because that may block.
func openDevice(path string) (*os.File, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return nil, unix.ENOTBLK
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// FindDevice returns the path of the block device that name stands for: UUID=, LABEL=, PARTUUID= or
// PARTLABEL= and a value, as in fstab(5), or a path. It waits for a missing device until the timeout,
// or until pause fails.
func FindDevice(name string, timeout time.Duration, pause loop.Pause) (path string, err error) {
	d, err := find(name, timeout, pause)
	return d.Path, err
}

// find is like FindDevice, but returns the device. Its Size and Partition are set only if name is not
// a path.
func find(name string, timeout time.Duration, pause loop.Pause) (Device, error) {
	t, err := parseTag(name)
	if err != nil {
		return Device{}, err
	}
	for start := time.Now(); ; {
		switch d, err := t.find(); err {
		case unix.ENOENT, unix.ENXIO, unix.ENOMEDIUM:
			if time.Since(start) >= timeout {
				return Device{}, t.missing(err, timeout)
			}
		default:
			return d, err
		}
		if err := pause.For(retryInterval); err != nil {
			return Device{}, err
		}
	}
}

// find returns the device that t names. If it does not exist, the error is ENOENT, ENXIO or
// ENOMEDIUM.
func (t tag) find() (Device, error) {
	if t.kind == "" {
		f, err := openDevice(t.value)
		if err != nil {
			return Device{}, err
		}
		defer f.Close()
		sb, err := Detect(f)
		return Device{Path: t.value, Superblock: sb}, err
	}
	devices, err := Devices()
	if err != nil {
		return Device{}, err
	}
	for i := range devices {
		if t.matches(&devices[i]) {
			return devices[i], nil
		}
	}
	return Device{}, unix.ENOENT
}

// missing returns the error of find after the timeout. It lists the devices that exist. err is the
// error of t.find.
func (t tag) missing(err error, timeout time.Duration) error {
	var after string
	if timeout > 0 {
		after = fmt.Sprintf(" after %v", timeout)
	}
	devices, listErr := Devices()
	if listErr != nil {
		return listErr
	}
	what := "no such device"
	if err != unix.ENOENT {
		what = err.Error()
	}
	var paths, described []string
	for _, d := range devices {
		paths, described = append(paths, d.Path), append(described, d.String())
	}
	switch {
	case len(devices) == 0:
		return errors.New(what + after + ": there are no block devices")
	case t.kind == "":
		return errors.New(what + after + " (there are: " + list(paths) + ")")
	}
	return errors.New("none of " + list(described) + " has it" + after)
}

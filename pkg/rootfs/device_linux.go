package rootfs

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// retryInterval is the time between two looks for a device.
const retryInterval = 10 * time.Millisecond

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

// partition looks up the partition in the table of its disk.
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

// openDevice opens a block device for reading. Its error is an Errno. It opens nothing else,
// because opening another kind of file may block.
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

// find returns the device that name, a path or a tag, stands for. If there is none, it waits for it
// until the timeout.
func find(name string, timeout time.Duration) (Device, error) {
	t, err := parseTag(name)
	if err != nil {
		return Device{}, err
	}
	for start := time.Now(); ; time.Sleep(retryInterval) {
		switch d, err := t.find(); err {
		case unix.ENOENT, unix.ENXIO, unix.ENOMEDIUM:
			if time.Since(start) >= timeout {
				return Device{}, t.missing(err, timeout)
			}
		default:
			return d, err
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

// missing returns an error that lists the devices that exist.
func (t tag) missing(err error, timeout time.Duration) error {
	var after string
	if timeout > 0 {
		after = fmt.Sprintf(" after %v", timeout)
	}
	devices, listErr := Devices()
	if listErr != nil {
		return listErr
	}
	var there []string
	for _, d := range devices {
		if t.kind == "" {
			there = append(there, d.Path)
		} else {
			there = append(there, d.String())
		}
	}
	what := "no such device"
	if err != unix.ENOENT {
		what = err.Error()
	}
	switch {
	case len(there) == 0:
		return errors.New(what + after + ": there are no block devices")
	case t.kind == "":
		return errors.New(what + after + " (there are: " + list(there) + ")")
	default:
		return errors.New("none of " + list(there) + " has it" + after)
	}
}

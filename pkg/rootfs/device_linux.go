package rootfs

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/sysfile"
)

// again is how long to wait before looking for a device again.
const again = 10 * time.Millisecond

// Devices lists the block devices and what is written on them, in the kernel's order. It needs /proc and /dev. Of a device
// that can't be read, what is known without is listed.
func Devices() ([]Device, error) {
	blocks, err := blocks()
	if err != nil {
		return nil, err
	}
	devices := make([]Device, len(blocks))
	for i, b := range blocks {
		d := Device{Path: b.path(), Size: b.size}
		if f, err := openDevice(d.Path); err == nil {
			d.Superblock, _ = Detect(f)
			f.close()
		}
		if b.disk != "" {
			d.Partition = partition(b)
		}
		devices[i] = d
	}
	return devices, nil
}

func (b block) path() string { return "/dev/" + b.name }

func blocks() ([]block, error) {
	text, err := sysfile.Read("/proc/partitions", 1<<20)
	return parsePartitions(text), err
}

// partition asks the disk how it calls a partition.
func partition(b block) Partition {
	disk, err := openDevice("/dev/" + b.disk)
	if err != nil {
		return Partition{}
	}
	defer disk.close()
	sector, err := unix.IoctlGetInt(int(disk), unix.BLKSSZGET)
	if err != nil {
		return Partition{}
	}
	p, _ := FindPartition(disk, sector, b.number)
	return p
}

// device is the descriptor of a block device.
type device int

// openDevice opens a block device to read it. Of something else even opening might wait forever.
func openDevice(path string) (device, error) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFBLK {
		err = unix.ENOTBLK
	}
	if err != nil {
		return -1, err
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return device(fd), err
}

func (d device) close() { unix.Close(int(d)) }

// ReadAt implements io.ReaderAt.
func (d device) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		m, err := unix.Pread(int(d), p[n:], off+int64(n))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, err
		case m == 0:
			return n, io.EOF
		default:
			n += m
		}
	}
	return n, nil
}

// find returns the device that name, a path or a tag, stands for. If there is none yet, it waits for it.
func find(name string, timeout time.Duration) (Device, error) {
	t, err := parseTag(name)
	if err != nil {
		return Device{}, err
	}
	for start := time.Now(); ; time.Sleep(again) {
		switch d, err := t.look(); err {
		case unix.ENOENT, unix.ENXIO, unix.ENOMEDIUM:
			if time.Since(start) >= timeout {
				return Device{}, t.missing(err, timeout)
			}
		default:
			return d, err
		}
	}
}

func (t tag) look() (Device, error) {
	if t.kind != "" {
		return t.lookThrough()
	}
	f, err := openDevice(t.value)
	if err != nil {
		return Device{}, err
	}
	defer f.close()
	sb, err := Detect(f)
	if err != nil {
		return Device{Path: t.value, Superblock: sb}, fmt.Errorf("read its superblock: %w", err)
	}
	return Device{Path: t.value, Superblock: sb}, nil
}

func (t tag) lookThrough() (Device, error) {
	devices, err := Devices()
	for i := range devices {
		if t.matches(&devices[i]) {
			return devices[i], nil
		}
	}
	if err == nil {
		err = unix.ENOENT
	}
	return Device{}, err
}

// missing says what there is instead of the device.
func (t tag) missing(err error, timeout time.Duration) error {
	var after string
	if timeout > 0 {
		after = " after " + timeout.String()
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

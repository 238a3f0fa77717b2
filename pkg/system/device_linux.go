package system

import (
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Device creates a device node, an entry of linux.devices of the OCI runtime specification, and
// missing directories. The permissions of a new node are 0666 unless FileMode is set. An existing
// node of the same type and number, as in devtmpfs, gets only the permissions and owner that are
// set; any other file in its place is an error.
type Device specs.LinuxDevice

func (d Device) Describe() op.Description {
	return op.Describe("make device", d.Path, "type", d.Type,
		"number", op.If(d.Type != "p", fmt.Sprintf("%d:%d", d.Major, d.Minor)),
		"mode", op.If(d.FileMode != nil, fmt.Sprintf("%#o", d.mode())), "uid", d.UID, "gid", d.GID)
}

func (d Device) Do() (err error) {
	defer op.Wrap(&err, "make device %s", d.Path)
	kind, number, err := d.number()
	if err != nil {
		return err
	}
	err = unix.Mknod(d.Path, kind|0o666, int(number))
	if err == unix.ENOENT {
		if err := os.MkdirAll(path.Dir(d.Path), 0o755); err != nil {
			return err
		}
		err = unix.Mknod(d.Path, kind|0o666, int(number))
	}
	created := err == nil
	if err == unix.EEXIST {
		var st unix.Stat_t
		err = unix.Stat(d.Path, &st)
		same := st.Mode&unix.S_IFMT == kind && (kind == unix.S_IFIFO || st.Rdev == number)
		if err == nil && !same {
			err = unix.EEXIST
		}
		if _, notLink := os.Readlink(d.Path); err == nil && notLink == nil {
			return nil // the configuration does not own the target of a symbolic link
		}
	}
	if err == nil && (created || d.FileMode != nil) { // the umask applies to mknod(2)
		err = unix.Chmod(d.Path, d.mode())
	}
	if err == nil && (d.UID != nil || d.GID != nil) {
		err = unix.Chown(d.Path, owner(d.UID), owner(d.GID))
	}
	return err
}

// number returns the file type, S_IF*, and the device number for mknod(2).
func (d Device) number() (kind uint32, number uint64, err error) {
	switch d.Type {
	case "b":
		kind = unix.S_IFBLK
	case "c", "u":
		kind = unix.S_IFCHR
	case "p":
		return unix.S_IFIFO, 0, nil
	default:
		return 0, 0, fmt.Errorf("invalid type %q", d.Type)
	}
	const maxMajor, maxMinor = 1<<12 - 1, 1<<20 - 1
	if d.Major < 0 || d.Major > maxMajor || d.Minor < 0 || d.Minor > maxMinor {
		return 0, 0, errors.New("invalid device number")
	}
	return kind, unix.Mkdev(uint32(d.Major), uint32(d.Minor)), nil
}

// mode returns the permissions, without other bits such as those of a Go os.FileMode.
func (d Device) mode() uint32 {
	if d.FileMode == nil {
		return 0o666
	}
	return uint32(*d.FileMode) & 0o7777
}

// owner returns an ID for chown(2): -1, which means no change, if id is nil.
func owner(id *uint32) int {
	if id == nil {
		return -1
	}
	return int(*id)
}

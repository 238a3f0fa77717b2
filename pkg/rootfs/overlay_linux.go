package rootfs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/kmsg"
	"github.com/krunbox/krunbox/pkg/op"
)

// mountOverlay mounts an overlay of lowerDir and upperDir on newRoot.
type mountOverlay struct {
	original *OriginalRoot
	upper    string // for messages
	flags    uintptr
	options  string // for messages
}

func (o *mountOverlay) Describe() op.Description {
	return op.Describe("mount", "overlay", "as", "root", "upper", o.upper, "options", o.options)
}

func (o *mountOverlay) Do() (err error) {
	defer op.Wrap(&err, "mount an overlay with %s as root", o.upper)
	defer muteConsole()()
	const upper, work = upperDir + "/upper", upperDir + "/work"
	if err := makeUpper(upper, work); err != nil {
		return fmt.Errorf("make its directories: %w", err)
	}
	messages := kmsg.Open(unix.SEEK_END)
	defer messages.Close()
	data := "lowerdir=" + lowerDir + ",upperdir=" + upper + ",workdir=" + work
	err = unix.Mount("overlay", newRoot, "overlay", o.flags, data)
	if err == unix.ENODEV {
		return errors.New("the kernel has no overlay")
	}
	if err != nil {
		if why := explain(messages, "overlayfs", "overlay"); why != "" {
			err = addNotes(err, []string{"kernel: " + why})
		}
		return err
	}
	if o.upper == overlayTmpfs {
		return nil
	}
	fd, err := unix.Open(upperDir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open it: %w", err)
	}
	o.original.detached = append(o.original.detached, fd)
	return nil
}

// makeUpper creates the directories upper and work, unless an earlier boot has. The directory upper
// becomes the root directory, so it gets the owner and the permissions of lowerDir. It is renamed to
// upper last, so that it is complete even if the machine crashes during makeUpper.
func makeUpper(upper, work string) error {
	if err := os.Mkdir(work, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	var st unix.Stat_t
	if unix.Lstat(upper, &st) == nil {
		return nil
	}
	unfinished := upper + ".new"
	err := os.Mkdir(unfinished, 0o700)
	if err == nil || errors.Is(err, unix.EEXIST) {
		err = unix.Stat(lowerDir, &st)
	}
	if err == nil {
		err = unix.Chown(unfinished, int(st.Uid), int(st.Gid))
	}
	if err == nil {
		err = unix.Chmod(unfinished, st.Mode&0o7777)
	}
	if err == nil {
		err = os.Rename(unfinished, upper)
	}
	return err
}

// MakeOverlayReadOnly makes the file system that takes an overlay's changes read-only, so that its
// journal is empty when the machine ends. No path leads to that file system, so unmounting by path
// does not reach it. If a file on it is open for writing, for example by a loop device, the file
// system is frozen instead: all data is on disk then, and no journal except that of XFS needs
// recovery.
type MakeOverlayReadOnly struct{ Original *OriginalRoot }

func (MakeOverlayReadOnly) Describe() op.Description {
	return op.Describe("make read-only", "the overlay's device")
}

func (m MakeOverlayReadOnly) Do() error {
	var errs error
	for _, dir := range m.Original.detached {
		errs = errors.Join(errs, makeReadOnly(dir))
	}
	return errs
}

// makeReadOnly makes the file system of an open directory read-only, or freezes it if it is busy.
func makeReadOnly(dir int) (err error) {
	defer op.Wrap(&err, "make the overlay's device read-only")
	fs, err := unix.Fspick(dir, "", unix.FSPICK_EMPTY_PATH|unix.FSPICK_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetFlag(fs, "ro"); err != nil {
		return err
	}
	const fiFreeze = 0xc0045877 // FIFREEZE of linux/fs.h, ioctl_fs(2)
	err = unix.FsconfigReconfigure(fs)
	if err == unix.EBUSY {
		if err = unix.IoctlSetInt(dir, fiFreeze, 0); err == unix.EBUSY {
			return nil // frozen already
		}
	}
	return err
}

package mount

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

const (
	accessTimes = unix.MS_NOATIME | unix.MS_RELATIME | unix.MS_STRICTATIME
	// attributes are the flags that a mount has of its own, whatever else its file system is mounted on.
	attributes = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOSYMFOLLOW |
		unix.MS_NODIRATIME | accessTimes
)

// Attrs are changes to a mount that is there. What they do not name stays as it is.
type Attrs struct {
	Set, Clear uintptr // MS_* of the mount itself: read-only, nosuid, nodev, noexec, nosymfollow and those of access times
	// RecSet and RecClear are the same for the mount and all mounts below it.
	RecSet, RecClear uintptr
	// Propagation is 0 or one of MS_SHARED, MS_SLAVE, MS_PRIVATE and MS_UNBINDABLE, with MS_REC for all mounts below too.
	Propagation uintptr
}

// names are the options that ask for these changes.
func (a Attrs) names() []string {
	names := flagNames(a.Set&attributes, a.Clear&attributes)
	for _, name := range flagNames(a.RecSet&attributes, a.RecClear&attributes) {
		names = append(names, "r"+name)
	}
	return append(names, flagNames(a.Propagation, 0)...)
}

// apply makes the changes.
func (a Attrs) apply(target string) error {
	err := setAttrs(target, 0, a.Set, a.Clear)
	if err == nil {
		err = setAttrs(target, unix.AT_RECURSIVE, a.RecSet, a.RecClear)
	}
	if err != nil {
		return fmt.Errorf("set its attributes: %w", err)
	}
	if a.Propagation != 0 {
		err = unix.Mount("", target, "", a.Propagation, "")
	}
	if err != nil {
		return fmt.Errorf("set its propagation: %w", err)
	}
	return nil
}

// setAttrs is mount_setattr(2) for MS_* flags, of which those that are no attributes of a mount are ignored. Other than by
// a remount, attributes that are not named keep their values.
func setAttrs(target string, how uint, set, cleared uintptr) error {
	var attr unix.MountAttr
	attr.Attr_set, attr.Attr_clr = attrBits(set), attrBits(cleared)
	if (set|cleared)&accessTimes != 0 { // one value of several bits, not bits
		attr.Attr_clr |= unix.MOUNT_ATTR__ATIME
	}
	if attr.Attr_set|attr.Attr_clr == 0 {
		return nil
	}
	err := unix.MountSetattr(unix.AT_FDCWD, target, how, &attr)
	if err == unix.EINVAL {
		return fmt.Errorf("nothing is mounted there: %w", err)
	}
	return err
}

// attrBits are the MOUNT_ATTR_* for MS_*. Without a choice the access times are those of relatime, the kernel's default.
func attrBits(flags uintptr) uint64 {
	// These four have the same values.
	bits := uint64(flags & (unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC))
	if flags&unix.MS_NOSYMFOLLOW != 0 {
		bits |= unix.MOUNT_ATTR_NOSYMFOLLOW
	}
	if flags&unix.MS_NODIRATIME != 0 {
		bits |= unix.MOUNT_ATTR_NODIRATIME
	}
	switch {
	case flags&unix.MS_NOATIME != 0:
		bits |= unix.MOUNT_ATTR_NOATIME
	case flags&unix.MS_STRICTATIME != 0:
		bits |= unix.MOUNT_ATTR_STRICTATIME
	}
	return bits
}

// Change changes the attributes of what is mounted on Target. Nothing mounted there is an error, EINVAL.
type Change struct {
	Target string
	Attrs  Attrs
}

func (c Change) Describe() op.Description {
	return op.Describe("change mount", c.Target, "options", strings.Join(c.Attrs.names(), ","))
}

func (c Change) Do() error {
	if err := c.Attrs.apply(c.Target); err != nil {
		return fmt.Errorf("change mount %s: %w", c.Target, err)
	}
	return nil
}

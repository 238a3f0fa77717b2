package mount

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

const (
	accessTimes = unix.MS_NOATIME | unix.MS_RELATIME | unix.MS_STRICTATIME
	// attributes are the MS_* flags of a mount. All other flags apply to its file system, which may be
	// mounted in several places.
	attributes = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC |
		unix.MS_NOSYMFOLLOW | unix.MS_NODIRATIME | accessTimes
)

// Attrs are changes to the attributes of an existing mount. All other attributes keep their values.
type Attrs struct {
	// Set and Clear are the MS_* flags for read-only, nosuid, nodev, noexec, nosymfollow and access
	// times to set and to clear on the mount itself.
	Set, Clear uintptr
	// RecSet and RecClear are the same for the mount and all mounts below it.
	RecSet, RecClear uintptr
	// Propagation is 0 or one of MS_SHARED, MS_SLAVE, MS_PRIVATE and MS_UNBINDABLE, with MS_REC to
	// include all mounts below.
	Propagation uintptr
}

// names returns the changes as mount options.
func (a Attrs) names() []string {
	names := flagNames(a.Set&attributes, a.Clear&attributes)
	for _, name := range flagNames(a.RecSet&attributes, a.RecClear&attributes) {
		names = append(names, "r"+name)
	}
	return append(names, flagNames(a.Propagation, 0)...)
}

// apply makes the changes to the mount on target.
func (a Attrs) apply(target string) (err error) {
	err = setAttrs(target, 0, a.Set, a.Clear)
	if err == nil {
		err = setAttrs(target, unix.AT_RECURSIVE, a.RecSet, a.RecClear)
	}
	if err != nil {
		return fmt.Errorf("set its attributes: %w", err)
	}
	if a.Propagation == 0 {
		return nil
	}
	defer op.Wrap(&err, "set its propagation")
	return unix.Mount("", target, "", a.Propagation, "")
}

// setAttrs calls mount_setattr(2) with MS_* flags to set and to clear; flags that are not
// attributes of a mount are ignored. Unlike a remount, it leaves all other attributes alone.
func setAttrs(target string, atFlags uint, set, cleared uintptr) error {
	attr := unix.MountAttr{Attr_set: attrBits(set), Attr_clr: attrBits(cleared)}
	if (set|cleared)&accessTimes != 0 { // mount_setattr wants the whole field cleared
		attr.Attr_clr |= unix.MOUNT_ATTR__ATIME
	}
	if attr.Attr_set|attr.Attr_clr == 0 {
		return nil
	}
	err := unix.MountSetattr(unix.AT_FDCWD, target, atFlags, &attr)
	if err == unix.EINVAL {
		return fmt.Errorf("nothing is mounted there: %w", err)
	}
	return err
}

// attrBits converts MS_* flags to MOUNT_ATTR_* bits. Bits without access times mean relatime, because
// MOUNT_ATTR_RELATIME is 0.
func attrBits(flags uintptr) uint64 {
	// These four have the same values in both sets.
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

// Change changes the attributes of the mount on Target. It fails with EINVAL if nothing is mounted
// there.
type Change struct {
	Target string
	Attrs  Attrs
}

func (c Change) Describe() op.Description {
	return op.Describe("change mount", c.Target, "options", strings.Join(c.Attrs.names(), ","))
}

func (c Change) Do() (err error) {
	defer op.Wrap(&err, "change mount %s", c.Target)
	return c.Attrs.apply(c.Target)
}

// Package mount has the mounts of a guest as operations of a boot: on FreeBSD, that of a disk with the configuration.
package mount

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// Mount mounts a file system read-only; see nmount(2) for the fields. The mount point is made where it is missing.
type Mount struct{ Type, Source, Target string }

func (m Mount) Describe() op.Description {
	return op.Describe("mount", m.Target, "type", m.Type, "source", m.Source, "options", "ro")
}

func (m Mount) Do() error {
	err := m.mount()
	if errors.Is(err, unix.ENOENT) {
		if err := sysfile.MakeDirs(m.Target); err != nil {
			return fmt.Errorf("make the mount point %s: %w", m.Target, err)
		}
		err = m.mount()
	}
	if err != nil {
		return fmt.Errorf("mount %s %s on %s: %w", m.Type, m.Source, m.Target, err)
	}
	return nil
}

func (m Mount) mount() error {
	var why [256]byte // filled in by file systems that have more to say than an errno
	var vector []unix.Iovec
	for _, parameter := range [...]struct{ name, value string }{
		{"fstype", m.Type}, {"fspath", m.Target}, {"from", m.Source},
	} {
		for _, text := range [...]string{parameter.name, parameter.value} {
			b, err := unix.ByteSliceFromString(text)
			if err != nil {
				return err
			}
			vector = append(vector, iovec(b))
		}
	}
	vector = append(vector, iovec([]byte("errmsg\x00")), iovec(why[:]))
	_, _, errno := syscall.Syscall(unix.SYS_NMOUNT, uintptr(unsafe.Pointer(&vector[0])), uintptr(len(vector)), unix.MNT_RDONLY)
	if errno == 0 {
		return nil
	}
	if text, _, _ := bytes.Cut(why[:], []byte{0}); len(text) > 0 {
		if errno != 0 {
			return fmt.Errorf("%s: %w", string(text), errno)
		}
		return nil
	}
	return errno
}

func iovec(b []byte) unix.Iovec { return unix.Iovec{Base: &b[0], Len: uint64(len(b))} }

// Unmount is the operation that takes the file system on Target away, unmount(2).
type Unmount struct{ Target string }

func (u Unmount) Describe() op.Description { return op.Describe("unmount", u.Target) }

func (u Unmount) Do() error {
	if err := unix.Unmount(u.Target, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", u.Target, err)
	}
	return nil
}

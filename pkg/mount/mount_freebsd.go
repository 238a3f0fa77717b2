package mount

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Mount mounts a file system read-only; nmount(2) explains the fields. A missing mount point is
// created.
type Mount struct{ Type, Source, Target string }

func (m Mount) Describe() op.Description {
	return op.Describe("mount", m.Target, "type", m.Type, "source", m.Source, "options", "ro")
}

func (m Mount) Do() error {
	err := m.mount()
	if errors.Is(err, unix.ENOENT) {
		if err := os.MkdirAll(m.Target, 0o755); err != nil {
			return fmt.Errorf("make the mount point: %w", err)
		}
		err = m.mount()
	}
	if err != nil {
		return fmt.Errorf("mount %s %s on %s: %w", m.Type, m.Source, m.Target, err)
	}
	return nil
}

func (m Mount) mount() error {
	message := make([]byte, 256) // set by file systems that explain the error
	var vector []unix.Iovec
	add := func(name string, value []byte) {
		for _, b := range [...][]byte{append([]byte(name), 0), value} {
			vector = append(vector, unix.Iovec{Base: &b[0], Len: uint64(len(b))})
		}
	}
	for _, p := range [...]struct{ name, value string }{
		{"fstype", m.Type}, {"fspath", m.Target}, {"from", m.Source},
	} {
		value, err := unix.ByteSliceFromString(p.value)
		if err != nil {
			return err
		}
		add(p.name, value)
	}
	add("errmsg", message)
	_, _, errno := unix.Syscall(unix.SYS_NMOUNT,
		uintptr(unsafe.Pointer(&vector[0])), uintptr(len(vector)), unix.MNT_RDONLY)
	if errno == 0 {
		return nil
	}
	if text := unix.ByteSliceToString(message); text != "" {
		return fmt.Errorf("%s: %w", text, errno)
	}
	return errno
}

// Unmount unmounts the file system on Target, unmount(2).
type Unmount struct{ Target string }

func (u Unmount) Describe() op.Description { return op.Describe("unmount", u.Target) }

func (u Unmount) Do() (err error) {
	defer op.Wrap(&err, "unmount %s", u.Target)
	return unix.Unmount(u.Target, 0)
}

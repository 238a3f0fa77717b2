package resolvconf

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	etc  = "/etc"
	path = etc + "/resolv.conf"
)

// memory is the file that is mounted, on the file system in memory at /dev. It is not unlinked,
// because container runtimes and "ip netns exec" cannot mount an unlinked file or mount over one.
const memory = "/dev/.resolv.conf"

// shadow is a directory with an empty resolv.conf; see mountOverlay.
const shadow = "/dev/.etc"

// File is the mount on /etc/resolv.conf. In the zero value, nothing is mounted.
//
// If /etc/resolv.conf is a symbolic link, the mount is on the link itself (before Linux 5.2, on its
// target). If it does not exist, File creates an empty file, as container runtimes do. If that
// fails, or if it is a directory, File first mounts a read-only overlay with an empty file on /etc.
type File struct {
	file   *os.File // the file in memory; nil if nothing is mounted
	length int      // of the file, in bytes
	text   []byte   // the last text written, without the padding of write
}

// Update writes the merged configurations to the file, and mounts it if necessary. If they have no
// server, Update removes the mount, so that resolvers use the file of the image.
func (f *File) Update(configs ...Config) error {
	text := Merge(configs...).Text()
	if text == nil {
		return f.Remove()
	}
	if f.file != nil && f.isRemoved() {
		f.file.Close()
		*f = File{}
	}
	if f.file != nil && bytes.Equal(text, f.text) {
		return nil
	}
	write := f.write
	if f.file == nil {
		write = f.create
	}
	if err := write(text); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	f.text = text
	return nil
}

// write replaces the text of the file. It does not shrink the file, but pads it with blank lines,
// so that no reader gets an empty or truncated file. During the write, a reader may get a mixture
// of old and new text.
func (f *File) write(text []byte) error {
	blank := func(n int) []byte { return bytes.Repeat([]byte("\n"), max(0, n)) }
	if f.length > 0 {
		if _, err := f.file.WriteAt(blank(len(text)-f.length), int64(f.length)); err != nil {
			return err
		}
	}
	n, err := f.file.WriteAt(append(bytes.Clone(text), blank(f.length-len(text))...), 0)
	f.length = max(f.length, n)
	return err
}

// create creates the file in memory and mounts it.
func (f *File) create(text []byte) (err error) {
	file, err := newFile(memory)
	if errors.Is(err, os.ErrExist) { // left by a process that was killed
		_ = os.Remove(memory)
		file, err = newFile(memory)
	}
	if err != nil {
		return err
	}
	created := File{file: file}
	if err = created.write(text); err == nil {
		err = created.mountAnyhow()
	}
	if err != nil {
		_ = os.Remove(memory)
		file.Close()
		return err
	}
	*f = created
	return nil
}

// newFile creates an empty file that everybody can read, regardless of the umask.
func newFile(name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err == nil {
		_ = file.Chmod(0o644)
	}
	return file, err
}

// mountAnyhow mounts the file, and creates the mount point if necessary; see File.
func (f *File) mountAnyhow() error {
	err := f.mount()
	if err == unix.ENOENT {
		if err = createEmpty(etc); err == nil {
			err = f.mount()
		}
	}
	if err == nil {
		return nil
	}
	if overlay := mountOverlay(); overlay != nil {
		return fmt.Errorf("mount a file over it: %w; instead: %w", err, overlay)
	}
	if err := f.mount(); err != nil {
		_ = unmountOverlay()
		return fmt.Errorf("mount a file over it: %w", err)
	}
	return nil
}

// mount mounts the file on path. If path is a symbolic link, the mount is on the link itself.
func (f *File) mount() error {
	const flags = unix.AT_EMPTY_PATH | unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	tree, err := unix.OpenTree(int(f.file.Fd()), "", flags)
	if err == unix.ENOSYS { // before Linux 5.2
		return unix.Mount(memory, path, "", unix.MS_BIND, "")
	}
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	return unix.MoveMount(tree, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// createEmpty creates an empty resolv.conf in a directory.
func createEmpty(directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	file, err := newFile(directory + "/resolv.conf")
	if err != nil {
		return err
	}
	return file.Close()
}

// mountOverlay mounts an overlay on /etc that has the files of the image and an empty resolv.conf.
// The overlay is read-only, so that a write by the workload fails instead of being lost.
func mountOverlay() error {
	err := createEmpty(shadow)
	if err == nil || errors.Is(err, os.ErrExist) {
		const flags = unix.MS_RDONLY | unix.MS_NODEV | unix.MS_NOSUID
		err = unix.Mount("overlay", etc, "overlay", flags, "lowerdir="+shadow+":"+etc)
	}
	if err != nil {
		removeShadow()
		return fmt.Errorf("mount overlay on %s: %w", etc, err)
	}
	return nil
}

// unmountOverlay undoes mountOverlay, if this or another process has called it.
func unmountOverlay() error {
	if _, err := os.Lstat(shadow); err != nil {
		return nil
	}
	err := unix.Unmount(etc, unix.MNT_DETACH)
	removeShadow()
	return err
}

func removeShadow() {
	_ = os.Remove(shadow + "/resolv.conf")
	_ = os.Remove(shadow)
}

// Remove removes the mount. In mount namespaces that were created after the mount, the file stays
// mounted, but is empty.
func (f *File) Remove() error {
	if f.file == nil {
		return nil
	}
	defer func() { *f = File{} }()
	defer f.file.Close()
	var err error
	if f.is(path) { // nothing else is mounted over it
		err = unix.Unmount(path, unix.MNT_DETACH)
		err = errors.Join(err, unmountOverlay())
	}
	err = errors.Join(err, f.file.Truncate(0))
	if f.is(memory) {
		_ = os.Remove(memory)
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", path, err)
	}
	return nil
}

// is reports whether name is a name of the file in memory.
func (f *File) is(name string) bool {
	file, err1 := f.file.Stat()
	named, err2 := os.Stat(name)
	return err1 == nil && err2 == nil && os.SameFile(file, named)
}

// isRemoved reports whether another process has adopted and removed the file.
func (f *File) isRemoved() bool {
	_, err := os.Lstat(memory)
	return !f.is(path) && errors.Is(err, os.ErrNotExist)
}

// Adopt takes over the file that another process has mounted. It does nothing if there is none.
func (f *File) Adopt() error {
	file, err := os.OpenFile(memory, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	adopted := File{file: file}
	st, err := file.Stat()
	if err != nil || !adopted.is(path) {
		file.Close()
		return err
	}
	adopted.length = int(st.Size())
	*f = adopted
	return nil
}

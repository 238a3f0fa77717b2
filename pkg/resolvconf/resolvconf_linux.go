package resolvconf

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	etc  = "/etc"
	path = etc + "/resolv.conf"
)

// memory is the file that is mounted, in memory as all of /dev; a tmpfs of its own would take half as long again to mount.
// It keeps its name: nothing can be mounted over a file without one, nor can it be mounted elsewhere, and container
// runtimes and "ip netns exec" do so.
const memory = "/dev/.resolv.conf"

// shadow is a directory with an empty resolv.conf and nothing else; see mountOverlay.
const shadow = "/dev/.etc"

// File is /etc/resolv.conf. The zero value has written nothing yet.
//
// The mount is on the name itself: where that is a symbolic link, it makes no difference whether and where the link leads.
// (Before Linux 5.2 it is on what the link leads to.) Where there is nothing to mount on, an empty file is made, as container
// runtimes do. Where that is not possible, because the file system can't be written to or resolv.conf is a directory, /etc
// becomes a read-only overlay of the image's, which has such a file.
type File struct {
	fd     int // of the file in memory, if open
	open   bool
	length int    // of the file
	text   []byte // what was written last
}

// Update makes the file say what all the configurations say. If none has a server, that is what the image has.
func (f *File) Update(configs ...Config) error {
	text := Merge(configs...).Text()
	if text == nil {
		return f.Remove()
	}
	if f.open && f.isRemoved() {
		unix.Close(f.fd)
		*f = File{}
	}
	if f.open && bytes.Equal(text, f.text) {
		return nil
	}
	write := f.write
	if !f.open {
		write = f.create
	}
	if err := write(text); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	f.text = text
	return nil
}

// write replaces the text within the length that the file has already, with blank lines behind a shorter one: who reads
// meanwhile gets no empty file, nor one that is cut off. In the instant of the copy it can be half old, half new.
func (f *File) write(text []byte) error {
	if f.length == 0 {
		return f.writeAt(text, 0)
	}
	if more := len(text) - f.length; more > 0 {
		if err := f.writeAt(bytes.Repeat([]byte("\n"), more), f.length); err != nil {
			return err
		}
	}
	padding := bytes.Repeat([]byte("\n"), max(0, f.length-len(text)))
	return f.writeAt(append(bytes.Clone(text), padding...), 0)
}

func (f *File) writeAt(b []byte, offset int) error {
	n, err := unix.Pwrite(f.fd, b, int64(offset))
	if err == nil && n < len(b) {
		err = unix.ENOSPC
	}
	if err == nil {
		f.length = max(f.length, offset+len(b))
	}
	return err
}

// create makes the file in memory and mounts it.
func (f *File) create(text []byte) (err error) {
	f.fd, err = makeFile(memory)
	if err == unix.EEXIST { // of somebody who did not come to remove it
		_ = unix.Unlink(memory)
		f.fd, err = makeFile(memory)
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", memory, err)
	}
	f.length = 0
	if err = f.write(text); err == nil {
		err = f.mountAnyhow()
	}
	if err != nil {
		_ = unix.Unlink(memory)
		unix.Close(f.fd)
		return err
	}
	f.open = true
	return nil
}

// makeFile makes an empty file that everybody can read, whatever the umask is.
func makeFile(name string) (fd int, err error) {
	fd, err = unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err == nil {
		_ = unix.Fchmod(fd, 0o644)
	}
	return fd, err
}

// mountAnyhow mounts the file, after having made what is missing for that.
func (f *File) mountAnyhow() error {
	err := f.mount()
	if err == unix.ENOENT {
		if err = makeMountPoint(); err == nil {
			err = f.mount()
		}
	}
	if err == nil {
		return nil
	}
	if overlay := mountOverlay(); overlay != nil {
		return fmt.Errorf("mount a file over it: %v; instead: %w", err, overlay)
	}
	if err = f.mount(); err != nil {
		_ = unmountOverlay()
	}
	if err != nil {
		return fmt.Errorf("mount a file over it: %w", err)
	}
	return nil
}

// mount mounts the file, on a symbolic link and not on what that leads to.
func (f *File) mount() error {
	tree, err := unix.OpenTree(f.fd, "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err == unix.ENOSYS { // before Linux 5.2
		return unix.Mount(memory, path, "", unix.MS_BIND, "")
	}
	if err != nil {
		return err
	}
	err = unix.MoveMount(tree, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH)
	unix.Close(tree)
	return err
}

func makeMountPoint() error {
	fd, err := makeFile(path)
	if err == unix.ENOENT {
		if err = unix.Mkdir(etc, 0o755); err == nil {
			fd, err = makeFile(path)
		}
	}
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// mountOverlay mounts a directory over /etc that has what the image has there, but an empty file as resolv.conf. Nobody can
// write to it: what would be written could reach the image or be lost, and neither is what a workload expects.
func mountOverlay() error {
	if err := unix.Mkdir(shadow, 0o755); err != nil && err != unix.EEXIST {
		return fmt.Errorf("create %s: %w", shadow, err)
	}
	fd, err := makeFile(shadow + "/resolv.conf")
	if err == nil {
		unix.Close(fd)
	}
	if err == nil || err == unix.EEXIST {
		err = unix.Mount("overlay", etc, "overlay", unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID, "lowerdir="+shadow+":"+etc)
	}
	if err != nil {
		removeShadow()
	}
	if err != nil {
		return fmt.Errorf("mount overlay on %s: %w", etc, err)
	}
	return nil
}

// unmountOverlay undoes mountOverlay, by whichever process that was done, if it was.
func unmountOverlay() error {
	if unix.Access(shadow, unix.F_OK) != nil {
		return nil
	}
	err := unix.Unmount(etc, unix.MNT_DETACH)
	removeShadow()
	return err
}

func removeShadow() {
	_ = unix.Unlink(shadow + "/resolv.conf")
	_ = unix.Rmdir(shadow)
}

// Remove takes the mount away. In mount namespaces that others have made meanwhile, an empty file remains.
func (f *File) Remove() error {
	if !f.open {
		return nil
	}
	f.open, f.text = false, nil
	var err error
	if f.is(path) { // and not what somebody has mounted over it
		err = unix.Unmount(path, unix.MNT_DETACH)
		if e := unmountOverlay(); err == nil {
			err = e
		}
	}
	if e := unix.Ftruncate(f.fd, 0); err == nil {
		err = e
	}
	if f.is(memory) {
		_ = unix.Unlink(memory)
	}
	unix.Close(f.fd)
	if err != nil {
		return fmt.Errorf("restore %s: %w", path, err)
	}
	return nil
}

// is tells whether a name is that of the file in memory.
func (f *File) is(name string) bool {
	var file, named unix.Stat_t
	return unix.Fstat(f.fd, &file) == nil && unix.Stat(name, &named) == nil && file.Dev == named.Dev && file.Ino == named.Ino
}

// isRemoved tells whether another process, which had adopted the file, has removed it.
func (f *File) isRemoved() bool {
	return !f.is(path) && unix.Access(memory, unix.F_OK) == unix.ENOENT
}

// Adopt takes over the file that another process has mounted, if there is one.
func (f *File) Adopt() error {
	fd, err := unix.Open(memory, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", memory, err)
	}
	var st unix.Stat_t
	adopted := File{fd: fd, open: true}
	if err = unix.Fstat(fd, &st); err != nil || !adopted.is(path) {
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("stat %s: %w", memory, err)
		}
		return nil
	}
	adopted.length = int(st.Size)
	*f = adopted
	return nil
}

package resolvconf

import (
	"bytes"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/fault"
)

const (
	etc  = "/etc"
	path = etc + "/resolv.conf"
)

// memory are names for a file in memory, by preference. Only root can write to the first directory.
var memory = [...]string{"/dev/.resolv.conf", "/dev/shm/.resolv.conf"}

// File is /etc/resolv.conf. The zero value has written nothing yet.
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
	if f.open && bytes.Equal(text, f.text) {
		return nil
	}
	write := f.write
	if !f.open {
		write = f.create
	}
	if err := write(text); err != nil {
		return fault.Wrap(err, "write ", path)
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
	var name string
	for _, name = range memory {
		f.fd, err = makeFile(name)
		if err == unix.EEXIST { // of somebody who did not come to unlink it
			_ = unix.Unlink(name)
			f.fd, err = makeFile(name)
		}
		if err == nil {
			break
		}
	}
	if err != nil {
		return fault.Wrap(err, "make a file in memory")
	}
	if err = f.write(text); err == nil {
		err = mountFile(f.fd, name)
	}
	// A file without a name can be mounted nowhere, but what is mounted needs none.
	_ = unix.Unlink(name)
	if err != nil {
		unix.Close(f.fd)
		return err
	}
	f.open = true
	return nil
}

func makeFile(name string) (fd int, err error) {
	return unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
}

// mountFile mounts a file, open as fd, on path, after having made there what is missing for that.
func mountFile(fd int, name string) error {
	// A symbolic link is followed here. This is the fastest way, and fails where a link leads nowhere.
	err := unix.Mount(name, path, "", unix.MS_BIND, "")
	if err != unix.ENOENT {
		return fault.Wrap(err, "mount a file in memory on it")
	}
	tree, err := unix.OpenTree(fd, "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fault.Wrap(err, "copy the mount of a file in memory")
	}
	defer unix.Close(tree)
	// On a symbolic link, not on what it leads to.
	move := func() error {
		return unix.MoveMount(tree, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
	if err = move(); err != unix.ENOENT {
		return fault.Wrap(err, "mount a file in memory on it")
	}
	// A mount point, as container runtimes make it.
	if err = touch(path); err == unix.ENOENT {
		if err = unix.Mkdir(etc, 0o755); err != nil {
			return fault.Wrap(err, "make ", etc)
		}
		err = touch(path)
	}
	if err == unix.EROFS || err == unix.EACCES || err == unix.EPERM {
		if overlaid := overlay(); overlaid != nil {
			return errors.Join(fault.Wrap(err, "create it"), overlaid)
		}
		err = nil
	}
	if err != nil {
		return fault.Wrap(err, "create it")
	}
	return fault.Wrap(move(), "mount a file in memory on it")
}

// touch makes an empty file.
func touch(name string) error {
	fd, err := makeFile(name)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// overlay mounts a directory over /etc that has an empty resolv.conf besides what the image has. It is for images that have
// none and can't be written to.
func overlay() (err error) {
	image, err := unix.Open(etc, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fault.Wrap(err, "open ", etc)
	}
	defer unix.Close(image)
	// The tmpfs is below the overlay then, where nobody sees it.
	if err = unix.Mount("tmpfs", etc, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, "size=64k,mode=755"); err != nil {
		return fault.Wrap(err, "mount tmpfs on ", etc)
	}
	if err = touch(path); err == nil {
		err = unix.Mount("overlay", etc, "overlay", unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID,
			"lowerdir="+etc+":/proc/self/fd/"+strconv.Itoa(image))
	}
	if err != nil {
		_ = unix.Unmount(etc, unix.MNT_DETACH)
		return fault.Wrap(err, "mount overlay on ", etc)
	}
	return nil
}

// Remove takes the mount away. In mount namespaces that others have made meanwhile, an empty file remains.
func (f *File) Remove() error {
	if !f.open {
		return nil
	}
	f.open, f.length, f.text = false, 0, nil
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err == unix.EINVAL { // a link with the mount at its end
		err = unix.Unmount(path, unix.MNT_DETACH)
	}
	if e := unix.Ftruncate(f.fd, 0); err == nil {
		err = e
	}
	unix.Close(f.fd)
	return fault.Wrap(err, "restore ", path)
}

// Adopt takes over the file that another process has mounted, if there is one.
func (f *File) Adopt() error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // it is something else, or nothing
	}
	// A name that leads nowhere is what a file of ours has, and a text that begins like this.
	var st unix.Stat_t
	text := make([]byte, len(header))
	if err := unix.Fstat(fd, &st); err != nil || st.Nlink != 0 || st.Size < int64(len(header)) {
		unix.Close(fd)
		return nil
	}
	if _, err := unix.Pread(fd, text, 0); err != nil || string(text) != header {
		unix.Close(fd)
		return nil
	}
	f.fd, f.open, f.length = fd, true, int(st.Size)
	return nil
}

package imagefile

import (
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ReadOnce is like Read, for a file whose name the host removes at the first lookup. If the host then
// fails to open the file with ESTALE, the kernel looks up the name again, so that Read returns
// ErrNotExist for a file that existed. ReadOnce returns ESTALE. It needs /proc.
func ReadOnce(path string, limit int64) ([]byte, error) {
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	name, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	fd := -1
	if err == nil {
		defer unix.Close(name)
		fd, err = unix.Open("/proc/self/fd/"+strconv.Itoa(name), flags, 0)
		if err == unix.ENOENT {
			err = unix.ESTALE // the file existed when name was opened
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	return read(f, limit)
}

package imagefile

import (
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ReadOnce is like Read, for a file whose name a host removes when it is looked up. If the host then
// fails to open the file with ESTALE, the kernel looks up the name again, and Read would return that
// there is no such file. It needs /proc.
func ReadOnce(path string, limit int64) ([]byte, error) {
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	name, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	fd := -1
	if err == nil {
		defer unix.Close(name)
		fd, err = unix.Open("/proc/self/fd/"+strconv.Itoa(name), flags, 0)
		if err == unix.ENOENT {
			err = unix.ESTALE // the file was there
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	return read(f, limit)
}

// Package sysfile reads and writes small files by plain system calls. Package os would do, but its first opened file
// starts the runtime's network poller, and that costs every boot more than the reads. Errors name operation and path.
package sysfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Read returns the contents of the file at path. The file is looked up, opened and closed once, as a libkrun host's
// one-shot files need it. A file of more than most bytes is an error, and so is one that would block.
func Read(path string, most int) ([]byte, error) { return ReadAt(unix.AT_FDCWD, path, most) }

// ReadAt is Read for a path that begins at the directory dir, openat(2).
func ReadAt(dir int, path string, most int) ([]byte, error) {
	fd, err := openAt(dir, path, unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", path, err)
	}
	size := 512 // the files of /proc and /sys have 0 or a page here, whatever they hold
	if st.Size > 4096 {
		size = int(min(st.Size, int64(most))) + 1
	}
	buf := make([]byte, 0, size)
	for {
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", path, err)
		case n == 0:
			return buf, nil
		}
		buf = buf[:len(buf)+n]
		if len(buf) > most {
			return nil, fmt.Errorf("read %s: %w", path, errors.New("larger than "+strconv.Itoa(most)+" bytes"))
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

// Write makes data the contents of the file at path, which is made where it is missing, with the permissions mode before umask.
// A symbolic link is not followed.
func Write(path string, data []byte, mode uint32) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NOFOLLOW|unix.O_NONBLOCK, mode)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("write %s: %w", path, err)
		case n == 0:
			return fmt.Errorf("write %s: %w", path, unix.EIO)
		default:
			data = data[n:]
		}
	}
	return nil
}

// Names returns the names in the directory at path, in the kernel's order.
func Names(path string) ([]string, error) {
	fd, err := openAt(unix.AT_FDCWD, path, unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return NamesOf(fd, path)
}

// NamesOf is Names for a directory that is open for reading; path is for errors.
func NamesOf(fd int, path string) ([]string, error) {
	var names []string
	buf := make([]byte, 1024)
	for {
		n, err := unix.Getdents(fd, buf)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", path, err)
		case n == 0:
			return names, nil
		default:
			names = appendNames(names, buf[:n])
		}
	}
}

// appendNames appends the names of directory entries, struct linux_dirent64 in getdents64(2), but for . and .. .
func appendNames(names []string, entries []byte) []string {
	const lengthAt, nameAt = 16, 19
	for len(entries) > nameAt {
		length := min(max(int(binary.NativeEndian.Uint16(entries[lengthAt:])), nameAt), len(entries))
		name := unix.ByteSliceToString(entries[nameAt:length])
		if name != "." && name != ".." {
			names = append(names, name)
		}
		entries = entries[length:]
	}
	return names
}

func openAt(dir int, path string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY|flags, 0)
		if err == nil {
			return fd, nil
		}
		if err != unix.EINTR {
			if err != nil {
				return -1, fmt.Errorf("open %s: %w", path, err)
			}
			return -1, nil
		}
	}
}

// MakeDirs makes a directory and its missing parents, with mode 0755 before umask. One that is there is fine.
func MakeDirs(path string) error {
	err := unix.Mkdir(path, 0o755)
	if err == unix.ENOENT {
		parent := strings.LastIndexByte(strings.TrimRight(path, "/"), '/')
		if parent <= 0 {
			return err
		}
		if err := MakeDirs(path[:parent]); err != nil {
			return err
		}
		err = unix.Mkdir(path, 0o755)
	}
	if err == unix.EEXIST {
		return nil
	}
	return err
}

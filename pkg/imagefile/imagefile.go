//go:build unix

// Package imagefile reads and writes files that an image, a host or a workload provides. They may be
// of any kind and size: the functions neither wait for a FIFO nor read a file of unlimited size.
package imagefile

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Read returns the contents of the regular file at path. It fails if the file has more than limit
// bytes, or is not regular: it never waits for the writer of a FIFO. It looks up, opens and closes
// the file once, because a libkrun host provides files that can be opened only once. Errors name
// operation and path.
func Read(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return read(f, limit)
}

// read is Read for an open file.
func read(f *os.File, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); !mode.IsRegular() && !mode.IsDir() { // reading a directory fails below
		return nil, fmt.Errorf("read %s: not a regular file", f.Name())
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("read %s: larger than %d bytes", f.Name(), limit)
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// Write replaces the contents of the regular file at path. If create is set, it creates a missing file
// with mode 0644. It never waits for the reader of a FIFO, and fails if path is a symbolic link.
// Errors name operation and path.
func Write(path string, data []byte, create bool) error {
	flags := os.O_WRONLY | os.O_TRUNC | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY
	if create {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("write %s: not a regular file", path)
	}
	_, err = f.Write(data)
	return err
}

// Replace replaces the file at path by a new one with data, which everybody may read. Readers see all
// of the old contents or all of the new ones. It neither blocks nor changes another file if path is a
// FIFO or a symbolic link. If it fails, the old file stays.
func Replace(path string, data []byte) error {
	temporary := path + ".new"
	_ = unix.Unlink(temporary)
	fd, err := unix.Open(temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return fmt.Errorf("create %s: %w", temporary, err)
	}
	written, err := unix.Write(fd, data)
	unix.Close(fd)
	if err == nil && written < len(data) {
		err = unix.ENOSPC
	}
	if err == nil {
		err = unix.Rename(temporary, path)
	}
	if err != nil {
		_ = unix.Unlink(temporary)
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return nil
}

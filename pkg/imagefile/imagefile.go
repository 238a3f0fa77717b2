//go:build unix

// Package imagefile reads and writes files that an image, a host or a workload provides, and that may
// be of any kind and size.
package imagefile

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Read returns the contents of the regular file at path. The file is looked up, opened and closed
// once, as a libkrun host's one-shot files need it. A file of more than limit bytes, and one that
// is not regular, such as a FIFO that would keep the reader waiting, are errors. Errors name
// operation and path.
func Read(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return read(f, limit)
}

func read(f *os.File, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); !mode.IsRegular() && !mode.IsDir() { // of a directory the read tells
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

// Write replaces the contents of the regular file at path, or creates it with the mode 0644 if create
// is set. Like Read it never waits. It follows no symbolic link at path. Errors name operation and
// path.
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

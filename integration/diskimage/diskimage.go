// Package diskimage makes images of file systems and partitioned disks, looks into them, and checks them: without mounting,
// by the tools that integration/deps.sh gets.
package diskimage

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/krunbox/krunbox/internal/cache"
)

// A FileSystem is what Create makes. Its files have the owners and permissions that they have on this machine.
type FileSystem struct {
	Type  string // ext2, ext3, ext4, xfs, btrfs, erofs, squashfs or f2fs
	Dir   string // what is copied into it, but not into an f2fs; "": nothing
	MiB   int    // size, at least 64, and 128 for btrfs; 0 is that; erofs and squashfs are as large as what is in them
	UUID  string // "": a random one; squashfs has none
	Label string // erofs and squashfs have none; of xfs at most 12 bytes
}

// Create makes an image of a file system. It is a sparse file.
func Create(path string, fs FileSystem) error {
	size := int64(max(fs.MiB, 64)) << 20
	switch fs.Type {
	case "btrfs":
		size = max(size, 128<<20)
	case "erofs", "squashfs":
		size = 0
	}
	if err := createSparse(path, size); err != nil {
		return err
	}
	if fs.Dir == "" {
		empty, err := os.MkdirTemp("", "krunbox-empty-")
		if err != nil {
			return err
		}
		defer os.Remove(empty)
		if err := os.Chmod(empty, 0o755); err != nil {
			return err
		}
		fs.Dir = empty
	}

	var err error
	switch fs.Type {
	case "ext2", "ext3", "ext4":
		_, err = run("mke2fs", args{"-q", "-t", fs.Type, "-d", fs.Dir}.with("-U", fs.UUID).with("-L", fs.Label), path)
	case "xfs":
		err = createXFS(path, fs)
	case "btrfs":
		_, err = run("mkfs.btrfs", args{"-q", "--rootdir", fs.Dir}.with("-U", fs.UUID).with("-L", fs.Label), path)
	case "erofs":
		_, err = run("mkfs.erofs", args{"--quiet"}.with("-U", fs.UUID), path, fs.Dir)
	case "squashfs":
		_, err = run("mksquashfs", args{fs.Dir, path, "-noappend", "-quiet", "-no-progress"})
	case "f2fs":
		_, err = run("mkfs.f2fs", args{"-q"}.with("-U", fs.UUID).with("-l", fs.Label), path)
	default:
		err = fmt.Errorf("no tool for file systems of type %q", fs.Type)
	}
	return err
}

// createSparse makes a file of zeroes.
func createSparse(path string, size int64) error {
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		return err
	}
	return os.Truncate(path, size)
}

// args are options of a tool.
type args []string

// with adds an option that has a value, unless the value is empty.
func (a args) with(option, value string) args {
	if value == "" {
		return a
	}
	return append(a, option, value)
}

// run runs a tool, and returns what it prints on its standard output, which an error has too.
func run(program string, options args, operands ...string) (string, error) {
	cmd, err := cache.Command("tools", program, append(options, operands...)...)
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w\n%s%s", program, err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String(), nil
}

// number returns the number behind a name in what a tool has printed.
func number(text, name string) (int64, error) {
	_, after, _ := strings.Cut(text, name)
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0, fmt.Errorf("no %q in %q", name, text)
	}
	return strconv.ParseInt(fields[0], 10, 64)
}

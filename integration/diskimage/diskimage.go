// Package diskimage creates images of file systems and partitioned disks, reads files in them, and
// checks them. It does not mount them, but uses the tools that integration/deps.sh installs.
package diskimage

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/krunbox/krunbox/internal/cache"
)

// A FileSystem describes a file system.
type FileSystem struct {
	Type string // ext2, ext3, ext4, xfs, btrfs, erofs, squashfs or f2fs

	// Dir is a directory whose contents are copied into the file system, with the owners and
	// permissions that they have on this machine. If it is empty, or Type is f2fs, nothing is
	// copied.
	Dir string

	// MiB is the size. Smaller values are increased to 64, or 128 for btrfs. erofs and squashfs
	// ignore it; their size depends on the contents.
	MiB int

	UUID  string // "" means a random one; squashfs ignores it
	Label string // at most 12 bytes for xfs; erofs and squashfs ignore it
}

// Create creates an image of a file system: a sparse file. It fails if the type is unknown or the
// tool for it fails.
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
		options := args{"-q", "-t", fs.Type, "-d", fs.Dir}
		_, err = run("mke2fs", options.with("-U", fs.UUID).with("-L", fs.Label), path)
	case "xfs":
		err = createXFS(path, fs)
	case "btrfs":
		options := args{"-q", "--rootdir", fs.Dir}
		_, err = run("mkfs.btrfs", options.with("-U", fs.UUID).with("-L", fs.Label), path)
	case "erofs":
		_, err = run("mkfs.erofs", args{"--quiet"}.with("-U", fs.UUID), path, fs.Dir)
	case "squashfs":
		_, err = run("mksquashfs", args{fs.Dir, path, "-noappend", "-quiet", "-no-progress"})
	case "f2fs":
		_, err = run("mkfs.f2fs", args{"-q"}.with("-U", fs.UUID).with("-l", fs.Label), path)
	default:
		err = fmt.Errorf("%s: file systems of type %q are not supported", path, fs.Type)
	}
	return err
}

// createSparse creates a sparse file of size bytes.
func createSparse(path string, size int64) error {
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		return err
	}
	return os.Truncate(path, size)
}

// args has the options of a tool.
type args []string

// with returns a with an option and its value appended. If the value is empty, it returns a.
func (a args) with(option, value string) args {
	if value == "" {
		return a
	}
	return append(a, option, value)
}

// run runs a tool and returns its standard output. It fails if the tool fails; the error contains
// the tool's output.
func run(program string, options args, operands ...string) (string, error) {
	cmd, err := cache.Command("tools", program, append(options, operands...)...)
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(),
			fmt.Errorf("%s: %w\n%s%s", program, err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String(), nil
}

// number returns the number after name in text, the output of a tool.
func number(text, name string) (int64, error) {
	_, after, _ := strings.Cut(text, name)
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0, fmt.Errorf("no %q in %q", name, text)
	}
	return strconv.ParseInt(fields[0], 10, 64)
}

package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// writeExt4 writes the image as an ext4 file system.
func writeExt4(ctx context.Context, t tree, opts *Options) error {
	scratch, err := os.MkdirTemp(filepath.Dir(opts.Output), filepath.Base(opts.Output)+".tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	b := ext4Builder{dir: scratch, time: opts.Time, digest: sha256.New()}
	for i, name := range t.paths() {
		if err := b.add(strconv.Itoa(i), name, t[name]); err != nil {
			return err
		}
	}
	const spare = 16 << 20
	size := b.size + b.size/2 + spare
	if opts.SizeMiB > 0 {
		size = int64(opts.SizeMiB) << 20
	}
	disk := filepath.Join(scratch, "disk")
	if err := b.build(ctx, disk, size>>20); err != nil {
		return err
	}
	if err := os.Chmod(disk, 0o644); err != nil {
		return err
	}
	return os.Rename(disk, opts.Output)
}

// An ext4Builder builds a file system with debugfs, which makes one file after the other. With the
// option -d of mke2fs, the owners and the order of files would depend on this host, and devices
// would need root.
type ext4Builder struct {
	dir    string // for the files' contents
	time   time.Time
	script bytes.Buffer // commands for debugfs
	digest hash.Hash    // of the files' contents
	size   int64        // of the files' contents in whole blocks, in bytes
}

// add adds a file to the script. It writes the contents of a regular file to the file scratch in
// b.dir.
func (b *ext4Builder) add(scratch, name string, n *node) error {
	if strings.ContainsAny(name+n.target, "\"\n\r") {
		return fmt.Errorf("%q: names with quotes or line breaks are not possible in ext4", name)
	}
	const blockSize = 4096
	dir, base := filepath.Split(name)
	path := quote(base)
	fmt.Fprintf(&b.script, "cd %s\n", quote("/"+dir)) // not all commands of debugfs take a path
	switch n.mode.Type() {
	case fs.ModeDir:
		if name != "." {
			fmt.Fprintf(&b.script, "mkdir %s\n", path)
		}
		b.size += blockSize
	case fs.ModeSymlink:
		fmt.Fprintf(&b.script, "symlink %s %s\n", path, quote(n.target))
	case fs.ModeNamedPipe:
		fmt.Fprintf(&b.script, "mknod %s p\n", path)
	case fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
		kind := "b"
		if n.mode&fs.ModeCharDevice != 0 {
			kind = "c"
		}
		major, minor := unix.Major(n.rdev), unix.Minor(n.rdev)
		fmt.Fprintf(&b.script, "mknod %s %s %d %d\n", path, kind, major, minor)
	default:
		data, err := n.contents()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(b.dir, scratch), data, 0o600); err != nil {
			return err
		}
		fmt.Fprintf(b.digest, "%d\n%s", len(data), data)
		fmt.Fprintf(&b.script, "write %s %s\n", scratch, path)
		b.size += int64(len(data)+blockSize-1) &^ (blockSize - 1)
	}
	fmt.Fprintf(&b.script, "sif %s mode 0%o\n", path, n.sysMode())
	for _, field := range []string{"uid", "gid"} {
		fmt.Fprintf(&b.script, "sif %s %s 0\n", path, field)
	}
	for _, field := range []string{"atime", "ctime", "mtime", "crtime"} {
		fmt.Fprintf(&b.script, "sif %s %s @%d\n", path, field, b.time.Unix())
	}
	return nil
}

// quote returns s as a word of a debugfs command.
func quote(s string) string { return `"` + s + `"` }

// build makes the file disk with a file system of all files that were added.
func (b *ext4Builder) build(ctx context.Context, disk string, sizeMiB int64) error {
	// By default, the identifiers are random. Here they depend on the contents.
	b.digest.Write(b.script.Bytes())
	id := uuid(b.digest.Sum(nil))
	err := b.run(ctx, "mke2fs", "-q", "-F", "-t", "ext4", "-L", "krunbox", "-U", id, "-m", "0",
		"-E", "hash_seed="+id+",lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0",
		disk, fmt.Sprintf("%dM", sizeMiB))
	if err != nil {
		return err
	}
	return b.run(ctx, "debugfs", "-w", "-f", "-", disk)
}

// uuid returns a version 4 UUID (RFC 9562) with the bits of digest.
func uuid(digest []byte) string {
	u := [16]byte(digest)
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// run runs a program of e2fsprogs in b.dir, with the script on its standard input. It fails if the
// program prints an error: the exit code of debugfs is always 0.
func (b *ext4Builder) run(ctx context.Context, program string, args ...string) error {
	path, err := exec.LookPath(program)
	if err != nil {
		path, err = exec.LookPath("/sbin/" + program) // users may not have /sbin in PATH
	}
	if err != nil {
		return fmt.Errorf("no %s: install it (Debian: apt-get install e2fsprogs)", program)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(),
		fmt.Sprintf("E2FSPROGS_FAKE_TIME=%d", b.time.Unix()),
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", b.time.Unix()))
	cmd.Stdin = bytes.NewReader(b.script.Bytes())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err = cmd.Run()
	text := strings.TrimSpace(stderr.String())
	if banner, rest, _ := strings.Cut(text, "\n"); strings.HasPrefix(banner, program+" ") {
		text = rest
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w: %s", program, err, text)
	case text != "":
		return fmt.Errorf("%s: %s", program, text)
	}
	return nil
}

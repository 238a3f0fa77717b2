// Package image builds images of guests: an initramfs or a root file system with krunbox, commands
// of u-root in the same binary, modules of a kernel, and files of the user.
//
// All files in an image belong to root. An image depends on the sources, the Go release, the
// kernel, the files and the options, and on nothing else: not on the user, the time or the place of
// the build. Build mounts nothing and needs no privileges.
package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/krunbox/krunbox/multicall"
)

// Options are the options of Build. Only Output is required.
type Options struct {
	// Output is the file or directory to make. Its name selects the kind of image:
	//
	//	NAME.cpio[.gz|.zst]  initramfs, newc
	//	NAME.tar[.gz|.zst]   archive, ustar or PAX
	//	NAME.ext4            file system, made by mke2fs and debugfs of e2fsprogs
	//	NAME/                directory, which must be empty or not exist
	//
	// In a directory, device nodes and files that belong to root are only possible if root runs
	// Build. A libkrun guest works without them.
	Output string

	// Dir is a directory in the module that requires krunbox and the commands, and has makebb among
	// its tools. Empty: the working directory.
	Dir string
	// GOARCH is the guest's architecture, amd64 or arm64. Empty: the host's.
	GOARCH string
	// Version is printed by "krunbox --version". Empty: dev.
	Version string
	// Commands are names of u-root's commands (ls), and packages or patterns of packages
	// (./cmds/...). The name "default" stands for DefaultCommands, "none" for no commands besides
	// krunbox's. Empty: default.
	Commands []string
	// Shell is what /bin/sh is: "krunbox", a shell of this module, or "busybox" for BusyBox of
	// Debian's package busybox-static, which is downloaded by apt-get into a cache. BusyBox also has
	// the commands that Commands does not name; "default" stands for none then. Empty: krunbox.
	Shell string
	// Tags are build tags.
	Tags []string

	// Files are copied into the image in this order. A later file replaces an earlier one.
	Files []File

	// Kernel is the kernel whose modules are added. It is one of:
	//
	//	debian                       Debian's cloud kernel, downloaded by apt-get into a cache
	//	ROOT/boot/vmlinuz-VERSION    a kernel with modules in ROOT/lib/modules/VERSION
	//	ROOT                         a directory with exactly one such kernel
	//	DIR                          a directory of modules
	//	FILE.deb                     a Debian package of a kernel
	//
	// Empty: no modules.
	Kernel string
	// KernelOutput is the file to copy the kernel to. Empty: it is not copied.
	KernelOutput string
	// Modules are names of modules. Init loads them after the modules that they depend on. The name
	// "default" stands for those of DefaultModules that the kernel has. Empty: default.
	Modules []string

	// SizeMiB is the size of a file system, in MiB. 0: one and a half times its contents, and 16
	// MiB.
	SizeMiB int
	// Time is the time of all files. Zero: SOURCE_DATE_EPOCH, in seconds since 1970, or 1970 if that is not set.
	Time time.Time
	// Progress, unless nil, is called when a step begins.
	Progress func(step string)
}

// A File is a file or directory to copy, with its permissions. Symbolic links are copied as links.
type File struct {
	Source string // on this host. The contents of a directory are copied into Target.
	Target string // in the image. Empty: same as Source
}

// ParseFile parses SOURCE[:TARGET].
func ParseFile(s string) (File, error) {
	source, target, _ := strings.Cut(s, ":")
	if source == "" {
		return File{}, fmt.Errorf("file %q: want SOURCE or SOURCE:TARGET", s)
	}
	return File{source, target}, nil
}

// binaryPath is the path of the binary in an image. The other files in /bin are links to it.
const binaryPath = "bin/" + binaryName

const binaryName = "krunbox"

// Build builds an image. It needs no network if the Go modules and the kernel are in their caches.
func Build(ctx context.Context, opts Options) error {
	if opts.Output == "" {
		return errors.New("build an image: no output named")
	}
	if err := build(ctx, opts); err != nil {
		return fmt.Errorf("build %s: %w", opts.Output, err)
	}
	return nil
}

func build(ctx context.Context, opts Options) (err error) {
	write, err := writerFor(opts.Output)
	if err != nil {
		return err
	}
	if opts.GOARCH == "" {
		opts.GOARCH = runtime.GOARCH
	}
	if opts.Progress == nil {
		opts.Progress = func(string) {}
	}
	if opts.Time.IsZero() {
		if opts.Time, err = sourceDate(); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Dir(filepath.Clean(opts.Output))); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "krunbox-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)

	t := newTree()
	// The binary takes long to build, so errors in the options are reported first.
	if err := addKernel(ctx, t, &opts, scratch); err != nil {
		return err
	}
	for _, f := range opts.Files {
		if err := t.copy(f); err != nil {
			return err
		}
	}
	binary := filepath.Join(scratch, binaryName)
	commands, err := buildBinary(ctx, &opts, binary)
	if err != nil {
		return err
	}
	if err := t.addBinary(binary, commands); err != nil {
		return err
	}
	if opts.Shell == shellBusybox {
		if err := t.addBusybox(ctx, opts.GOARCH); err != nil {
			return err
		}
	}
	opts.Progress("writing " + opts.Output)
	return write(ctx, t, &opts)
}

// buildBinary builds the binary and returns the names of its commands.
func buildBinary(ctx context.Context, opts *Options, output string) ([]string, error) {
	patterns, err := packages(ctx, opts.Dir, opts.Shell, opts.Commands)
	if err != nil {
		return nil, err
	}
	box := multicall.Options{
		Dir:      opts.Dir,
		Output:   output,
		Commands: patterns,
		GOARCH:   opts.GOARCH,
		Version:  opts.Version,
		Tags:     opts.Tags,
		Small:    len(patterns) > 1,
	}
	names, err := multicall.Names(ctx, box)
	if err != nil {
		return nil, err
	}
	opts.Progress(fmt.Sprintf("building %s with %d commands", binaryName, len(names)))
	return names, multicall.Build(ctx, box)
}

// sourceDate returns SOURCE_DATE_EPOCH, see reproducible-builds.org, or 1970.
func sourceDate() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return time.Unix(0, 0), nil
	}
	seconds, err := strconv.ParseUint(text, 10, 32) // a time in newc has 32 bits
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH=%s: want seconds since 1970", text)
	}
	return time.Unix(int64(seconds), 0), nil
}

// create writes a file. A partial file never exists under its name.
func create(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = errors.Join(write(f), f.Chmod(0o644), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

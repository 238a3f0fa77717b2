// Package image builds images of guests: krunbox, commands of u-root in the same binary, the modules that a kernel needs, and
// files of the user; as an initramfs or as a root file system.
//
//	err := image.Build(ctx, image.Options{
//		Output:   "build/krunbox.cpio.gz",
//		Commands: []string{"default", "tcpdump"},
//		Files:    []image.File{{Source: "overlay", Target: "/"}},
//		Kernel:   "debian",
//	})
//
// Everything in an image belongs to root. Its bytes depend on the sources, the Go release, the kernel, the files and the
// options, and on nothing else: not on who builds it when and where. Nothing is mounted, and no privileges are needed.
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

// Options says what to build. Only Output is required.
type Options struct {
	// Output is the image. Its name says what it is:
	//
	//	NAME.cpio  initramfs, newc; with .gz or .zst behind it compressed
	//	NAME.tar   archive, ustar or PAX; with .gz or .zst behind it compressed
	//	NAME.ext4  file system, made with mke2fs and debugfs of e2fsprogs
	//	NAME/      directory, empty or to be made. Only root can give it device nodes and files of root's; without them it
	//	           is as good as the root of a libkrun guest.
	Output string

	// Dir is a directory in the module that requires krunbox and the commands, and has makebb among its tools. Empty: the
	// working directory.
	Dir string
	// GOARCH is the guest's architecture, amd64 or arm64. Empty: the host's.
	GOARCH string
	// Version is what "krunbox --version" prints. Empty: dev.
	Version string
	// Commands are names of u-root's commands (ls), and packages or patterns of packages (./cmds/...). The name "default"
	// stands for DefaultCommands, "none" for no more than krunbox itself. No names: default.
	Commands []string
	// Tags are build tags besides goshsmall, without which u-root's shell is 700 kB larger.
	Tags []string

	// Files are copied into the image, in this order; a later one takes the place of an earlier one.
	Files []File

	// Kernel is where modules come from: "debian" is Debian's cloud kernel, fetched by apt-get and kept in a cache; else
	// it is a kernel (boot/vmlinuz-VERSION, with lib/modules/VERSION beside boot), a directory that holds one of these or
	// just modules, or a Debian package of one. Empty: no modules.
	Kernel string
	// KernelOutput is the file to copy the kernel to. Empty: it is not copied.
	KernelOutput string
	// Modules are names of modules that init loads, those before them that they depend on. The name "default" stands
	// for those of DefaultModules that the kernel has. None: these.
	Modules []string

	// SizeMiB is the size of a file system, in MiB. 0: as large as its contents, and half as much again, and 16 MiB.
	SizeMiB int
	// Time is the time of all files. Zero: that of SOURCE_DATE_EPOCH, in seconds since 1970, or 1970.
	Time time.Time
	// Progress, unless nil, is told what begins.
	Progress func(step string)
}

// A File is a file or directory to be copied. Its permissions stay, symbolic links stay links.
type File struct {
	Source string // on this host. The contents of a directory go into Target.
	Target string // in the image. Empty: as Source
}

// ParseFile reads SOURCE[:TARGET].
func ParseFile(s string) (File, error) {
	source, target, _ := strings.Cut(s, ":")
	if source == "" {
		return File{}, fmt.Errorf("file %q: want SOURCE or SOURCE:TARGET", s)
	}
	return File{source, target}, nil
}

// binaryPath is where the binary is in an image. Everything else in /bin is a link to it.
const binaryPath = "bin/" + binaryName

const binaryName = "krunbox"

// Build builds an image. It uses no network if the Go modules and the kernel are in their caches.
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
	if _, err := os.Stat(filepath.Dir(filepath.Clean(opts.Output))); err != nil { // before all the work
		return err
	}
	scratch, err := os.MkdirTemp("", "krunbox-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)

	t := newTree()
	// What can go wrong fast comes first.
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
	opts.Progress("writing " + opts.Output)
	return write(ctx, t, &opts)
}

// buildBinary builds the binary and returns the names of its commands.
func buildBinary(ctx context.Context, opts *Options, output string) ([]string, error) {
	patterns, err := packages(ctx, opts.Dir, opts.Commands)
	if err != nil {
		return nil, err
	}
	box := multicall.Options{
		Dir:      opts.Dir,
		Output:   output,
		Commands: patterns,
		GOARCH:   opts.GOARCH,
		Version:  opts.Version,
		Tags:     append([]string{"goshsmall"}, opts.Tags...),
		Small:    len(patterns) > 1,
		Aliases:  map[string]string{"sh": "gosh"},
	}
	names, err := multicall.Names(ctx, box)
	if err != nil {
		return nil, err
	}
	opts.Progress(fmt.Sprintf("building %s with %d commands", binaryName, len(names)))
	return names, multicall.Build(ctx, box)
}

// sourceDate is the time of everything that is made here, see reproducible-builds.org.
func sourceDate() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return time.Unix(0, 0), nil
	}
	seconds, err := strconv.ParseUint(text, 10, 32) // newc has room for no more
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH=%s: want seconds since 1970", text)
	}
	return time.Unix(int64(seconds), 0), nil
}

// create writes a file that is there completely or not at all.
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

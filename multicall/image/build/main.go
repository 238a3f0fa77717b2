// Build builds images of guests: krunbox, commands of u-root in the same binary, modules of a
// kernel, and files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/krunbox/krunbox/multicall/image"
)

const usage = `Usage: go run ./build -o OUTPUT [OPTION]...          (in multicall/image)
Build builds an image of a guest: krunbox, commands of u-root in the same binary, modules of a
kernel, and files. All files in it belong to root. The same input gives the same bytes.

  -o OUTPUT          what to make, by its name:
                       NAME.cpio[.gz|.zst]  initramfs
                       NAME.tar[.gz|.zst]   archive
                       NAME.ext4            file system
                       NAME/                directory, which must be empty or not exist
  -commands LIST     commands besides krunbox's: names of u-root's commands, packages, "none", or
                     "default" (default: default)
  -shell SHELL       what /bin/sh is: "krunbox", or "busybox" for BusyBox of Debian's package
                     busybox-static, which then also has the other commands (default: krunbox)
  -files SRC[:DST]   copy a file, or the contents of a directory; may be repeated
  -kernel KERNEL     take modules of this kernel: "debian" for Debian's cloud kernel, which is
                     downloaded once; boot/vmlinuz-VERSION; a directory with lib/modules; or a .deb
  -kernel-out FILE   copy the kernel itself to FILE
  -modules LIST      load these modules, and those that they depend on (default: default)
  -goarch ARCH       build for ARCH, amd64 or arm64 (default: the architecture of this host)
  -version V         V is what krunbox --version prints
  -tags LIST         build tags
  -size MIB          size of a file system (default: one and a half times its contents, and 16 MiB)
  -q                 do not show progress
The words of a LIST are separated by blanks or commas. SOURCE_DATE_EPOCH is the time of all files,
in seconds since 1970 (default 0).

Examples:
  go run ./build -o krunbox.cpio.gz
  go run ./build -o krunbox.cpio.zst -commands "default tcpdump" -kernel debian -kernel-out vmlinuz
  go run ./build -o rootfs.ext4 -files overlay:/ -files app:/usr/bin/app -size 64
  go run ./build -o xfs.cpio.gz -kernel /boot/vmlinuz-6.1.0-56-amd64 -modules default,xfs
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var opts image.Options
	var quiet bool
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {}
	flags.StringVar(&opts.Output, "o", "", "")
	list(flags, "commands", &opts.Commands)
	flags.StringVar(&opts.Shell, "shell", "", "")
	list(flags, "modules", &opts.Modules)
	list(flags, "tags", &opts.Tags)
	flags.Func("files", "", func(s string) error {
		f, err := image.ParseFile(s)
		opts.Files = append(opts.Files, f)
		return err
	})
	flags.StringVar(&opts.Kernel, "kernel", "", "")
	flags.StringVar(&opts.KernelOutput, "kernel-out", "", "")
	flags.StringVar(&opts.GOARCH, "goarch", "", "")
	flags.StringVar(&opts.Version, "version", "", "")
	flags.IntVar(&opts.SizeMiB, "size", 0, "")
	flags.BoolVar(&quiet, "q", false, "")
	if err := flags.Parse(args[1:]); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return 0
	} else if err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "%s: unexpected argument %q (-h for help)\n", args[0], flags.Arg(0))
		return 2
	}
	if !quiet {
		start := time.Now()
		opts.Progress = func(step string) {
			fmt.Fprintf(stderr, "[%5.1f s] %s\n", time.Since(start).Seconds(), step)
		}
	}
	if err := image.Build(ctx, opts); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// list defines an option whose argument is a list. A repeated option extends the list.
func list(flags *flag.FlagSet, name string, to *[]string) {
	flags.Func(name, "", func(s string) error {
		*to = append(*to, strings.Fields(strings.ReplaceAll(s, ",", " "))...)
		return nil
	})
}

// Build makes releases of krunbox, or installs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"time"

	"github.com/krunbox/krunbox/multicall/dist"
)

const usage = `Usage: go run ./multicall/dist/build release -version V [-o DIR] [-q]
       go run ./multicall/dist/build install -version V [-binary FILE] [-prefix DIR]
               [-destdir DIR] [-goos OS] [-goarch ARCH] [-q]
Release builds krunbox for every platform, and writes an archive for each, and SHA256SUMS. Install
installs a binary as krunbox and init.krun, with links for the applets, manual pages and documents.

  -version V     what krunbox --version prints, as VERSION+COMMIT.DATE
  -o DIR         write the archives to DIR (default build/dist)
  -binary FILE   the binary to install (default build/krunbox)
  -prefix DIR    install in sbin, lib/krunbox and share of DIR (default /usr/local)
  -destdir DIR   DIR is the root directory of the machine to install on (default: of this machine)
  -goos OS, -goarch ARCH
                 the platform of the binary (default: linux, and the architecture of this host)
  -q             do not show progress
The time of all files is SOURCE_DATE_EPOCH, in seconds since 1970, or else that of the last commit.

Examples:
  go run ./multicall/dist/build release -version v1.0.0+4a61042.2026-11-25
  go run ./multicall/dist/build install -version v1.0.0 -prefix /usr -destdir /tmp/package
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var opts dist.Options
	var quiet bool
	var output, binary, prefix, destdir string
	var platform dist.Platform
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {}
	flags.StringVar(&opts.Version, "version", "", "")
	flags.BoolVar(&quiet, "q", false, "")

	action := args[min(1, len(args)-1)]
	switch action {
	case "release":
		flags.StringVar(&output, "o", "build/dist", "")
	case "install":
		flags.StringVar(&binary, "binary", "build/krunbox", "")
		flags.StringVar(&prefix, "prefix", "/usr/local", "")
		flags.StringVar(&destdir, "destdir", "", "")
		flags.StringVar(&platform.GOOS, "goos", "linux", "")
		flags.StringVar(&platform.GOARCH, "goarch", runtime.GOARCH, "")
	case "-h", "-help", "--help", "help":
		fmt.Fprint(stdout, usage)
		return 0
	default:
		fmt.Fprintf(stderr, "%s: want release or install (-h for help)\n", args[0])
		return 2
	}
	if err := flags.Parse(args[2:]); errors.Is(err, flag.ErrHelp) {
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
	var err error
	if opts.Time, err = dist.SourceDate(ctx, opts.Dir); err == nil {
		if action == "release" {
			err = dist.Release(ctx, opts, output, dist.Platforms()...)
		} else {
			err = dist.Install(ctx, opts, platform, binary, destdir, prefix)
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", args[0], err)
		return 1
	}
	return 0
}

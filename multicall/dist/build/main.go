// build makes releases of krunbox, and installs it.
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
       go run ./multicall/dist/build install -version V [-binary FILE] [-prefix DIR] [-destdir DIR] [-goos OS] [-goarch ARCH] [-q]
release builds krunbox for every platform, and writes archives, bills of materials (CycloneDX) and SHA256SUMS. install puts a
binary that was built, init.krun, the applets' links, manual pages and documents where they belong.

  -version V     what krunbox --version prints, as VERSION+COMMIT.DATE
  -o DIR         where to write (default build/dist)
  -binary FILE   the binary to install (default build/krunbox)
  -prefix DIR    install below DIR: in sbin, lib/krunbox and share (default /usr/local)
  -destdir DIR   where the root directory is that is installed to (default: this machine's)
  -goos OS, -goarch ARCH
                 what the binary was built for (default: linux, and this host's)
  -q             show no progress
All files have the time SOURCE_DATE_EPOCH, in seconds since 1970, else that of the last commit.

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
		fmt.Fprintf(stderr, "%s: what is %q? (-h for help)\n", args[0], flags.Arg(0))
		return 2
	}
	if !quiet {
		start := time.Now()
		opts.Progress = func(step string) { fmt.Fprintf(stderr, "[%5.1f s] %s\n", time.Since(start).Seconds(), step) }
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

// Build builds the krunbox binary from the commands of this repository.
//
// Synopsis:
//
//	go run ./multicall/build [-o FILE] [-goos OS] [-goarch ARCH] [-version V] [-tags TAG,...]
//	        [-gen DIR] [PACKAGE...]
//
// PACKAGE is a main package or a pattern of main packages, as for the go command (default
// ./cmds/...).
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

	"github.com/krunbox/krunbox/internal/progress"
	"github.com/krunbox/krunbox/multicall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args, os.Stderr))
}

func run(ctx context.Context, args []string, stderr io.Writer) int {
	var opts multicall.Options
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&opts.Output, "o", "build/krunbox", "write the binary to `FILE`")
	flags.StringVar(&opts.GOOS, "goos", "", "build for `OS`: linux (the default) or freebsd")
	flags.StringVar(&opts.GOARCH, "goarch", "",
		"build for `ARCH`: amd64, arm64 or, for linux, riscv64 (default: that of this host)")
	flags.StringVar(&opts.Version, "version", "", "`V` is what krunbox --version prints")
	flags.StringVar(&opts.GenDir, "gen", "",
		"keep the generated source in `DIR`, which must be empty or not exist")
	flags.Func("tags", "build with these `TAGS`, separated by commas", func(tags string) error {
		opts.Tags = strings.FieldsFunc(tags, func(r rune) bool { return r == ',' })
		return nil
	})
	if err := flags.Parse(args[1:]); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	opts.Commands = flags.Args()
	ctx = progress.With(ctx, stderr, "", isTerminal(stderr))
	step := progress.Start(ctx, "building "+opts.Output)
	err := multicall.Build(ctx, opts)
	step.End()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// isTerminal reports whether w is a terminal, or a device like one.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Package multicall builds the krunbox binary: many commands in one static executable, each under
// its own name.
//
// Makebb, of u-root's gobusybox, turns every command into a package that registers its main
// function, and writes these packages and their imports as a GOPATH tree. Its own main package does
// not suit a guest's init: it takes argv[1], which belongs to the workload, for the name of an
// applet, looks up argv[0] as a file, and is built without inlining and with the GODEBUG settings
// of an old Go. So Build uses makebb only to generate the tree, replaces its main package by
// package krunbox, and compiles the tree itself.
//
// The binary depends on the sources, the Go release and the options, and on nothing else: it does
// not contain directories of the build, the time, or the user's Go settings.
package multicall

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/krunbox/krunbox/internal/tool"
	"github.com/krunbox/krunbox/multicall/dispatch"
)

// Options says what to build. Only Output is required.
type Options struct {
	// Dir is a directory in the module that requires the commands and has makebb among its tools.
	// Empty: the working directory.
	Dir string
	// Output is the file to write.
	Output string
	// Commands are patterns of main packages, as "go list" takes them. Empty: ./cmds/...
	Commands []string
	// GOOS is the guest's system: linux, the default, or freebsd.
	GOOS string
	// GOARCH is the guest's architecture: amd64, arm64 or, for linux, riscv64. Empty: the host's.
	GOARCH string
	// Version is printed by "krunbox --version". It must not contain blanks or quotes. Empty: dev.
	Version string
	// Tags are build tags.
	Tags []string
	// Small turns inlining off, also in the standard library and in this module. It makes a binary
	// of many commands smaller by a seventh.
	Small bool
	// Aliases maps further names to commands: "sh" to "gosh", say. An alias of a command that is
	// not built in is ignored.
	Aliases map[string]string
	// GenDir is the directory for the generated source, a GOPATH tree. The directory is empty or
	// does not exist. Empty: the source is not kept.
	GenDir string
}

// defaultCommands are the commands of this repository.
const defaultCommands = "./cmds/..."

// Build builds the binary. It needs no network if the modules are in the module cache.
func Build(ctx context.Context, opts Options) error {
	if err := build(ctx, opts); err != nil {
		return fmt.Errorf("build %s: %w", opts.Output, err)
	}
	return nil
}

func build(ctx context.Context, opts Options) error {
	if opts.Output == "" {
		return errors.New("no output file named")
	}
	output, err := filepath.Abs(opts.Output)
	if err != nil {
		return err
	}
	if opts.GenDir == "" {
		if opts.GenDir, err = os.MkdirTemp("", "krunbox-build-"); err != nil {
			return err
		}
		defer os.RemoveAll(opts.GenDir)
	}
	b, err := newBuilder(ctx, opts)
	if err != nil {
		return err
	}
	if err := b.generate(ctx); err != nil {
		return err
	}
	if opts.GOOS == freebsd {
		return b.compile(ctx, output)
	}
	return b.compile(ctx, output, entryFlag)
}

// Import paths. The first is makebb's main package.
const (
	mainPath   = "bb.u-root.com/bb"
	bbmainPath = mainPath + "/pkg/bbmain"
	ourPath    = "github.com/krunbox/krunbox/multicall"
	// sourceBBMain is the package that makebb copies to bbmainPath.
	sourceBBMain = "github.com/u-root/gobusybox/src/pkg/bb/bbmain"
)

// entryFlag makes the linker use our entry point, in krunbox/entry_linux_*.s. FreeBSD does not need
// it: its kernel mounts devfs before it starts init, so that Go's runtime finds the /dev/null that
// it opens for closed descriptors.
const entryFlag = "-E=_rt0_krunbox"

const freebsd = "freebsd"

// ours has the sources of the packages of the binary that are not commands.
//
//go:embed dispatch/*.go krunbox/*.go krunbox/*.s
var ours embed.FS

// Names returns the sorted names by which the commands of a binary built with opts can be called.
func Names(ctx context.Context, opts Options) ([]string, error) {
	b, err := newBuilder(ctx, opts)
	if err != nil {
		return nil, err
	}
	commands, err := b.findCommands(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range commands {
		names = append(names, c.name())
	}
	for alias, name := range opts.Aliases {
		if slices.Contains(names, name) {
			names = append(names, alias)
		}
	}
	slices.Sort(names)
	return names, nil
}

// A builder builds one binary.
type builder struct {
	opts Options // with the defaults filled in, and GenDir absolute
	goCommand
}

func newBuilder(ctx context.Context, opts Options) (*builder, error) {
	if strings.ContainsAny(opts.Version, " \t\n'\"") {
		return nil, fmt.Errorf("version %q has blanks or quotes", opts.Version)
	}
	if opts.GOARCH == "" {
		opts.GOARCH = runtime.GOARCH
	}
	if opts.GOOS == "" {
		opts.GOOS = "linux"
	}
	switch opts.GOOS + "/" + opts.GOARCH {
	case "linux/amd64", "linux/arm64", "linux/riscv64", "freebsd/amd64", "freebsd/arm64":
	default:
		return nil, fmt.Errorf("platform %s/%s: not supported", opts.GOOS, opts.GOARCH)
	}
	if len(opts.Commands) == 0 {
		opts.Commands = []string{defaultCommands}
	}
	var err error
	if opts.GenDir, err = filepath.Abs(opts.GenDir); err != nil {
		return nil, err
	}
	command, err := newGoCommand(ctx, opts.Dir, opts.GOOS, opts.GOARCH)
	if err != nil {
		return nil, err
	}
	return &builder{opts, command}, nil
}

// generate writes the GOPATH tree.
func (b *builder) generate(ctx context.Context) error {
	commands, err := b.findCommands(ctx)
	if err != nil {
		return err
	}
	makebb, err := b.tool(ctx, "makebb")
	if err != nil {
		return err
	}
	args := []string{"-g", "-gen-dir", b.opts.GenDir}
	for _, tag := range b.opts.Tags {
		args = append(args, "-go-build-tags", tag)
	}
	for _, c := range commands {
		args = append(args, c.ImportPath)
	}
	if _, err := tool.Run(ctx, b.dir, b.moduleEnv(), makebb, args...); err != nil {
		return err
	}

	if err := b.replaceMain(); err != nil {
		return err
	}
	applets, err := b.appletsSource(commands)
	if err != nil {
		return err
	}
	return b.write(mainPath, "applets.go", applets)
}

// source returns the directory of a package in the generated tree.
func (b *builder) source(importPath string) string {
	return filepath.Join(b.opts.GenDir, "src", filepath.FromSlash(importPath))
}

// write writes a file of a package into the generated tree.
func (b *builder) write(importPath, name string, content []byte) error {
	dir := b.source(importPath)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), content, 0o666)
}

// replaceMain replaces makebb's main package by package krunbox, and adds the packages that krunbox
// imports.
func (b *builder) replaceMain() error {
	stock, err := filepath.Glob(filepath.Join(b.source(mainPath), "*.go"))
	if err != nil {
		return err
	}
	for _, file := range stock {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return fs.WalkDir(ours, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, "_test.go") {
			return err
		}
		content, err := ours.ReadFile(name)
		if err != nil {
			return err
		}
		importPath := mainPath
		if dir := path.Dir(name); dir != "krunbox" {
			importPath = path.Join(ourPath, dir)
		}
		source, copied := strconv.Quote(sourceBBMain), strconv.Quote(bbmainPath)
		content = bytes.ReplaceAll(content, []byte(source), []byte(copied))
		return b.write(importPath, path.Base(name), content)
	})
}

// appletsSource returns a Go file for package main that imports the commands, describes them, and
// selects the GODEBUG settings of the module's Go version, which in a GOPATH tree would be those of
// an old one.
func (b *builder) appletsSource(commands []command) ([]byte, error) {
	applets := make([]dispatch.Applet, len(commands))
	for i, c := range commands {
		var err error
		if applets[i], err = c.describe(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(applets, func(a, b dispatch.Applet) int {
		return strings.Compare(a.Name, b.Name)
	})

	var buf bytes.Buffer
	fmt.Fprintf(&buf, "//go:debug default=%s\n\npackage main\n", b.version)
	fmt.Fprintf(&buf, "import (\n%q\n", ourPath+"/dispatch")
	for _, c := range commands {
		fmt.Fprintf(&buf, "_ %q\n", c.ImportPath)
	}
	buf.WriteString(")\nvar applets = []dispatch.Applet{\n")
	for _, a := range applets {
		fmt.Fprintf(&buf, "{Name: %q, Summary: %q},\n", a.Name, a.Summary)
	}
	fmt.Fprintf(&buf, "}\n\nvar aliases = %#v\n\nconst notice = \"\"\n", b.opts.Aliases)
	return format.Source(buf.Bytes())
}

// compile compiles the generated tree to the file output, with additional linker flags.
func (b *builder) compile(ctx context.Context, output string, linkerFlags ...string) error {
	// The linker's default alignment of 32 bytes for amd64 makes the binary 1 % larger.
	flags := append([]string{"-s", "-w", "-buildid=", "-funcalign=16"}, linkerFlags...)
	if b.opts.Version != "" {
		flags = append(flags, "-X=main.version="+b.opts.Version)
	}
	args := []string{"build", "-trimpath", "-ldflags=" + strings.Join(flags, " "), "-o", output}
	if len(b.opts.Tags) > 0 {
		args = append(args, "-tags", strings.Join(b.opts.Tags, ","))
	}
	// A boot runs most functions once or never: inlining them makes the binary 6 % larger, and the
	// boot hardly faster. Go's runtime, and small functions that it and reflect call often, are
	// inlined.
	args = append(args, "-gcflags=all=-l")
	if !b.opts.Small {
		for _, pkg := range []string{"runtime/...", "internal/runtime/...", "internal/abi", "internal/sync",
			"internal/stringslite", "sync", "sync/atomic", "unicode/utf8", "slices", "cmp"} {
			args = append(args, "-gcflags="+pkg+"=")
		}
	}
	_, err := tool.Run(ctx, b.source(mainPath), b.gopathEnv(b.opts.GenDir), b.path, args...)
	return err
}

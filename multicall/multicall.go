// Package multicall builds the krunbox binary: many commands in one static executable, each under its own name.
//
// makebb, of u-root's gobusybox, turns every command into a package that registers its main function, and lays these and
// all they import out as a GOPATH tree. Its own main would not do: it takes argv[1], which belongs to the workload, for
// an applet, looks argv[0] up again, and is built without inlining and with the GODEBUG settings of an old Go. So Build
// only lets it generate, puts package krunbox in the place of its main, and compiles the tree itself.
//
// The binary depends on the sources, the Go release and the options, and on nothing else: the directories, the time
// and the user's Go settings do not show in it.
package multicall

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/krunbox/krunbox/multicall/dispatch"
)

// Options says what to build. Only Output is required.
type Options struct {
	// Dir is a directory in the module that requires the commands and has makebb among its tools. Empty: the
	// working directory.
	Dir string
	// Output is the file to write.
	Output string
	// Commands are patterns of main packages, as "go list" takes them. None: ./cmds/...
	Commands []string
	// GOOS is the guest's system: linux, the default, or freebsd.
	GOOS string
	// GOARCH is the guest's architecture: amd64, arm64 or, for linux, riscv64. Empty: the host's.
	GOARCH string
	// Version is what "krunbox --version" prints. It has no blanks and no quotes. Empty: dev.
	Version string
	// Tags are build tags.
	Tags []string
	// Small leaves out inlining: a binary with many commands is a seventh smaller.
	Small bool
	// Aliases are further names of commands: "sh" may stand for "gosh". One for a command that is not there is ignored.
	Aliases map[string]string
	// GenDir is where to leave the generated source, a GOPATH tree: a directory that is empty or does not exist.
	// Empty: it is not kept.
	GenDir string
}

// defaultCommands are those of this repository.
const defaultCommands = "./cmds/..."

// Build builds the binary. It uses no network if the modules are in the module cache.
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

// Import paths in the generated tree. The first two are makebb's choice.
const (
	mainPath   = "bb.u-root.com/bb"
	bbmainPath = mainPath + "/pkg/bbmain"
	ourPath    = "github.com/krunbox/krunbox/multicall"
)

// entryFlag makes the linker use our entry point, of krunbox/entry_linux_*.s. FreeBSD needs none: its kernel mounts devfs
// before it starts init, so that Go's runtime finds the /dev/null that it opens for closed descriptors.
const entryFlag = "-E=_rt0_krunbox"

const freebsd = "freebsd"

// ours are the packages of the binary that are not commands.
//
//go:embed bbmain/*.go dispatch/*.go krunbox/*.go krunbox/*.s os/*.go os/*.s
var ours embed.FS

// registerSource is package bbmain as the generated commands import it.
func registerSource(aliases map[string]string) []byte {
	var buf bytes.Buffer
	fmt.Fprintf(&buf, "package bbmain\n\nimport %q\n\n", ourPath+"/bbmain")
	buf.WriteString("func Register(name string, init, main func()) {\n\tbbmain.Register(name, init, main)\n")
	for _, alias := range slices.Sorted(maps.Keys(aliases)) {
		fmt.Fprintf(&buf, "\tif name == %q {\n\t\tbbmain.Register(%q, init, main)\n\t}\n", aliases[alias], alias)
	}
	buf.WriteString("}\n")
	return buf.Bytes()
}

// Names returns the names under which the commands of a binary can be called that Build builds with opts, sorted.
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
		names = append(names, path.Base(c.ImportPath))
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
	if _, err := run(ctx, b.dir, b.moduleEnv(), makebb, args...); err != nil {
		return err
	}

	// In place of makebb's main and bbmain comes what they are here.
	if err := os.RemoveAll(b.source(mainPath)); err != nil {
		return err
	}
	if err := b.copyOurs(); err != nil {
		return err
	}
	if err := b.write(bbmainPath, "register.go", registerSource(b.opts.Aliases)); err != nil {
		return err
	}
	applets, err := appletsSource(commands, b.version)
	if err != nil {
		return err
	}
	return b.write(mainPath, "applets.go", applets)
}

// source is the directory of a package in the generated tree.
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

// copyOurs copies our own packages into the generated tree: krunbox as its main, the others under their own paths.
func (b *builder) copyOurs() error {
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
		return b.write(importPath, path.Base(name), content)
	})
}

// appletsSource is a Go file for package main that imports the commands, describes them, and asks for the behaviour of
// the given Go version, which in a GOPATH tree would be that of an old one. Commands that are not krunbox's own have their arguments
// of the standard package os, which is linked in for them only.
func appletsSource(commands []command, goVersion string) ([]byte, error) {
	applets := make([]dispatch.Applet, len(commands))
	for i, c := range commands {
		var err error
		if applets[i], err = c.describe(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(applets, func(a, b dispatch.Applet) int { return strings.Compare(a.Name, b.Name) })

	var buf bytes.Buffer
	fmt.Fprintf(&buf, "//go:debug default=%s\n\npackage main\nimport (\n%q\n", goVersion, ourPath+"/dispatch")
	var setArgs string
	for _, c := range commands {
		fmt.Fprintf(&buf, "_ %q\n", c.ImportPath)
		if !strings.HasPrefix(c.ImportPath, path.Dir(ourPath)+"/cmds/") {
			setArgs = "os.Args = args"
		}
	}
	if setArgs != "" {
		buf.WriteString("\"os\"\n")
	}
	buf.WriteString(")\nvar applets = []dispatch.Applet{\n")
	for _, a := range applets {
		fmt.Fprintf(&buf, "{Name: %q, Usage: %#v, Summary: %q},\n", a.Name, a.Usage, a.Summary)
	}
	fmt.Fprintf(&buf, "}\n\nfunc setArgs(args []string) {\n%s\n}\n", setArgs)
	return format.Source(buf.Bytes())
}

// runtimeSettings are settings of Go's runtime (GODEBUG, see package runtime). They are set by the linker, for //go:debug does not
// take them.
//   - No signals to a goroutine that has run for 10 ms: the applets have one that does all the work and no other waits for, and
//     the first such signal costs a boot as much as three mounts.
//   - No stack traces for profiles, which nobody takes, and for which each thread keeps memory.
const runtimeSettings = "asyncpreemptoff=1,profstackdepth=0"

// compile compiles the generated tree to the file output, with further linker flags.
func (b *builder) compile(ctx context.Context, output string, linkerFlags ...string) error {
	flags := append([]string{"-s", "-w", "-buildid=", "-X=runtime.godebugDefault=" + runtimeSettings}, linkerFlags...)
	if b.opts.Version != "" {
		flags = append(flags, "-X=main.version="+b.opts.Version)
	}
	args := []string{"build", "-trimpath", "-ldflags=" + strings.Join(flags, " "), "-o", output}
	if len(b.opts.Tags) > 0 {
		args = append(args, "-tags", strings.Join(b.opts.Tags, ","))
	}
	if b.opts.Small {
		args = append(args, "-gcflags=all=-l")
	}
	_, err := run(ctx, b.source(mainPath), b.gopathEnv(b.opts.GenDir), b.path, args...)
	return err
}

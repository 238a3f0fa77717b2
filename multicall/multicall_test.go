package multicall

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/krunbox/krunbox/multicall/dispatch"
)

// moduleRoot is the root directory of the module.
const moduleRoot = ".."

// scratch is a directory for files that several tests use.
var scratch string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if scratch, err = os.MkdirTemp("", "multicall-test-"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(scratch)
		return m.Run()
	}())
}

// harmless returns options for a binary with the applets in testdata, which have no effects.
func harmless() Options {
	return Options{
		Dir:      moduleRoot,
		Commands: []string{"./multicall/testdata/cmds/..."},
		Version:  "v1.2.3-test",
		Tags:     []string{"harmless"},
		Output:   filepath.Join(scratch, "krunbox"),
		GenDir:   filepath.Join(scratch, "gen"),
	}
}

var buildHarmless = sync.OnceValue(func() error { return Build(context.Background(), harmless()) })

// harmlessBinary returns the path of the binary that harmless describes.
func harmlessBinary(t *testing.T) string {
	t.Helper()
	if err := buildHarmless(); err != nil {
		t.Fatal(err)
	}
	return harmless().Output
}

// TestBuildIsReproducible checks that the binary has the same bytes when it is built from another
// directory, with unusual settings of the user and without a network. It also checks its size.
func TestBuildIsReproducible(t *testing.T) {
	dir := t.TempDir()
	here, there := filepath.Join(dir, "checkout"), filepath.Join(dir, "another", "directory")
	copyModule(t, here)
	first := filepath.Join(dir, "first")
	if err := Build(t.Context(), Options{Dir: here, Output: first}); err != nil {
		t.Fatal(err)
	}
	const maxSize = 4_800_000 // a boot may read every byte
	if info, err := os.Stat(first); err != nil || info.Size() > maxSize {
		t.Errorf("the binary has %d bytes (%v), want at most %d", info.Size(), err, maxSize)
	}

	if err := os.Mkdir(filepath.Dir(there), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(here, there); err != nil {
		t.Fatal(err)
	}
	setUnusualEnv(t, dir)
	second := filepath.Join(dir, "second")
	if err := Build(t.Context(), Options{Dir: there, Output: second}); err != nil {
		t.Fatal(err)
	}
	if a, b := digest(t, first), digest(t, second); a != b {
		t.Errorf("Build() from another directory has digest %x, want %x", b, a)
	}
}

// setUnusualEnv sets variables that a build must not depend on. It writes files to dir.
func setUnusualEnv(t *testing.T, dir string) {
	t.Helper()
	goenv := filepath.Join(dir, "goenv")
	settings := "GOFLAGS=-mod=vendor\nGOAMD64=v3\nGOWORK=" + dir + "/go.work\n"
	if err := os.WriteFile(goenv, []byte(settings), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"GOMODCACHE", "GOCACHE"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatalf("go env %s: %v", name, err)
		}
		t.Setenv(name, strings.TrimSpace(string(out)))
	}
	for name, value := range map[string]string{
		"GOENV":   goenv,
		"GOFLAGS": "-mod=vendor -tags=other -gcflags=all=-l -ldflags=-X=main.version=other",
		"GOWORK":  filepath.Join(dir, "go.work"), "GOPATH": filepath.Join(dir, "gopath"),
		"GO111MODULE": "off", "GOPROXY": "off", "GOOS": "plan9", "GOARCH": "386", "GOAMD64": "v3",
		"CGO_ENABLED": "1", "GODEBUG": "panicnil=1",
	} {
		t.Setenv(name, value)
	}
}

// copyModule copies the module to dir.
func copyModule(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(moduleRoot)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		from, to := filepath.Join(moduleRoot, e.Name()), filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."), e.Name() == "build", e.Name() == "integration":
			// not part of the module
		case e.IsDir():
			if err := os.CopyFS(to, os.DirFS(from)); err != nil {
				t.Fatal(err)
			}
		default:
			if err := copyFile(to, from); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func copyFile(to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o777)
}

func digest(t *testing.T, file string) [sha256.Size]byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(content)
}

// TestAppletsOfThisRepository checks that the package comment of each command begins with its name,
// and that its synopsis shows how to call it.
func TestAppletsOfThisRepository(t *testing.T) {
	b, err := newBuilder(t.Context(), Options{Dir: moduleRoot})
	if err != nil {
		t.Fatal(err)
	}
	commands, err := b.findCommands(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		a, err := c.describe()
		if err != nil {
			t.Error(err)
			continue
		}
		if name, _, _ := strings.Cut(a.Summary, " "); !strings.EqualFold(name, a.Name) {
			t.Errorf("%s: summary %q does not begin with %q", c.ImportPath, a.Summary, a.Name)
		}
		for _, usage := range a.Usage {
			if usage != a.Name && !strings.HasPrefix(usage, a.Name+" ") {
				t.Errorf("%s: synopsis %q does not begin with %q", c.ImportPath, usage, a.Name)
			}
		}
	}
}

// TestAppletsForFreeBSD checks that init is the only command of this repository for FreeBSD.
func TestAppletsForFreeBSD(t *testing.T) {
	b, err := newBuilder(t.Context(), Options{Dir: moduleRoot, GOOS: "freebsd"})
	if err != nil {
		t.Fatal(err)
	}
	commands, err := b.findCommands(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range commands {
		names = append(names, c.name())
	}
	if want := []string{"init"}; !slices.Equal(names, want) {
		t.Errorf("commands for FreeBSD are %q, want %q", names, want)
	}
}

// TestBinary checks that the binary for each platform is static, stripped, and built for the oldest
// CPU, that it has the GODEBUG settings of the Go version in go.mod, and that a second build is the
// same.
func TestBinary(t *testing.T) {
	for _, tt := range []struct {
		goos, goarch string
		machine      elf.Machine
		abi          elf.OSABI
		cpu          string
	}{
		{"linux", "amd64", elf.EM_X86_64, elf.ELFOSABI_NONE, "GOAMD64=v1"},
		{"linux", "arm64", elf.EM_AARCH64, elf.ELFOSABI_NONE, "GOARM64=v8.0"},
		{"linux", "riscv64", elf.EM_RISCV, elf.ELFOSABI_NONE, "GORISCV64=rva20u64"},
		{"freebsd", "amd64", elf.EM_X86_64, elf.ELFOSABI_FREEBSD, "GOAMD64=v1"},
		{"freebsd", "arm64", elf.EM_AARCH64, elf.ELFOSABI_FREEBSD, "GOARM64=v8.0"},
	} {
		t.Run(tt.goos+"-"+tt.goarch, func(t *testing.T) {
			opts := harmless()
			opts.GOOS, opts.GOARCH, opts.GenDir = tt.goos, tt.goarch, ""
			var digests [2][sha256.Size]byte
			for i := range digests {
				opts.Output = filepath.Join(t.TempDir(), "krunbox")
				if err := Build(t.Context(), opts); err != nil {
					t.Fatal(err)
				}
				digests[i] = digest(t, opts.Output)
			}
			if digests[0] != digests[1] {
				t.Errorf("a second Build() has digest %x, want %x", digests[1], digests[0])
			}
			f, err := elf.Open(opts.Output)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if f.Machine != tt.machine || f.OSABI != tt.abi {
				t.Errorf("platform %v, %v, want %v, %v", f.Machine, f.OSABI, tt.machine, tt.abi)
			}
			for _, p := range f.Progs {
				if p.Type == elf.PT_INTERP {
					t.Error("the binary has an interpreter, want a static binary")
				}
			}
			if f.Section(".symtab") != nil || f.Section(".debug_info") != nil {
				t.Error("the binary has symbols, want it stripped")
			}
			checkSettings(t, opts.Output, tt.cpu)
		})
	}
}

// checkSettings checks the build settings in a binary: its CPU, and that it has the GODEBUG
// settings of the toolchain, which are those of the Go version in go.mod.
func checkSettings(t *testing.T, binary, cpu string) {
	t.Helper()
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if got := settings["DefaultGODEBUG"]; got != "" {
		t.Errorf("DefaultGODEBUG is %q, want none", got)
	}
	name, want, _ := strings.Cut(cpu, "=")
	if got := settings[name]; got != want {
		t.Errorf("%s is %q, want %q", name, got, want)
	}
}

// list is what the binary of harmless applets prints on --help.
const list = `Usage: krunbox APPLET [ARG...]
       krunbox help APPLET | --help | --version
A link to krunbox with the name of an applet runs that applet.

  descriptors  writes the file types of descriptors 0, 1 and 2 to descriptor 3
  init         stands in for the real init: it prints its arguments and exits
  show-args    prints its arguments
`

// TestBinaryDispatch runs the binary as users do, under several names and not as PID 1.
func TestBinaryDispatch(t *testing.T) {
	binary := harmlessBinary(t)
	dir := t.TempDir()
	for _, name := range []string{"show-args", "init", "init.krun", "box"} {
		if err := os.Symlink(binary, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(binary, filepath.Join(dir, "hard-init.krun")); err != nil {
		t.Fatal(err)
	}

	for _, tt := range []struct {
		args   []string
		stdout string
		stderr string
		code   int
	}{
		{args: []string{"krunbox"}, stdout: list},
		{args: []string{"krunbox", "--help"}, stdout: list},
		{args: []string{"krunbox", "--version"}, stdout: "krunbox v1.2.3-test\n\n" + list},
		{args: []string{"krunbox", "nosuch", "init"}, code: 127,
			stderr: `krunbox: no applet "nosuch"; "krunbox --help" lists them` + "\n"},
		{args: []string{"krunbox", "show-args", "--help"},
			stdout: `show-args ["show-args" "--help"]` + "\n"},
		{args: []string{"krunbox", "init", "show-args"},
			stdout: `init ["init" "show-args"]` + "\n", code: 3},
		{args: []string{"box", "show-args"}, stdout: `show-args ["show-args"]` + "\n"},
		{args: []string{"show-args", "init"}, stdout: `show-args ["DIR/show-args" "init"]` + "\n"},
		{args: []string{"init", "show-args"},
			stdout: `init ["DIR/init" "show-args"]` + "\n", code: 3},
		{args: []string{"init.krun", "show-args"},
			stdout: `init ["DIR/init.krun" "show-args"]` + "\n", code: 3},
		{args: []string{"hard-init.krun"}, stdout: `init ["DIR/hard-init.krun"]` + "\n", code: 3},
	} {
		path := filepath.Join(dir, tt.args[0])
		if tt.args[0] == dispatch.Binary {
			path = binary
		}
		var stdout, stderr bytes.Buffer
		cmd := exec.Command(path, tt.args[1:]...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		if got := cmd.ProcessState.ExitCode(); got != tt.code {
			t.Errorf("%q: exit code %d, want %d", tt.args, got, tt.code)
		}
		if got, want := stdout.String(), strings.ReplaceAll(tt.stdout, "DIR", dir); got != want {
			t.Errorf("%q: stdout %q, want %q", tt.args, got, want)
		}
		if got := stderr.String(); got != tt.stderr {
			t.Errorf("%q: stderr %q, want %q", tt.args, got, tt.stderr)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	output := filepath.Join(t.TempDir(), "krunbox")
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"no output", func(o *Options) { o.Output = "" }, "no output file"},
		{"architecture", func(o *Options) { o.GOARCH = "mips" }, "platform linux/mips"},
		{"system", func(o *Options) { o.GOOS, o.GOARCH = "freebsd", "riscv64" },
			"platform freebsd/riscv64"},
		{"version", func(o *Options) { o.Version = "v1 -extld=x" }, `version "v1 -extld=x"`},
		{"directory", func(o *Options) { o.Dir = "/nonexistent" }, "/nonexistent"},
		{"no such command", func(o *Options) { o.Commands = []string{"./cmds/nosuch"} },
			"cmds/nosuch"},
		{"not a command", func(o *Options) { o.Commands = []string{"./multicall/dispatch"} },
			"no commands in ./multicall/dispatch"},
	} {
		opts := Options{Dir: moduleRoot, Output: output}
		tt.change(&opts)
		err := Build(t.Context(), opts)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Build() = %v, want an error with %q", tt.name, err, tt.want)
		}
	}
	if _, err := os.Stat(output); err == nil {
		t.Errorf("a failed Build left %s", output)
	}
}

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

// scratch is a directory for what several tests use.
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

// harmless are options to build a binary of the applets in testdata, which have no effects.
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

// harmlessBinary returns the path of a binary of harmless applets.
func harmlessBinary(t *testing.T) string {
	t.Helper()
	if err := buildHarmless(); err != nil {
		t.Fatal(err)
	}
	return harmless().Output
}

// The binary is what its sources are: it has the same bytes when built from another directory by a user who has set
// about everything there is to set, without a network.
func TestBuildIsReproducible(t *testing.T) {
	dir := t.TempDir()
	here, there := filepath.Join(dir, "checkout"), filepath.Join(dir, "another", "directory")
	copyModule(t, here)
	first := filepath.Join(dir, "first")
	if err := Build(t.Context(), Options{Dir: here, Output: first}); err != nil {
		t.Fatal(err)
	}
	// The limit for the applets of this repository: each boot may read every byte.
	const bar = 4_800_000
	if info, err := os.Stat(first); err != nil || info.Size() > bar {
		t.Errorf("the binary has %d bytes (%v), want at most %d", info.Size(), err, bar)
	}

	if err := os.Mkdir(filepath.Dir(there), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(here, there); err != nil {
		t.Fatal(err)
	}
	goenv := filepath.Join(dir, "goenv")
	if err := os.WriteFile(goenv, []byte("GOFLAGS=-mod=vendor\nGOAMD64=v3\nGOWORK="+dir+"/go.work\n"), 0o666); err != nil {
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
		"GOENV": goenv, "GOFLAGS": "-mod=vendor -tags=other -gcflags=all=-l -ldflags=-X=main.version=other",
		"GOWORK": filepath.Join(dir, "go.work"), "GO111MODULE": "off", "GOPATH": filepath.Join(dir, "gopath"),
		"GOPROXY": "off", "GOOS": "plan9", "GOARCH": "386", "GOAMD64": "v3", "CGO_ENABLED": "1", "GODEBUG": "panicnil=1",
	} {
		t.Setenv(name, value)
	}
	second := filepath.Join(dir, "second")
	if err := Build(t.Context(), Options{Dir: there, Output: second}); err != nil {
		t.Fatal(err)
	}
	if a, b := digest(t, first), digest(t, second); a != b {
		t.Errorf("Build() from another directory has digest %x, want %x", b, a)
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
			// no part of the module
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

// Every command of this repository is in the binary and says how to call it.
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
			t.Errorf("%s: package comment begins %q, want %q and what it does", c.ImportPath, a.Summary, a.Name)
		}
		for _, usage := range a.Usage {
			if usage != a.Name && !strings.HasPrefix(usage, a.Name+" ") {
				t.Errorf("%s: synopsis %q does not begin with %q", c.ImportPath, usage, a.Name)
			}
		}
	}
}

// Of the commands of this repository, FreeBSD gets those that are for it.
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
		names = append(names, filepath.Base(c.ImportPath))
	}
	if want := []string{"init"}; !slices.Equal(names, want) {
		t.Errorf("commands for FreeBSD are %q, want %q", names, want)
	}
}

// The binary runs on any kernel alone: static, with the behaviour of the Go version that go.mod names, built for the
// oldest CPU.
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
			opts.GOOS, opts.GOARCH, opts.GenDir, opts.Output = tt.goos, tt.goarch, "", filepath.Join(t.TempDir(), "krunbox")
			if err := Build(t.Context(), opts); err != nil {
				t.Fatal(err)
			}
			// From another generated tree it is the same; amd64's is looked at more closely by TestBuildIsReproducible.
			again := opts
			again.Output = filepath.Join(t.TempDir(), "again")
			if err := Build(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			if a, b := digest(t, opts.Output), digest(t, again.Output); a != b {
				t.Errorf("a second Build() has digest %x, want %x", b, a)
			}
			f, err := elf.Open(opts.Output)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if f.Machine != tt.machine || f.OSABI != tt.abi {
				t.Errorf("machine and system are %v, %v, want %v, %v", f.Machine, f.OSABI, tt.machine, tt.abi)
			}
			for _, p := range f.Progs {
				if p.Type == elf.PT_INTERP {
					t.Error("binary has an interpreter, want none: it must be static")
				}
			}
			if f.Section(".symtab") != nil || f.Section(".debug_info") != nil {
				t.Error("binary has symbols, want it stripped")
			}

			info, err := buildinfo.ReadFile(opts.Output)
			if err != nil {
				t.Fatal(err)
			}
			settings := map[string]string{}
			for _, s := range info.Settings {
				settings[s.Key] = s.Value
			}
			// The settings of the Go version in go.mod are the toolchain's own defaults.
			if got := settings["DefaultGODEBUG"]; got != "" {
				t.Errorf("DefaultGODEBUG is %q, want none", got)
			}
			name, want, _ := strings.Cut(tt.cpu, "=")
			if got := settings[name]; got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		})
	}
}

// The binary as users call it, other than as PID 1.
func TestBinaryDispatch(t *testing.T) {
	const list = `Usage: krunbox APPLET [ARG...]
       krunbox --help | --version
A link to krunbox that has an applet's name runs this applet.

  descriptors
        descriptors writes the file types of descriptors 0, 1 and 2 to descriptor 3.

  init [-n] [ARG...]
  init --again
        init stands in for the real one: it shows its arguments and exits.

  show-args [ARG...]
        show-args shows its arguments.
`
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
		{args: []string{"krunbox", "show-args", "--help"}, stdout: `show-args ["show-args" "--help"]` + "\n"},
		{args: []string{"krunbox", "init", "show-args"}, stdout: `init ["init" "show-args"]` + "\n", code: 3},
		{args: []string{"box", "show-args"}, stdout: `show-args ["show-args"]` + "\n"},
		{args: []string{"show-args", "init"}, stdout: `show-args ["DIR/show-args" "init"]` + "\n"},
		{args: []string{"init", "show-args"}, stdout: `init ["DIR/init" "show-args"]` + "\n", code: 3},
		{args: []string{"init.krun", "show-args"}, stdout: `init ["DIR/init.krun" "show-args"]` + "\n", code: 3},
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
		name string
		opts Options
		want string
	}{
		{"no output", Options{Dir: moduleRoot}, "no output file"},
		{"architecture", Options{Dir: moduleRoot, Output: output, GOARCH: "mips"}, "platform linux/mips"},
		{"system", Options{Dir: moduleRoot, Output: output, GOOS: "freebsd", GOARCH: "riscv64"}, "platform freebsd/riscv64"},
		{"version", Options{Dir: moduleRoot, Output: output, Version: "v1 -extld=x"}, `version "v1 -extld=x"`},
		{"no such directory", Options{Dir: "/nonexistent", Output: output}, "/nonexistent"},
		{"no such command", Options{Dir: moduleRoot, Output: output, Commands: []string{"./cmds/nosuch"}}, "cmds/nosuch"},
		{"no command", Options{Dir: moduleRoot, Output: output, Commands: []string{"./multicall/dispatch"}}, "no commands in ./multicall/dispatch"},
	} {
		err := Build(t.Context(), tt.opts)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Build() = %v, want an error with %q", tt.name, err, tt.want)
		}
	}
	if _, err := os.Stat(output); err == nil {
		t.Errorf("a failed Build left %s", output)
	}
}

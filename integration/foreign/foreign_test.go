package foreign

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/guestroot"
	"github.com/krunbox/krunbox/integration/vm"
)

// goMod is that of the other module, before the go command completes it.
const goMod = `module example.org/foreign

go 1.26.0

require github.com/krunbox/krunbox v0.0.0

replace github.com/krunbox/krunbox => ../krunbox
`

// run runs a program in a directory, with variables, and returns its output and exit code.
func run(t *testing.T, dir string, env []string, name string, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	// What a make that runs this test has set must not count. Modules come from where they always
	// do: from the module cache, or else from the proxy.
	cmd.Env = append(os.Environ(), append([]string{"GOWORK=off", "CGO_ENABLED=0"}, env...)...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// module makes the other module, next to a copy of this one. It returns its directory.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, "../..", nil, "sh", "-c", `git ls-files -co --exclude-standard -z | tar -c --null --ignore-failed-read -T - | tar -x -C "$1"`,
		"sh", mkdir(t, dir, "krunbox"))
	foreign := mkdir(t, dir, "foreign")
	if err := os.CopyFS(foreign, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(foreign, "go.mod"), []byte(goMod), 0o644); err != nil {
		t.Fatal(err)
	}
	// The hashes that go mod tidy would find, which also looks at the tests of all dependencies.
	must(t, foreign, nil, "cp", "../krunbox/go.sum", "go.sum")
	must(t, foreign, []string{"GOFLAGS=-mod=mod"}, "go", "list", "-deps", "./...") // completes go.mod
	return foreign
}

func mkdir(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// must runs a program that must succeed, and returns its output.
func must(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	out, code := run(t, dir, env, name, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit code %d, %s", name, strings.Join(args, " "), code, out)
	}
	return out
}

// TestForeignModule uses this module from another one.
func TestForeignModule(t *testing.T) {
	dir := module(t)
	t.Run("install", func(t *testing.T) { install(t, dir) })
	t.Run("boot", func(t *testing.T) { boot(t, dir) })
}

// boot builds the programs of the other module with vendoring, and boots its init with the files
// that its host writes.
func boot(t *testing.T, dir string) {
	t.Helper()
	must(t, dir, []string{"GOFLAGS=-mod=mod"}, "go", "mod", "vendor")
	bin := mkdir(t, dir, "built") + "/"
	must(t, dir, []string{"GOFLAGS=-mod=vendor"}, "go", "build", "-trimpath", "-o", bin, "./...")

	out, code := run(t, dir, []string{"KRUN_INIT_BINARY_PATH="}, bin+"host", dir)
	if code != 1 || !strings.Contains(out, "make guestinit") || !strings.Contains(out, "KRUN_INIT_BINARY_PATH") {
		t.Errorf("without an init, the host ends with %d, %q, want a line that says how to get one", code, out)
	}
	files := mkdir(t, dir, "files")
	cmdline := must(t, dir, []string{"KRUN_INIT_BINARY_PATH=" + bin + "init"}, bin+"host", files)
	if want := "quiet init=/init.krun HOSTNAME=foreign\n"; cmdline != want {
		t.Errorf("command line = %q, want %q", cmdline, want)
	}
	config, err := os.ReadFile(files + "/.krun_config.json")
	if err != nil {
		t.Fatal(err)
	}
	cfg := vm.Config{
		Arch: runtime.GOARCH, Init: files + "/init.krun", InitOneShot: true, GuestConfig: config,
		Root: mkdir(t, dir, "root"), Env: []string{"HOSTNAME=foreign"},
	}
	if err := guestroot.Create(t.Context(), cfg.Arch, cfg.Root); err != nil {
		t.Fatal(err)
	}
	result, err := vm.Run(t.Context(), cfg)
	const want = "A DHCP client begins in INIT, the clock is that of /dev/.clock.json.\n"
	if err != nil || result.ExitCode != 7 || strings.ReplaceAll(string(result.Console), "\r", "") != want {
		t.Errorf("exit code %d, %v, console %q, want 7 and %q", result.ExitCode, err, result.Console, want)
	}
	if got, err := os.ReadFile(cfg.Root + "/note"); err != nil || string(got) != want {
		t.Errorf("the host sees the note %q, %v, want %q", got, err, want)
	}
}

// install installs programs of this module. The multicall binary can't be built by the go command
// alone, and says so.
func install(t *testing.T, dir string) {
	t.Helper()
	env := []string{"GOFLAGS=-mod=mod", "GOBIN=" + mkdir(t, dir, "bin")}
	const path = "github.com/krunbox/krunbox/"
	must(t, dir, env, "go", "install", "-trimpath", path+"cmds/...", path+"multicall/krunbox")
	for name, want := range map[string]struct {
		args []string
		code int
		text string
	}{
		"init":           {[]string{"-n", "--", "-c", "true"}, 0, "\nworkload (fatal)\n"},
		"boot-chart":     {[]string{"--help"}, 0, "usage: boot-chart "},
		"dhcpclient":     {[]string{"--help"}, 0, "usage: dhcpclient "},
		"krun-timesync":  {[]string{"--help"}, 0, "usage: krun-timesync "},
		"mount-root":     {[]string{"--help"}, 0, "usage: mount-root "},
		"redirect-stdio": {[]string{"--help"}, 0, "usage: redirect-stdio "},
		"krunbox":        {nil, 1, "make build"},
	} {
		out, code := run(t, dir, nil, filepath.Join(dir, "bin", name), want.args...)
		if code != want.code || !strings.Contains("\n"+out, want.text) {
			t.Errorf("%s %q = %d, %q, want %d, %q", name, want.args, code, out, want.code, want.text)
		}
	}
}

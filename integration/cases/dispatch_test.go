package cases

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/vm"
)

// TestInitUnderOtherNames boots guests with the multicall binary under several names, and with a
// workload that has the name of an applet. It checks that init runs the workload and not the
// applet.
func TestInitUnderOtherNames(t *testing.T) {
	for _, tt := range []struct{ init, workload string }{
		{"/sbin/init.krun", "redirect-stdio"},
		{"/my-init.krun", "krunbox"},
		{"/sbin/whatever", "init"},
		{"/krunbox", "version"},
	} {
		t.Run(tt.init, func(t *testing.T) {
			t.Parallel()
			cfg := withBusybox(t, "amd64")
			// /sbin is a symbolic link, which cannot contain virtual files.
			if err := os.Remove(filepath.Join(cfg.Root, "sbin")); err != nil {
				t.Fatal(err)
			}
			cfg.InitPath = tt.init
			cfg.Files = []hostfs.File{{Path: "/apps/" + tt.workload, Data: []byte("#!/bin/sh\necho $0 $*\nexit 3\n"), Mode: 0o755}}
			cfg.Env = []string{"PATH=/apps:/bin"}
			cfg.Args = []string{tt.workload, "sh", "-c", "exit 4"}
			wantConsole(t, run(t, cfg, 3), "/apps/"+tt.workload+" sh -c exit 4\n")
		})
	}
}

// krunboxPath is the path of the multicall binary that the workloads of this file run.
const krunboxPath = "/bin/krunbox"

var bareInitGuest = inGuest("bare-init", func(t *testing.T) {
	if len(os.Args) > 1 { // in the new namespaces
		t.Fatal(syscall.Exec(krunboxPath, nil, nil))
	}
	cmd := exec.Command("/proc/self/exe", "exec")
	cmd.Args[0] = os.Args[0]
	cmd.Stdin = strings.NewReader("echo $PPID; tr '\\0' '\\n' </proc/$$/environ; exit 9\n")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	got, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 9 {
		t.Errorf("init without arguments and environment = %v, want exit code 9", err)
	}
	if want := "1\nHOME=/root\n" + defaultPath + "\n"; string(got) != want {
		t.Errorf("output of the workload = %q, want %q", got, want)
	}
})

// TestInitWithoutArgumentsAndEnvironment starts a second init in namespaces of its own, with an
// empty argument vector and an empty environment. The kernel always gives its first process more
// than that. The second init's workload is the default shell.
func TestInitWithoutArgumentsAndEnvironment(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	bareInitGuest.addTo(t, &cfg)
	cfg.Env = []string{"KRUN_TIMESYNC=0"} // both inits would bind to the same port
	cfg.Files = append(cfg.Files, hostfs.File{Path: krunboxPath, Source: cfg.Init, Mode: 0o755})
	result, err := vm.Run(t.Context(), cfg)
	// Each init reports an exit code.
	if want := []int{9, 0}; err != nil || !slices.Equal(result.ExitCodes, want) {
		t.Fatalf("exit codes = %d, %v, want %d; console:\n%s", result.ExitCodes, err, want, result.Console)
	}
}

// TestAppletsByHand runs applets of the multicall binary in a guest as a user would, and checks
// their output and exit codes.
func TestAppletsByHand(t *testing.T) {
	t.Parallel()
	const text = `
exec 2>&1
say() { echo "[$?]"; }
krunbox | grep -o -e '^  redirect-stdio  runs'; say
krunbox --version | head -n 1 | cut -d ' ' -f 1; say
krunbox nonesuch; say
krunbox init; say
KRUN_INIT=/bin/date KRUN_WORKDIR=/tmp krunbox init -n -- -u | grep -e '^workload' -e /tmp; say
krunbox init -n -json -- true | tail -n 1; say
ln -s krunbox /bin/redirect-stdio
redirect-stdio | tr -s ' '; say
redirect-stdio -- sh -c 'echo output; echo diagnostics >&2; exit 5'; say
redirect-stdio nonesuch; say
redirect-stdio sh -c 'readlink /proc/self/fd/0'; say
`
	// The applet can open the ports, because the workload has redirected its output to the console.
	var stdout bytes.Buffer
	cfg := script(t, "amd64", "exec >/dev/console\n"+text)
	cfg.Files = append(cfg.Files, hostfs.File{Path: krunboxPath, Source: cfg.Init, Mode: 0o755})
	cfg.Ports = []vm.Port{{Name: "com.example"}, {Name: "krun-stdout", Out: &stdout}}
	wantConsole(t, run(t, cfg, 0), `  redirect-stdio  runs
[0]
krunbox
[0]
krunbox: no applet "nonesuch"; "krunbox --help" lists them
[127]
init: refused: this would change the machine it runs on; it acts as PID 1, in a mount namespace of its own, or with --force (init -n prints what it would do)
[125]
    change directory /tmp
workload (fatal)
[0]
]
[0]
/dev/vport0p1 com.example -
/dev/vport0p2 krun-stdout stdout
[0]
diagnostics
[5]
redirect-stdio: execute "nonesuch": not in PATH (/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin): no such file or directory
[127]
[0]
`)
	if got, want := stdout.String(), "output\n/dev/hvc0\n"; got != want {
		t.Errorf("standard output = %q, want %q", got, want)
	}
}

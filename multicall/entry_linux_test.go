package multicall

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// start starts a program in a root directory and in new namespaces, and waits for it. Files are its
// descriptors; a nil one is closed.
func start(
	t *testing.T, root string, namespaces uintptr, argv []string, program string, files ...*os.File,
) *os.ProcessState {
	t.Helper()
	sys := &syscall.SysProcAttr{Chroot: root, Cloneflags: namespaces}
	if os.Getuid() != 0 {
		sys.Cloneflags |= syscall.CLONE_NEWUSER
		sys.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		sys.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	attr := &os.ProcAttr{Dir: "/", Env: []string{}, Files: files, Sys: sys}
	process, err := os.StartProcess(program, argv, attr)
	if errors.Is(err, fs.ErrPermission) {
		t.Skipf("needs root, or user namespaces: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	state, err := process.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// output runs f with the writing end of a pipe and returns the text that was written.
func output(t *testing.T, f func(w *os.File)) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	func() {
		defer w.Close() // f may skip the test
		f(w)
	}()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// emptyRoot returns a root directory that contains only the program /krunbox.
func emptyRoot(t *testing.T, program string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(filepath.Join(root, "krunbox"), program); err != nil {
		t.Fatal(err)
	}
	return root
}

const (
	directory = "d---------\n"
	device    = "Dc---------\n"
	pipe      = "p---------\n"
)

// TestEntryOpensDescriptors checks that closed standard descriptors are open when main starts, with
// and without a /dev/null.
func TestEntryOpensDescriptors(t *testing.T) {
	binary := harmlessBinary(t)
	empty := emptyRoot(t, binary)
	for _, tt := range []struct {
		name, root string
		open       [3]bool
		want       string
	}{
		{"none open", empty, [3]bool{}, directory + directory + directory},
		{"0 open", empty, [3]bool{true, false, false}, pipe + directory + directory},
		{"1 open", empty, [3]bool{false, true, false}, directory + pipe + directory},
		{"0 and 2 open", empty, [3]bool{true, false, true}, pipe + directory + pipe},
		{"all open", empty, [3]bool{true, true, true}, pipe + pipe + pipe},
		{"none open, with /dev/null", "", [3]bool{}, device + device + device},
		{"2 closed, with /dev/null", "", [3]bool{true, true, false}, pipe + pipe + device},
	} {
		program := binary
		if tt.root != "" {
			program = "/krunbox"
		}
		var state *os.ProcessState
		got := output(t, func(w *os.File) {
			files := []*os.File{nil, nil, nil, w}
			for fd, open := range tt.open {
				if open {
					files[fd] = w
				}
			}
			state = start(t, tt.root, 0, []string{"krunbox", "descriptors"}, program, files...)
		})
		if got != tt.want {
			t.Errorf("%s: descriptors are %q (%v), want %q", tt.name, got, state, tt.want)
		}
	}
}

// TestEntryMarksDescriptorsOfPID1 checks that PID 1 opens the root directory even if there is a
// /dev/null: so init knows which descriptors were closed.
func TestEntryMarksDescriptorsOfPID1(t *testing.T) {
	binary := harmlessBinary(t)
	got := output(t, func(w *os.File) {
		start(t, "", syscall.CLONE_NEWPID, []string{"descriptors"}, binary, nil, nil, nil, w)
	})
	if want := directory + directory + directory; got != want {
		t.Errorf("descriptors of PID 1 are %q, want %q", got, want)
	}
}

// TestEntryIsNeeded checks that the program dies before main with the entry point of Go's runtime.
// Otherwise TestEntryOpensDescriptors could not fail.
func TestEntryIsNeeded(t *testing.T) {
	harmlessBinary(t)
	opts := harmless()
	stock := filepath.Join(t.TempDir(), "stock")
	b, err := newBuilder(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.compile(t.Context(), stock); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, program string
		reachesMain   bool
	}{
		{"stock entry", stock, false},
		{"our entry", opts.Output, true},
	} {
		state := start(t, emptyRoot(t, tt.program), 0, []string{"krunbox", "nosuch"}, "/krunbox")
		if got := state.ExitCode() == 127; got != tt.reachesMain {
			t.Errorf("%s: main reached: %v (%v), want %v", tt.name, got, state, tt.reachesMain)
		}
	}
}

// TestBinaryDispatchPID1 runs the binary as PID 1 under several names.
func TestBinaryDispatchPID1(t *testing.T) {
	binary := harmlessBinary(t)
	for _, tt := range []struct {
		argv []string
		want string
	}{
		{[]string{"/init.krun", "show-args"}, `init ["/init.krun" "show-args"]`},
		{[]string{"/sbin/boot", "show-args"}, `init ["/sbin/boot" "show-args"]`},
		{[]string{"krunbox", "show-args", "x"}, `init ["krunbox" "show-args" "x"]`},
		{[]string{"krunbox", "--version"}, `init ["krunbox" "--version"]`},
		{[]string{"/bin/show-args", "x"}, `show-args ["/bin/show-args" "x"]`},
		{[]string{"", "show-args"}, `init ["init" "show-args"]`},
		{[]string{}, `init ["init"]`},
	} {
		got := output(t, func(w *os.File) {
			start(t, "", syscall.CLONE_NEWPID|syscall.CLONE_NEWNS, tt.argv, binary, nil, w, w)
		})
		if strings.TrimSuffix(got, "\n") != tt.want {
			t.Errorf("PID 1 called as %q printed %q, want %q", tt.argv, got, tt.want)
		}
	}
}

package exec

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

// printLimit returns a program that prints a name and its soft limit on open files.
func printLimit(name string) specs.Process {
	return specs.Process{Args: []string{"/bin/sh", "-c", "echo " + name + " $(ulimit -Sn)"}}
}

// Programs have the limit on open files that this process was started with, although Go has
// raised it.
func TestOpenFileLimit(t *testing.T) {
	const started = "started-with-a-limit"
	switch {
	case slices.Contains(os.Args, "sidecar"):
		t.Fatal((&Spec{Process: printLimit("sidecar")}).Exec())
	case slices.Contains(os.Args, started):
		executeWithLimit(t)
		return
	}
	nstest.Run(t, func(t *testing.T, dir string) {
		out, text := output(t)
		spec := Spec{
			Process: specs.Process{
				Args:    []string{"/proc/self/exe", "-test.run=^TestOpenFileLimit$", started},
				Env:     os.Environ(),
				Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 99, Hard: 4096}},
			},
			Streams: [3]int{1: int(out.Fd())},
		}
		if _, err := spec.Start(); err != nil {
			t.Fatal(err)
		}
		for { // the program and its sidecar
			if _, err := unix.Wait4(-1, nil, 0, nil); err == unix.ECHILD {
				break
			}
		}
		for _, want := range []string{"raised 4095\n", "Start 99\n", "sidecar 99\n", "Exec 99\n"} {
			if got := text(); !strings.Contains(got, want) {
				t.Errorf("limits = %q, want %q among them", got, want)
			}
		}
	})
}

// executeWithLimit prints the limits of this process, a child, a sidecar, and the program that it
// becomes.
func executeWithLimit(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	fmt.Println("raised", limit.Cur)
	pid, err := (&Spec{Process: printLimit("Start")}).Start()
	if err != nil {
		t.Fatal(err)
	}
	wait(t, pid)
	sidecars := Sidecars{{
		Args:  []string{"sidecar", "-test.run=^TestOpenFileLimit$", "sidecar"},
		Stdin: func() (int, error) { return Text([]byte("input")) },
	}}
	if err := sidecars.Do(); err != nil {
		t.Fatal(err)
	}
	t.Fatal((&Spec{Process: printLimit("Exec")}).Exec())
}

func TestSidecarsErrors(t *testing.T) {
	failing := func(fd int, err error) func() (int, error) {
		return func() (int, error) { return fd, err }
	}
	sidecars := Sidecars{
		{Args: []string{"a"}, Stdin: failing(-1, unix.EIO)},
		{Args: []string{"b"}, Stdin: failing(-1, nil)},
		{Args: []string{"c"}, Stdin: failing(-1, unix.ENODEV)},
	}
	want := "start a: input/output error\nstart c: no such device"
	if err := sidecars.Do(); err == nil || err.Error() != want {
		t.Errorf("Do() = %v, want %s", err, want)
	}
	want = "start beside the workload a,b,c a=[a] b=[b] c=[c]"
	if got := sidecars.Describe().String(); got != want {
		t.Errorf("Describe() = %s, want %s", got, want)
	}
}

func TestText(t *testing.T) {
	fd, err := Text([]byte("a line\n"))
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "pipe")
	defer f.Close()
	buf := make([]byte, 100)
	if n, err := f.Read(buf); string(buf[:n]) != "a line\n" || err != nil {
		t.Errorf("read from the pipe = %q, %v, want the text", buf[:n], err)
	}
	if fd, err := Text(make([]byte, 1<<20)); err == nil || fd >= 0 {
		t.Errorf("Text(1 MB) = %d, %v, want an error", fd, err)
	}
}

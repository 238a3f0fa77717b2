package exec_test

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/exec"
)

// Start a shell with a limit on open files, a higher niceness and a session of its own.
func Example() {
	spec := exec.Spec{
		Process: specs.Process{
			Args:      []string{"sh", "-c", "exit $(ulimit -n)"},
			Env:       []string{"PATH=/usr/bin:/bin"},
			Rlimits:   []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}},
			Scheduler: &specs.Scheduler{Policy: specs.SchedOther, Nice: 5},
		},
		NewSession: true,
	}
	pid, err := spec.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("exit status", status.ExitStatus())
	// Output: exit status 100
}

// A program that can't be started has the exit code that a shell would report.
func ExampleExitCode() {
	spec := exec.Spec{Process: specs.Process{
		Args: []string{"nosuchprogram"},
		Env:  []string{"PATH=/usr/bin:/bin"},
	}}
	_, err := spec.Start()
	fmt.Println(err)
	fmt.Println(exec.ExitCode(err))
	// Output:
	// execute "nosuchprogram": not in PATH (/usr/bin:/bin): no such file or directory
	// 127
}

package supervise_test

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/poweroff"
	"github.com/krunbox/krunbox/pkg/supervise"
)

// The first process of a machine runs a program, stops what the program leaves behind, and switches
// the machine off.
func Example() {
	var signals *loop.Signals
	if err := (supervise.Catch{Signals: &signals}).Do(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	workload, err := os.StartProcess("/bin/app", []string{"app"}, &os.ProcAttr{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	var status unix.WaitStatus
	for _, op := range []interface{ Do() error }{
		supervise.Watch{
			PID:     &workload.Pid,
			Signals: signals,
			Tasks:   &loop.Loop{Tasks: []loop.Task{&supervise.PowerKeys{}}},
			Stop:    supervise.StopPolicy{Timeout: supervise.DefaultStopTimeout},
			Status:  &status,
		},
		supervise.StopOthers{Signals: signals, Grace: supervise.DefaultStopTimeout},
		poweroff.Sync{},
		poweroff.PowerOff{},
	} {
		if err := op.Do(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(poweroff.Code(status)) // in a container, where there is no machine to switch off
}

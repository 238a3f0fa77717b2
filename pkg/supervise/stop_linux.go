package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/imagefile"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
)

// StopOthers is the operation that ends all other processes, when the workload has ended. They get
// SIGTERM, and SIGCONT so that stopped ones see it; after Grace, or upon a stop request (see
// StopPolicy), they are killed. It returns as soon as all are gone and reaped.
//
// It stops all processes of the PID namespace, and therefore fails in any process but the first.
type StopOthers struct {
	Signals *loop.Signals // nil: no stop requests
	Grace   time.Duration // negative: no limit
	Left    *bool         // unless nil, set to true if there are other processes
	Tasks   []loop.Task   // go on meanwhile
}

func (s StopOthers) Describe() op.Description {
	return op.Describe("stop", "all processes", "grace", s.Grace)
}

// Do fails if processes can't be killed. The error names some of them.
func (s StopOthers) Do() error {
	if unix.Getpid() != 1 {
		return errors.New("stop processes: this is not process 1")
	}
	if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err == unix.ECHILD {
		return nil
	}
	if s.Left != nil {
		*s.Left = true
	}
	for s.Signals.Next() != 0 { // what came until now was for the workload
	}
	// tick is the longest wait. Processes may be started while others are killed.
	const tick = 50 * time.Millisecond
	tasks := loop.Loop{Tasks: s.Tasks}
	t := terminator{grace: s.Grace}
	signalOthers(t.request(loop.Now(), unix.SIGTERM))
	for {
		_, _, more, err := reap(0)
		if err == unix.ECHILD {
			return nil
		}
		if err != nil {
			return fmt.Errorf("stop processes: %w", err)
		}
		limit := t.wait(loop.Now())
		if limit < 0 || limit > tick {
			limit = tick
		}
		step(&tasks, s.Signals, limit, more)
		sig, over := t.expire(loop.Now())
		if over {
			return survivors()
		}
		for request := s.Signals.Next(); request != 0; request = s.Signals.Next() {
			if stopSignal(request) != 0 {
				sig = t.request(loop.Now(), 0)
			}
		}
		if t.phase == killed {
			sig = unix.SIGKILL
		}
		signalOthers(sig)
	}
}

// signalOthers sends a signal, unless it is 0, to all processes of the namespace but this one.
func signalOthers(sig syscall.Signal) {
	if sig == 0 {
		return
	}
	_ = unix.Kill(-1, sig) // fails if there are none
	if sig != unix.SIGKILL {
		_ = unix.Kill(-1, unix.SIGCONT)
	}
}

// survivors returns an error with the number of the processes that are left, and the names of some.
func survivors() error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("stop processes: some are left: %w", err)
	}
	var names []string
	for _, entry := range entries {
		pid := entry.Name()
		if n, err := strconv.Atoi(pid); err != nil || n == 1 {
			continue
		}
		stat, err := imagefile.Read("/proc/"+pid+"/stat", 4096) // /proc may be the workload's own
		if err != nil {
			continue // it has ended meanwhile
		}
		if name, ok := survivor(stat); ok {
			names = append(names, pid+" "+name)
		}
	}
	const named = 5
	count := len(names)
	if count == 0 {
		return errors.New("stop processes: some are left")
	}
	if count > named {
		names = append(names[:named], "...")
	}
	return fmt.Errorf("stop processes: %d left (%s)", count, strings.Join(names, ", "))
}

// survivor returns the name of a process from its /proc/PID/stat, see proc_pid_stat(5). It returns
// false for a dead process and for a thread of the kernel.
func survivor(stat []byte) (name string, ok bool) {
	const kernelThread = 0x00200000 // PF_KTHREAD of linux/sched.h
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return "", false
	}
	// The third field and those after it: state, ppid, pgrp, session, tty, tpgid, flags.
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) < 7 || fields[0] == "Z" || fields[0] == "X" {
		return "", false
	}
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	return string(stat[open+1 : end]), err == nil && flags&kernelThread == 0
}

package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// dyingTime is how long a killed process may take to be gone. One that takes longer waits in the kernel, for a disk or a
// server, and may wait for ever.
const dyingTime = 5 * time.Second

// ending is the way of processes to their end. It is pure: times come in, and signals come out.
type ending struct {
	ask      syscall.Signal // what asks them to end
	patience time.Duration  // how long they have then; negative: for ever
	phase    phase
	due      time.Duration // when the phase is over
}

type phase uint8

const (
	running phase = iota // nobody wants their end
	asked
	killed
)

// request returns the signal to send for a request to end at a time. It is SIGKILL for all but the first.
func (e *ending) request(now time.Duration) syscall.Signal {
	switch e.phase {
	case running:
		e.phase, e.due = asked, now+e.patience
		return e.ask
	case asked:
		e.phase, e.due = killed, now+dyingTime
	}
	return unix.SIGKILL
}

// wait returns how long the phase will last: 0 when it is over, or loop.Forever.
func (e *ending) wait(now time.Duration) time.Duration {
	if e.phase == running || e.phase == asked && e.patience < 0 {
		return loop.Forever
	}
	return max(0, e.due-now)
}

// expire returns the signal that is due at a time, if any, and whether there is nothing more to be done.
func (e *ending) expire(now time.Duration) (sig syscall.Signal, over bool) {
	switch {
	case e.wait(now) != 0:
		return 0, false
	case e.phase == killed:
		return 0, true
	}
	return e.request(now), false
}

// StopOthers is the operation that ends all other processes, when the workload is gone. They get SIGTERM, those that are
// stopped go on to see it, and after Grace they are killed; a request to stop that comes in the meantime (SIGTERM, SIGINT or
// SIGPWR) is the end of the grace. It returns as soon as all are gone and reaped; where there are none that is at once.
//
// All processes means all of the PID namespace, and so it refuses to be done by another process than its first.
type StopOthers struct {
	Signals SignalSource  // nil: none
	Grace   time.Duration // negative: no limit
}

func (s StopOthers) Describe() op.Description {
	return op.Describe("stop", "all processes", "grace", s.Grace)
}

// Do implements op.Op. Processes that can't be killed are an error.
func (s StopOthers) Do() error {
	const doing = "stop processes"
	if unix.Getpid() != 1 {
		return fmt.Errorf("%s: %w", doing, errors.New("this is not process 1"))
	}
	// With a tick, a missing SIGCHLD costs its length, and who was started while others were killed is killed too.
	const tick = 50 * time.Millisecond
	var signals loop.Loop
	fd := -1
	if s.Signals != nil {
		fd = s.Signals.FD()
	}
	end := ending{ask: unix.SIGTERM, patience: s.Grace}
	for {
		_, _, more, err := reap(0)
		if err == unix.ECHILD {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		now := loop.Now()
		sig, over := end.expire(now)
		if over {
			if err := survivors(); err != nil {
				return fmt.Errorf("%s: %w", doing, err)
			}
			return nil
		}
		if end.phase == running {
			s.forget()
			sig = end.request(now)
		}
		signalAll(sig)
		limit := end.wait(now)
		if limit < 0 || limit > tick {
			limit = tick
		}
		if more {
			limit = 0
		}
		ready := s.Signals != nil && s.Signals.Pending()
		if !ready {
			if ready, err = signals.Step(fd, limit); err != nil {
				return fmt.Errorf("%s: %w", doing, err)
			}
		}
		switch {
		case ready:
			sig, err := s.Signals.Next()
			if err != nil {
				return fmt.Errorf("%s: %w", doing, err)
			}
			if sig == unix.SIGTERM || sig == unix.SIGINT || sig == unix.SIGPWR {
				signalAll(end.request(loop.Now()))
			}
		case end.phase == killed && !more:
			signalAll(unix.SIGKILL)
		}
	}
}

// forget drops the signals that have come before: they were for the workload.
func (s StopOthers) forget() {
	if s.Signals == nil {
		return
	}
	var signals loop.Loop
	for range 1 << 16 { // as many as a pipe has place for
		if ready, err := signals.Step(s.Signals.FD(), 0); !s.Signals.Pending() && (err != nil || !ready) {
			return
		}
		if _, err := s.Signals.Next(); err != nil {
			return
		}
	}
}

// signalAll sends a signal, if any, to all processes of the namespace but this one.
func signalAll(sig syscall.Signal) {
	if sig == 0 {
		return
	}
	_ = unix.Kill(-1, sig) // there may be none
	if sig != unix.SIGKILL {
		_ = unix.Kill(-1, unix.SIGCONT)
	}
}

// survivors returns an error that names the processes that are left: how many, and some of them.
func survivors() error {
	pids, err := sysfile.Names("/proc")
	if err != nil {
		return fmt.Errorf("some left: %w", err)
	}
	const named = 5
	count, names := 0, ""
	for _, pid := range pids {
		if pid == "1" || pid[0] < '1' || pid[0] > '9' {
			continue
		}
		stat, err := sysfile.Read("/proc/"+pid+"/stat", 4096)
		if err != nil {
			continue // gone meanwhile
		}
		name, ok := survivor(stat)
		if !ok {
			continue
		}
		if count++; count <= named {
			names += ", " + pid + " " + name
		}
	}
	if count == 0 {
		return errors.New("some left")
	}
	if count > named {
		names += ", ..."
	}
	return errors.New(strconv.Itoa(count) + " left (" + names[2:] + ")")
}

// survivor returns the name of a process by its /proc/PID/stat, unless it is dead or a thread of the kernel: see
// proc_pid_stat(5).
func survivor(stat []byte) (name string, ok bool) {
	const kernelThread = 0x00200000 // PF_KTHREAD of linux/sched.h
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return "", false
	}
	fields := strings.Fields(string(stat[end+1:])) // from the third on: state, ppid, pgrp, session, tty, tpgid, flags
	if len(fields) < 7 || fields[0] == "Z" || fields[0] == "X" {
		return "", false
	}
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	return string(stat[open+1 : end]), err == nil && flags&kernelThread == 0
}

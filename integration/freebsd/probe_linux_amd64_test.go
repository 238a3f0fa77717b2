package freebsd

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// probeVariable makes this test program the workload of a guest: probe with its value.
const probeVariable = "PROBE"

// state is what a workload sees of itself.
type state struct {
	PID, UID, GID int
	Groups        []int
	Args, Env     []string
	Dir           string
	Umask         int
	Limits        map[string][2]uint64 // soft and hard, by name without RLIMIT_
	Open          []int                // descriptors
	LeadsSession  bool
	Foreground    bool // standard input is the controlling terminal, and in the foreground
}

// probe is the workload. It returns its exit code.
func probe(what string) int {
	switch what {
	case "state": // prints its state
		if err := json.NewEncoder(os.Stdout).Encode(ownState()); err != nil {
			return 1
		}
	case "family": // leaves an orphan to init, then asks init to stop
		return probeFamily()
	case "parent": // starts a process, prints its ID, and ends before it
		cmd := probeCommand("orphan")
		if err := cmd.Start(); err != nil {
			return 1
		}
		fmt.Println(cmd.Process.Pid)
		return 0
	}
	return 3
}

func probeFamily() int {
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, unix.SIGTERM)
	var orphan int
	out, err := probeCommand("parent").Output()
	if _, scanErr := fmt.Sscan(string(out), &orphan); err != nil || scanErr != nil {
		fmt.Println(err, scanErr)
		return 1
	}
	for unix.Kill(orphan, 0) == nil { // until init reaps it, or the test times out
		time.Sleep(time.Millisecond)
	}
	fmt.Println("orphan reaped")
	_ = unix.Kill(1, unix.SIGTERM)
	fmt.Println(<-terminate)
	return 3
}

func probeCommand(what string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = []string{probeVariable + "=" + what}
	return cmd
}

func ownState() state {
	s := state{
		PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid(), Args: os.Args, Env: os.Environ(),
		Umask: unix.Umask(0), Limits: map[string][2]uint64{},
	}
	s.Groups, _ = os.Getgroups()
	slices.Sort(s.Groups)
	slices.Reverse(s.Groups)
	s.Dir, _ = os.Getwd()
	for name, resource := range map[string]int{
		"NOFILE": unix.RLIMIT_NOFILE, "STACK": unix.RLIMIT_STACK, "CORE": unix.RLIMIT_CORE,
	} {
		var l unix.Rlimit
		_ = unix.Prlimit(0, resource, nil, &l)
		s.Limits[name] = [2]uint64{l.Cur, l.Max}
	}
	for fd := range 64 {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			s.Open = append(s.Open, fd)
		}
	}
	session, _ := unix.Getsid(0)
	s.LeadsSession = session == s.PID
	group, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	s.Foreground = err == nil && group == unix.Getpgrp()
	return s
}

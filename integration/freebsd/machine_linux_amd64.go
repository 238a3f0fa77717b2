// Package freebsd runs programs for FreeBSD on Linux, in tests. It traces them with ptrace(2), and
// translates their system calls to those of Linux or carries them out itself. It knows the calls
// that Go and krunbox's init need, and refuses the others, so that nothing reaches the kernel of
// this machine by mistake.
//
// A test with it shows that a program makes the system calls that its author expects of a program
// for FreeBSD. Only FreeBSD can show whether they do what the author wants.
package freebsd

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Machine is what programs see of their kernel, except files, processes and memory.
type Machine struct {
	// Kenv is the kernel environment, kenv(2).
	Kenv map[string]string
	// Mount is called for nmount(2), with the parameters by name, and Unmount for unmount(2).
	Mount   func(parameters map[string]string) error
	Unmount func(path string) error
	// Calls has the other calls that change the state of the kernel, such as "revoke /dev/console",
	// in the order in which the programs made them.
	Calls []string

	threads   map[int]*thread  // by thread ID
	processes map[int]*process // by process ID
}

type process struct {
	pid      int
	starts   map[uint64]start // how new threads start, by their stack pointer
	handlers map[int]uint64   // addresses of signal handlers, by FreeBSD's signal number
}

type start struct{ function, argument uint64 }

type thread struct {
	tid     int
	process *process
	inCall  bool
	args    [6]uint64                // of the call; FreeBSD leaves them in their registers
	finish  func(result int64) int64 // if not nil, converts the result of the call

	stack       uint64           // end of the alternate signal stack; 0 if there is none
	interrupted *unix.PtraceRegs // registers from before the signal handler; nil if none runs
	vectors     []byte           // floating point and vector registers from before the handler
	pending     []unix.Signal    // signals that came while a handler ran
}

func newProcess(pid int) *process {
	return &process{pid: pid, starts: map[uint64]start{}, handlers: map[int]uint64{}}
}

// Run starts a program as os.StartProcess does, and returns its status when it ends, or when it
// calls reboot(2), which kills it and is then the last of Calls. It kills the program and returns
// an error if the program makes an unknown system call.
func (m *Machine) Run(program string, argv []string, attr *os.ProcAttr) (unix.WaitStatus, error) {
	runtime.LockOSThread() // ptrace(2) knows one tracing thread
	defer runtime.UnlockOSThread()
	traced := *attr
	traced.Sys = &syscall.SysProcAttr{}
	if attr.Sys != nil {
		*traced.Sys = *attr.Sys
	}
	traced.Sys.Ptrace = true
	first, err := os.StartProcess(program, argv, &traced)
	if err != nil {
		return 0, err
	}
	m.threads, m.processes = map[int]*thread{}, map[int]*process{}
	status, err := m.trace(first.Pid)
	if err != nil {
		_ = unix.Kill(first.Pid, unix.SIGKILL)
		waitFor(first.Pid)
	}
	if errors.Is(err, errRebooted) {
		err = nil
	}
	return status, err
}

var errRebooted = errors.New("rebooted")

// waitFor waits for all threads of a process that was killed. The first thread ends last.
func waitFor(pid int) {
	for {
		id, err := unix.Wait4(-1, nil, unix.WALL, nil)
		if id == pid || err != nil && err != unix.EINTR {
			return
		}
	}
}

func (m *Machine) trace(first int) (unix.WaitStatus, error) {
	var status unix.WaitStatus
	if _, err := unix.Wait4(first, &status, 0, nil); err != nil {
		return 0, err
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE |
		unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(first, options); err != nil {
		return 0, err
	}
	p := newProcess(first)
	m.processes[first] = p
	m.threads[first] = &thread{tid: first, process: p}
	if err := m.executed(m.threads[first]); err != nil {
		return 0, err
	}
	for {
		tid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case status.Exited() || status.Signaled():
			delete(m.threads, tid)
			delete(m.processes, tid)
			if tid == first {
				return status, nil
			}
		case status.Stopped():
			err := m.stopped(tid, status)
			// A thread that another thread's exec has killed is gone; Wait4 reports that later.
			isGone := errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrNotExist)
			if err != nil && !isGone {
				return 0, err
			}
		}
	}
}

// stopped handles one stop of a thread.
func (m *Machine) stopped(tid int, status unix.WaitStatus) error {
	t := m.threads[tid]
	switch {
	case t == nil:
		return m.appeared(tid)
	case status.StopSignal() == unix.SIGTRAP|0x80: // PTRACE_O_TRACESYSGOOD
		return m.atCall(t)
	case status.StopSignal() == unix.SIGTRAP && status.TrapCause() == unix.PTRACE_EVENT_EXEC:
		for id, other := range m.threads {
			if other.process == t.process && other != t {
				delete(m.threads, id)
			}
		}
		return m.executed(t)
	case status.StopSignal() == unix.SIGTRAP && status.TrapCause() > 0:
		return resume(tid) // a new thread or process stops by itself
	}
	switch sig := status.StopSignal(); sig {
	case unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP:
		regs, err := getRegs(tid)
		if err != nil {
			return err
		}
		if regs.Rip != handlerReturn || t.interrupted == nil {
			return fmt.Errorf("the program got %v at %#x", sig, regs.Rip)
		}
		if err := t.endHandler(); err != nil {
			return err
		}
	default:
		if err := t.signal(sig); err != nil {
			return err
		}
	}
	return resume(tid)
}

// appeared handles the first stop of a new thread. It belongs to a known process, or is the first
// thread of a process that a fork made.
func (m *Machine) appeared(tid int) error {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(text), "\nTgid:\t")
	id, _, _ := strings.Cut(rest, "\n")
	pid, err := strconv.Atoi(id)
	if err != nil {
		return fmt.Errorf("thread %d: no process ID in %q", tid, text)
	}
	regs, err := getRegs(tid)
	if err != nil {
		return err
	}
	p := m.processes[pid]
	if p == nil {
		p = newProcess(pid)
		m.processes[pid] = p
		regs.Eflags &^= carry
		regs.Rdx = 1 // FreeBSD tells the child of fork(2) this way
	} else {
		begin, ok := p.starts[regs.Rsp]
		if !ok {
			return fmt.Errorf("a thread with the unknown stack %#x", regs.Rsp)
		}
		regs.Rip, regs.Rdi, regs.Rsp = begin.function, begin.argument, regs.Rsp-8
	}
	m.threads[tid] = &thread{tid: tid, process: p}
	if err := unix.PtraceSetRegs(tid, &regs); err != nil {
		return err
	}
	return resume(tid)
}

// executed handles a thread that executes another program. It stops tracing a program for Linux.
func (m *Machine) executed(t *thread) error {
	f, err := elf.Open("/proc/" + strconv.Itoa(t.tid) + "/exe")
	if err != nil {
		return err
	}
	defer f.Close()
	if f.OSABI != elf.ELFOSABI_FREEBSD {
		delete(m.threads, t.tid)
		delete(m.processes, t.process.pid)
		return unix.PtraceDetach(t.tid)
	}
	regs, err := getRegs(t.tid)
	if err != nil {
		return err
	}
	clear(t.process.handlers)
	t.stack, t.interrupted = 0, nil
	regs.Rdi = regs.Rsp // argc, argv
	t.args = [6]uint64{regs.Rdi}
	if err := unix.PtraceSetRegs(t.tid, &regs); err != nil {
		return err
	}
	return resume(t.tid)
}

// atCall handles a thread at the beginning or the end of a system call.
func (m *Machine) atCall(t *thread) error {
	regs, err := getRegs(t.tid)
	if err != nil {
		return err
	}
	if t.inCall {
		endCall(t, &regs)
	} else {
		t.args = [6]uint64{regs.Rdi, regs.Rsi, regs.Rdx, regs.R10, regs.R8, regs.R9}
		c := call{m: m, t: t, number: regs.Orig_rax, regs: &regs, arg: t.args}
		if err := c.translate(); err != nil {
			return err
		}
	}
	t.inCall = !t.inCall
	if err := unix.PtraceSetRegs(t.tid, &regs); err != nil {
		return err
	}
	return resume(t.tid)
}

// endCall converts the registers at the end of a system call from Linux's conventions to FreeBSD's.
func endCall(t *thread, regs *unix.PtraceRegs) {
	result := int64(regs.Rax)
	if t.finish != nil {
		result = t.finish(result)
		t.finish = nil
	}
	setArgs(regs, t.args)
	regs.Eflags &^= carry
	if result < 0 && result > -4096 {
		result = int64(errnoFromLinux(unix.Errno(-result)))
		regs.Eflags |= carry
	}
	regs.Rax = uint64(result)
}

// carry is the bit of Eflags with which FreeBSD says that a call failed.
const carry = 1

// noCall is not the number of a system call: the kernel does nothing.
const noCall = ^uint64(0)

func resume(tid int) error { return unix.PtraceSyscall(tid, 0) }

func getRegs(tid int) (regs unix.PtraceRegs, err error) {
	err = unix.PtraceGetRegs(tid, &regs)
	return regs, err
}

// setArgs sets the registers that hold the arguments of a system call.
func setArgs(regs *unix.PtraceRegs, args [6]uint64) {
	regs.Rdi, regs.Rsi, regs.Rdx = args[0], args[1], args[2]
	regs.R10, regs.R8, regs.R9 = args[3], args[4], args[5]
}

// put stores value in b, little-endian.
func put(b []byte, offset int, value uint64) {
	binary.LittleEndian.PutUint64(b[offset:], value)
}

func get(b []byte, offset int) uint64 { return binary.LittleEndian.Uint64(b[offset:]) }

func poke(tid int, address uint64, data []byte) error {
	_, err := unix.PtracePokeData(tid, uintptr(address), data)
	return err
}

func peek(tid int, address uint64, size int) ([]byte, error) {
	data := make([]byte, size)
	_, err := unix.PtracePeekData(tid, uintptr(address), data)
	return data, err
}

// Package freebsd runs programs for FreeBSD on Linux, in tests: by ptrace(2), their system calls become those of Linux, or
// are carried out here. It knows what programs of Go and krunbox's init need, and refuses the rest, so that nothing reaches
// this machine's kernel by mistake.
//
// It shows that a program asks its kernel for what its author thinks FreeBSD wants. Whether FreeBSD wants that, only FreeBSD
// can show.
package freebsd

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Machine is what the programs see of their kernel, beyond files, processes and memory.
type Machine struct {
	// Kenv is the kernel environment, kenv(2).
	Kenv map[string]string
	// Mount is called for nmount(2), with names and values of the parameters, and Unmount for unmount(2).
	Mount   func(parameters map[string]string) error
	Unmount func(path string) error
	// Calls are the other calls for the kernel's own state that were made, in order, such as "revoke /dev/console".
	Calls []string

	threads   map[int]*thread  // traced, by thread ID
	processes map[int]*process // traced, by process ID
}

type process struct {
	pid    int
	starts map[uint64]start // of threads, by their stack pointer

	handlers map[int]uint64 // addresses of the handlers of signals, by FreeBSD's numbers
}

type start struct{ function, argument uint64 }

type thread struct {
	tid     int
	process *process
	inCall  bool
	args    [6]uint64                // of the call, which FreeBSD leaves in their registers
	finish  func(result int64) int64 // corrects the result of the call

	stack       uint64           // end of the alternate signal stack; 0: none
	interrupted *unix.PtraceRegs // the registers from before a signal handler; nil: none runs
	vectors     []byte           // and the others (XSAVE)
	pending     []unix.Signal    // signals that came while a handler runs
}

// Run starts a program as os.StartProcess does, and returns its status when it has ended, or when it called reboot(2), which
// kills it; Calls then ends with that. A call that is not known ends it with an error.
func (m *Machine) Run(program string, argv []string, attr *os.ProcAttr) (unix.WaitStatus, error) {
	runtime.LockOSThread() // one thread traces
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
		for { // its threads are waited for one by one, and it last
			if id, waitErr := unix.Wait4(-1, nil, unix.WALL, nil); id == first.Pid || waitErr != nil && waitErr != unix.EINTR {
				break
			}
		}
	}
	if errors.Is(err, errRebooted) {
		err = nil
	}
	return status, err
}

var errRebooted = errors.New("rebooted")

func (m *Machine) trace(first int) (unix.WaitStatus, error) {
	var status unix.WaitStatus
	if _, err := unix.Wait4(first, &status, 0, nil); err != nil {
		return 0, err
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEEXEC |
		unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(first, options); err != nil {
		return 0, err
	}
	p := &process{pid: first, starts: map[uint64]start{}}
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
			// One that an exec of another thread has killed meanwhile is soon told of again.
			if err := m.stopped(tid, status); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, os.ErrNotExist) {
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
	case status.StopSignal() == unix.SIGTRAP|0x80:
		return m.atCall(t)
	case status.StopSignal() == unix.SIGTRAP && status.TrapCause() == unix.PTRACE_EVENT_EXEC:
		for id, other := range m.threads {
			if other.process == t.process && other != t {
				delete(m.threads, id)
			}
		}
		return m.executed(t)
	case status.StopSignal() == unix.SIGTRAP && status.TrapCause() > 0:
		return resume(tid) // the thread or process that it tells of appears by itself
	}
	switch sig := status.StopSignal(); sig {
	case unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP:
		var regs unix.PtraceRegs
		if err := unix.PtraceGetRegs(tid, &regs); err != nil {
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

// appeared handles the first stop of a thread: one of a known process, or the first one of a fork.
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
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	p := m.processes[pid]
	if p == nil {
		p = &process{pid: pid, starts: map[uint64]start{}}
		m.processes[pid] = p
		regs.Eflags &^= carry
		regs.Rdx = 1
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

// executed handles a thread that executes another program: one for Linux is let go.
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
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(t.tid, &regs); err != nil {
		return err
	}
	t.process.handlers, t.stack, t.interrupted = nil, 0, nil
	regs.Rdi = regs.Rsp // argc, argv
	t.args = [6]uint64{regs.Rdi}
	if err := unix.PtraceSetRegs(t.tid, &regs); err != nil {
		return err
	}
	return resume(t.tid)
}

// carry is the flag that says that a call has failed.
const carry = 1

// atCall handles the beginning and the end of a system call.
func (m *Machine) atCall(t *thread) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(t.tid, &regs); err != nil {
		return err
	}
	if t.inCall {
		t.inCall = false
		result := int64(regs.Rax)
		if t.finish != nil {
			result = t.finish(result)
			t.finish = nil
		}
		regs.Rdi, regs.Rsi, regs.Rdx, regs.R10, regs.R8, regs.R9 = t.args[0], t.args[1], t.args[2], t.args[3], t.args[4], t.args[5]
		regs.Eflags &^= carry
		if result < 0 && result > -4096 {
			result = int64(errnoFromLinux(unix.Errno(-result)))
			regs.Eflags |= carry
		}
		regs.Rax = uint64(result)
		if err := unix.PtraceSetRegs(t.tid, &regs); err != nil {
			return err
		}
		return resume(t.tid)
	}
	t.inCall = true
	t.args = [6]uint64{regs.Rdi, regs.Rsi, regs.Rdx, regs.R10, regs.R8, regs.R9}
	c := call{m: m, t: t, number: regs.Orig_rax, regs: &regs, arg: t.args}
	if err := c.translate(); err != nil {
		return err
	}
	if err := unix.PtraceSetRegs(t.tid, &regs); err != nil {
		return err
	}
	return resume(t.tid)
}

// handlerReturn is the return address of signal handlers. Nothing is mapped there.
const handlerReturn = 0

// signal makes a thread run the program's handler of a signal, if there is one, on the alternate
// signal stack. A thread that has none yet leaves the signal to the first thread of the process.
func (t *thread) signal(sig unix.Signal) error {
	number := signalFromLinux(int(sig))
	handler := t.process.handlers[number]
	switch {
	case handler <= 1: // SIG_DFL, SIG_IGN
		return nil
	case t.stack == 0:
		return unix.Tgkill(t.process.pid, t.process.pid, sig)
	case t.interrupted != nil:
		t.pending = append(t.pending, sig)
		return nil
	}
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(t.tid, &regs); err != nil {
		return err
	}
	regs.Orig_rax = noCall // what was interrupted is not restarted
	saved := regs
	t.interrupted, t.vectors = &saved, make([]byte, 1<<14)
	if err := t.vectorRegisters(unix.PTRACE_GETREGSET); err != nil {
		return err
	}
	// The frame: the return address, a siginfo_t, and a ucontext_t of zeros.
	const infoSize, frameSize = 80, 2048
	frame := make([]byte, frameSize)
	put(frame, 8, uint64(number)) // si_signo
	put(frame, 8+8, 0x10001)      // si_code: SI_USER
	regs.Rsp = (t.stack-frameSize)&^15 - 8
	regs.Rip, regs.Rdi, regs.Rsi, regs.Rdx = handler, uint64(number), regs.Rsp+8, regs.Rsp+8+infoSize
	put(frame, 0, handlerReturn)
	return errors.Join(poke(t.tid, regs.Rsp, frame), unix.PtraceSetRegs(t.tid, &regs))
}

// vectorRegisters copies the floating point and vector registers to or from t.vectors.
func (t *thread) vectorRegisters(request uintptr) error {
	const xstate = 0x202 // NT_X86_XSTATE
	buffer := unix.Iovec{Base: &t.vectors[0], Len: uint64(len(t.vectors))}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, request, uintptr(t.tid), xstate,
		uintptr(unsafe.Pointer(&buffer)), 0, 0)
	if errno != 0 {
		return errno
	}
	t.vectors = t.vectors[:buffer.Len]
	return nil
}

// endHandler continues what a signal handler has interrupted, or runs the next handler.
func (t *thread) endHandler() error {
	regs := t.interrupted
	t.interrupted = nil
	err := errors.Join(t.vectorRegisters(unix.PTRACE_SETREGSET), unix.PtraceSetRegs(t.tid, regs))
	if err != nil || len(t.pending) == 0 {
		return err
	}
	next := t.pending[0]
	t.pending = t.pending[1:]
	return t.signal(next)
}

// noCall is the number of no system call: the kernel does nothing.
const noCall = ^uint64(0)

func resume(tid int) error { return unix.PtraceSyscall(tid, 0) }

func put(b []byte, offset int, value uint64) {
	for i := range 8 {
		b[offset+i] = byte(value >> (8 * i))
	}
}

func get(b []byte, offset int) (value uint64) {
	for i := range 8 {
		value |= uint64(b[offset+i]) << (8 * i)
	}
	return value
}

func poke(tid int, address uint64, data []byte) error {
	_, err := unix.PtracePokeData(tid, uintptr(address), data)
	return err
}

func peek(tid int, address uint64, size int) ([]byte, error) {
	data := make([]byte, size)
	_, err := unix.PtracePeekData(tid, uintptr(address), data)
	return data, err
}

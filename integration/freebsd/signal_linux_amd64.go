package freebsd

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// signals has the signals whose numbers differ: FreeBSD's number, then Linux's.
var signals = [][2]int{
	{10, 7}, {30, 10}, {31, 12}, {16, 23}, {17, 19}, {18, 20}, {19, 18}, {20, 17}, {23, 29}, {12, 31},
}

func signalFromLinux(sig int) int { return mapSignal(sig, 1, 0) }
func signalToLinux(sig int) int   { return mapSignal(sig, 0, 1) }

// mapSignal converts a signal from one column of signals to another.
func mapSignal(sig, from, to int) int {
	for _, s := range signals {
		if s[from] == sig {
			return s[to]
		}
	}
	return sig
}

func (c *call) kill() error {
	c.arg[1] = uint64(signalToLinux(int(c.arg[1])))
	return c.linux(unix.SYS_KILL)
}

func (c *call) sigaltstack() error {
	if c.arg[0] != 0 {
		b, err := c.load(c.arg[0], 24) // stack_t: address, size, flags
		if err != nil {
			return err
		}
		const disable = 4 // SS_DISABLE
		if c.t.stack = 0; b[16]&disable == 0 {
			c.t.stack = get(b, 0) + get(b, 8)
		}
	}
	return c.done(0)
}

func (c *call) sigaction() error {
	const size = 32 // of struct sigaction, which begins with the handler
	p, sig := c.t.process, int(c.arg[0])
	old := p.handlers[sig]
	if c.arg[1] != 0 {
		b, err := c.load(c.arg[1], size)
		if err != nil {
			return err
		}
		p.handlers[sig] = get(b, 0)
	}
	if c.arg[2] != 0 {
		b := make([]byte, size)
		put(b, 0, old)
		return c.store(c.arg[2], b)
	}
	return c.done(0)
}

// handlerReturn is the return address of signal handlers. Nothing is mapped there.
const handlerReturn = 0

// signal makes a thread run the program's handler of a signal, if there is one, on the alternate
// signal stack. A thread that does not have that stack yet leaves the signal to the first thread of
// the process.
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
	regs, err := getRegs(t.tid)
	if err != nil {
		return err
	}
	regs.Orig_rax = noCall // does not restart a call that the signal interrupted
	saved := regs
	t.interrupted, t.vectors = &saved, make([]byte, 1<<14)
	if err := t.vectorRegisters(unix.PTRACE_GETREGSET); err != nil {
		return err
	}
	// The frame has the return address, a siginfo_t, and a ucontext_t of zeros.
	const infoSize, frameSize = 80, 2048
	frame := make([]byte, frameSize)
	put(frame, 0, handlerReturn)
	put(frame, 8, uint64(number)) // si_signo
	put(frame, 8+8, 0x10001)      // si_code: SI_USER
	regs.Rsp = (t.stack-frameSize)&^15 - 8
	regs.Rip = handler
	regs.Rdi, regs.Rsi, regs.Rdx = uint64(number), regs.Rsp+8, regs.Rsp+8+infoSize
	return errors.Join(poke(t.tid, regs.Rsp, frame), unix.PtraceSetRegs(t.tid, &regs))
}

// endHandler continues what a signal handler interrupted, or runs the next handler.
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

// vectorRegisters copies the floating point and vector registers to or from t.vectors, ptrace(2).
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

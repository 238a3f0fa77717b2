package freebsd

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// call is a system call of FreeBSD that a thread is about to make.
type call struct {
	m      *Machine
	t      *thread
	number uint64
	arg    [6]uint64
	regs   *unix.PtraceRegs // what translate stores there is what Linux sees
}

// sameCalls maps numbers of FreeBSD's system calls to those of Linux, for calls that have the same
// meaning and the same arguments.
var sameCalls = map[uint64]uint64{
	1:   unix.SYS_EXIT_GROUP,
	2:   unix.SYS_FORK,
	3:   unix.SYS_READ,
	4:   unix.SYS_WRITE,
	6:   unix.SYS_CLOSE,
	7:   unix.SYS_WAIT4,
	12:  unix.SYS_CHDIR,
	20:  unix.SYS_GETPID,
	33:  unix.SYS_ACCESS,
	59:  unix.SYS_EXECVE,
	60:  unix.SYS_UMASK,
	73:  unix.SYS_MUNMAP,
	74:  unix.SYS_MPROTECT,
	80:  unix.SYS_SETGROUPS,
	90:  unix.SYS_DUP2,
	136: unix.SYS_MKDIR,
	147: unix.SYS_SETSID,
	209: unix.SYS_POLL,
	240: unix.SYS_NANOSLEEP,
	311: unix.SYS_SETRESUID,
	312: unix.SYS_SETRESGID,
	331: unix.SYS_SCHED_YIELD,
	431: unix.SYS_EXIT,
}

// calls maps numbers of FreeBSD's other system calls to functions that translate them or carry them
// out.
var calls = map[uint64]func(*call) error{
	5:   (*call).open,
	22:  (*call).unmount,
	36:  (*call).sync,
	37:  (*call).kill,
	50:  func(c *call) error { return c.record("setlogin") },
	53:  (*call).sigaltstack,
	54:  (*call).ioctl,
	55:  (*call).reboot,
	56:  func(c *call) error { return c.record("revoke") },
	75:  (*call).ignore, // madvise
	92:  (*call).fcntl,
	97:  (*call).socket,
	165: (*call).sysarch,
	194: (*call).getrlimit,
	195: (*call).setrlimit,
	202: (*call).sysctl,
	232: (*call).clockGettime,
	253: (*call).ignore, // issetugid
	340: (*call).ignore, // sigprocmask
	378: (*call).nmount,
	390: (*call).kenv,
	416: (*call).sigaction,
	432: (*call).thrSelf,
	433: (*call).ignore, // thr_kill
	454: (*call).umtx,
	455: (*call).thrNew,
	477: (*call).mmap,
	487: (*call).cpusetGetaffinity,
	499: (*call).openat,
	542: (*call).pipe2,
	551: (*call).fstat,
	552: (*call).fstatat,
}

// translate makes Linux carry out the call, or carries it out itself. It returns an error for a
// call that it does not know.
func (c *call) translate() error {
	if number, ok := sameCalls[c.number]; ok {
		return c.linux(number)
	}
	if handle, ok := calls[c.number]; ok {
		return handle(c)
	}
	return fmt.Errorf("unknown system call %d of FreeBSD", c.number)
}

// linux makes Linux carry out a call with the arguments c.arg.
func (c *call) linux(number uint64) error {
	c.regs.Orig_rax = number
	setArgs(c.regs, c.arg)
	return nil
}

// done ends the call with a result, without Linux.
func (c *call) done(result int64) error {
	c.regs.Orig_rax = noCall
	c.t.finish = func(int64) int64 { return result }
	return nil
}

// fail ends the call with an error, without Linux.
func (c *call) fail(errno unix.Errno) error { return c.done(-int64(errno)) }

// ignore ends the call with success and without an effect.
func (c *call) ignore() error { return c.done(0) }

// result ends the call with the error that a function for this machine returned.
func (c *call) result(err error) error {
	var errno unix.Errno
	switch {
	case err == nil:
		return c.done(0)
	case errors.As(err, &errno):
		return c.fail(errno)
	case errors.Is(err, os.ErrNotExist):
		return c.fail(unix.ENOENT)
	}
	return err
}

// store writes data to the memory of the program and ends the call with success.
func (c *call) store(address uint64, data []byte) error {
	return errors.Join(poke(c.t.tid, address, data), c.done(0))
}

// load reads memory of the program.
func (c *call) load(address uint64, size int) ([]byte, error) {
	return peek(c.t.tid, address, size)
}

// loadString reads a string of the program.
func (c *call) loadString(address uint64) (string, error) {
	var text []byte
	for len(text) < 4096 {
		b, err := c.load(address+uint64(len(text)), 1)
		if err != nil {
			return "", err
		}
		if b[0] == 0 {
			return string(text), nil
		}
		text = append(text, b[0])
	}
	return "", unix.ENAMETOOLONG
}

// record appends the call, whose only argument is a string, to Calls.
func (c *call) record(name string) error {
	text, err := c.loadString(c.arg[0])
	if err != nil {
		return err
	}
	c.m.Calls = append(c.m.Calls, name+" "+text)
	return c.done(0)
}

func (c *call) sync() error {
	c.m.Calls = append(c.m.Calls, "sync")
	return c.done(0)
}

func (c *call) reboot() error {
	c.m.Calls = append(c.m.Calls, "reboot "+strconv.FormatUint(c.arg[0], 10))
	return errRebooted
}

package freebsd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// call is a system call at its beginning: what translate leaves in regs is what Linux will see.
type call struct {
	m      *Machine
	t      *thread
	number uint64
	arg    [6]uint64
	regs   *unix.PtraceRegs
}

// same are the calls that mean the same on Linux, with the same arguments, by their number on FreeBSD.
var same = map[uint64]uint64{
	1: unix.SYS_EXIT_GROUP, 2: unix.SYS_FORK, 3: unix.SYS_READ, 4: unix.SYS_WRITE, 6: unix.SYS_CLOSE, 7: unix.SYS_WAIT4,
	12: unix.SYS_CHDIR, 20: unix.SYS_GETPID, 33: unix.SYS_ACCESS, 59: unix.SYS_EXECVE, 60: unix.SYS_UMASK,
	73: unix.SYS_MUNMAP, 80: unix.SYS_SETGROUPS, 90: unix.SYS_DUP2, 136: unix.SYS_MKDIR, 147: unix.SYS_SETSID,
	209: unix.SYS_POLL, 240: unix.SYS_NANOSLEEP, 311: unix.SYS_SETRESUID, 312: unix.SYS_SETRESGID,
	331: unix.SYS_SCHED_YIELD, 431: unix.SYS_EXIT,
}

// openFlags are the flags of open(2) that differ, FreeBSD's and Linux's.
var openFlags = [][2]uint64{
	{0x4, unix.O_NONBLOCK}, {0x8, unix.O_APPEND}, {0x200, unix.O_CREAT}, {0x400, unix.O_TRUNC}, {0x800, unix.O_EXCL},
	{0x8000, unix.O_NOCTTY}, {0x20000, unix.O_DIRECTORY}, {0x100000, unix.O_CLOEXEC},
}

func mapFlags(flags uint64, from, to int) uint64 {
	mapped := flags
	for _, f := range openFlags {
		mapped &^= f[from]
	}
	for _, f := range openFlags {
		if flags&f[from] != 0 {
			mapped |= f[to]
		}
	}
	return mapped
}

func (c *call) translate() error {
	if number, ok := same[c.number]; ok {
		return c.linux(number)
	}
	switch c.number {
	case 5: // open
		c.arg[1] = mapFlags(c.arg[1], 0, 1)
		return c.linux(unix.SYS_OPEN)
	case 499: // openat; only AT_FDCWD, which is the same
		c.arg[2] = mapFlags(c.arg[2], 0, 1)
		return c.linux(unix.SYS_OPENAT)
	case 542: // pipe2
		c.arg[1] = mapFlags(c.arg[1], 0, 1)
		return c.linux(unix.SYS_PIPE2)
	case 92: // fcntl
		switch c.arg[1] {
		case 3: // F_GETFL
			c.t.finish = func(result int64) int64 {
				if result < 0 {
					return result
				}
				return int64(mapFlags(uint64(result), 1, 0))
			}
		case 4: // F_SETFL
			c.arg[2] = mapFlags(c.arg[2], 0, 1)
		}
		return c.linux(unix.SYS_FCNTL)
	case 97: // socket; SOCK_CLOEXEC
		c.arg[1] = c.arg[1]&^0x10000000 | unix.SOCK_CLOEXEC
		return c.linux(unix.SYS_SOCKET)
	case 37: // kill
		c.arg[1] = uint64(signalToLinux(int(c.arg[1])))
		return c.linux(unix.SYS_KILL)
	case 54:
		return c.ioctl()
	case 74: // mprotect
		return c.linux(unix.SYS_MPROTECT)
	case 75: // madvise: mere advice
		return c.done(0)
	case 477: // mmap; MAP_ANON
		c.arg[3] = c.arg[3]&^0x1000 | c.arg[3]&0x1000>>7
		return c.linux(unix.SYS_MMAP)
	case 194, 195: // getrlimit, setrlimit
		return c.rlimit()
	case 232: // clock_gettime: CLOCK_MONOTONIC is 4
		if c.arg[0] == 4 {
			c.arg[0] = unix.CLOCK_MONOTONIC
		}
		return c.linux(unix.SYS_CLOCK_GETTIME)
	case 551: // fstat
		return c.stat(fmt.Sprintf("/proc/%d/fd/%d", c.t.tid, c.arg[0]), 0, c.arg[1])
	case 552: // fstatat; only AT_FDCWD
		path, err := c.text(c.arg[1])
		if err != nil {
			return err
		}
		from, flags := "root", 0
		if !strings.HasPrefix(path, "/") {
			from = "cwd"
		}
		if c.arg[3]&0x200 != 0 {
			flags = unix.AT_SYMLINK_NOFOLLOW
		}
		return c.stat(fmt.Sprintf("/proc/%d/%s/%s", c.t.tid, from, path), flags, c.arg[2])
	case 165: // sysarch: AMD64_SET_FSBASE
		base, err := peek(c.t.tid, c.arg[1], 8)
		if c.arg[0] != 129 || err != nil {
			return fmt.Errorf("sysarch %d: %w", c.arg[0], err)
		}
		c.regs.Fs_base = get(base, 0)
		return c.done(0)
	case 455:
		return c.newThread()
	case 454: // _umtx_op
		return c.futex()
	case 432: // thr_self
		var id [8]byte
		put(id[:], 0, uint64(c.t.tid))
		return errors.Join(poke(c.t.tid, c.arg[0], id[:]), c.done(0))
	case 53:
		return c.sigaltstack()
	case 416:
		return c.sigaction()
	case 253, 340, 433: // issetugid, sigprocmask, thr_kill
		return c.done(0)
	case 487: // cpuset_getaffinity: one processor
		mask := make([]byte, c.arg[3])
		mask[0] = 1
		return errors.Join(poke(c.t.tid, c.arg[4], mask), c.done(0))
	case 202:
		return c.sysctl()
	case 390:
		return c.kenv()
	case 378:
		return c.nmount()
	case 22, 50, 56:
		return c.named(map[uint64]string{22: "unmount", 50: "setlogin", 56: "revoke"}[c.number])
	case 36:
		c.m.Calls = append(c.m.Calls, "sync")
		return c.done(0)
	case 55:
		c.m.Calls = append(c.m.Calls, "reboot "+strconv.FormatUint(c.arg[0], 10))
		return errRebooted
	}
	return fmt.Errorf("system call %d of FreeBSD is not known here", c.number)
}

// linux has Linux carry the call out.
func (c *call) linux(number uint64) error {
	c.regs.Orig_rax = number
	c.regs.Rdi, c.regs.Rsi, c.regs.Rdx, c.regs.R10, c.regs.R8, c.regs.R9 = c.arg[0], c.arg[1], c.arg[2], c.arg[3], c.arg[4], c.arg[5]
	return nil
}

// done ends the call without Linux.
func (c *call) done(result int64) error {
	c.regs.Orig_rax = noCall
	c.t.finish = func(int64) int64 { return result }
	return nil
}

func (c *call) fail(errno unix.Errno) error { return c.done(-int64(errno)) }

// text reads a string of the program.
func (c *call) text(address uint64) (string, error) {
	var text []byte
	for len(text) < 4096 {
		b, err := peek(c.t.tid, address+uint64(len(text)), 1)
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

func (c *call) ioctl() error {
	switch c.arg[1] {
	case 0x20007461: // TIOCSCTTY
		c.arg[1], c.arg[2] = unix.TIOCSCTTY, 0
		return c.linux(unix.SYS_IOCTL)
	}
	// Others are those of interfaces, with a structure whose size is part of the number.
	data, err := peek(c.t.tid, c.arg[2], int(c.arg[1]>>16&0x1fff))
	if err != nil {
		return err
	}
	name, _, _ := bytes.Cut(data[:16], []byte{0})
	c.m.Calls = append(c.m.Calls, fmt.Sprintf("ioctl %#x %s % x", c.arg[1], name, data[16:]))
	return c.done(0)
}

// limits are Linux's numbers of resources, in the place of FreeBSD's.
var limits = []uint64{0, 1, 2, 3, 4, 5, 8, 6, 7}

func (c *call) rlimit() error {
	if c.arg[0] >= uint64(len(limits)) {
		return c.fail(unix.EINVAL)
	}
	number, infinite := uint64(unix.SYS_GETRLIMIT), func(v uint64) uint64 { return min(v, 1<<63-1) }
	address := c.arg[1]
	convert := func() error {
		b, err := peek(c.t.tid, address, 16)
		if err != nil {
			return err
		}
		put(b, 0, infinite(get(b, 0)))
		put(b, 8, infinite(get(b, 8)))
		return poke(c.t.tid, address, b)
	}
	c.arg[0] = limits[c.arg[0]]
	if c.number == 195 {
		number = unix.SYS_SETRLIMIT
		infinite = func(v uint64) uint64 {
			if v == 1<<63-1 {
				return unix.RLIM_INFINITY
			}
			return v
		}
		if err := convert(); err != nil {
			return err
		}
	} else {
		c.t.finish = func(result int64) int64 {
			if convert() != nil {
				return -int64(unix.EFAULT)
			}
			return result
		}
	}
	return c.linux(number)
}

// stat returns what is known of a file, by a path of this machine's.
func (c *call) stat(path string, flags int, address uint64) error {
	var st unix.Stat_t
	if err := unix.Fstatat(unix.AT_FDCWD, path, &st, flags); err != nil {
		return c.result(err)
	}
	var b [224]byte // struct stat
	put(b[:], 0, st.Dev)
	put(b[:], 8, st.Ino)
	put(b[:], 24, uint64(uint16(st.Mode))|uint64(st.Uid)<<32)
	put(b[:], 32, uint64(st.Gid))
	put(b[:], 112, uint64(st.Size))
	return errors.Join(poke(c.t.tid, address, b[:]), c.done(0))
}

func (c *call) newThread() error {
	b, err := peek(c.t.tid, c.arg[0], 48) // struct thr_param
	if err != nil {
		return err
	}
	stack := (get(b, 16) + get(b, 24)) &^ 15
	c.t.process.starts[stack] = start{get(b, 0), get(b, 8)}
	const flags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM
	c.arg = [6]uint64{flags, stack}
	c.t.finish = func(result int64) int64 { return min(result, 0) }
	return c.linux(unix.SYS_CLONE)
}

func (c *call) futex() error {
	const wait, wake = 15, 16                               // UMTX_OP_WAIT_UINT_PRIVATE, UMTX_OP_WAKE_PRIVATE
	const linuxWait, linuxWake, private = 0, 1, uint64(128) // futex(2)
	switch c.arg[1] {
	case wait: // a timeout has the form of Linux's at its beginning
		c.arg = [6]uint64{c.arg[0], linuxWait | private, c.arg[2], c.arg[4]}
	case wake:
		c.arg = [6]uint64{c.arg[0], linuxWake | private, c.arg[2]}
	default:
		return fmt.Errorf("_umtx_op %d is not known here", c.arg[1])
	}
	c.t.finish = func(result int64) int64 {
		if result > 0 || result == -int64(unix.EAGAIN) {
			return 0
		}
		return result
	}
	return c.linux(unix.SYS_FUTEX)
}

func (c *call) sysctl() error {
	mib, err := peek(c.t.tid, c.arg[0], int(4*c.arg[1]))
	if err != nil {
		return err
	}
	var name []int
	for i := 0; i < len(mib); i += 4 {
		name = append(name, int(mib[i])|int(mib[i+1])<<8)
	}
	switch {
	case slices.Equal(name, []int{6, 7}): // hw.pagesize
		return errors.Join(poke(c.t.tid, c.arg[2], []byte{0, 16, 0, 0}), c.done(0))
	case slices.Equal(name, []int{1, 10}) && c.arg[4] != 0: // kern.hostname
		host, err := peek(c.t.tid, c.arg[4], int(c.arg[5]))
		if err != nil {
			return err
		}
		c.m.Calls = append(c.m.Calls, "hostname "+string(host))
		return c.done(0)
	}
	return c.fail(unix.ENOENT)
}

func (c *call) sigaltstack() error {
	if c.arg[0] != 0 {
		b, err := peek(c.t.tid, c.arg[0], 24) // stack_t: address, size, flags
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
		b, err := peek(c.t.tid, c.arg[1], size)
		if err != nil {
			return err
		}
		if p.handlers == nil {
			p.handlers = map[int]uint64{}
		}
		p.handlers[sig] = get(b, 0)
	}
	if c.arg[2] != 0 {
		b := make([]byte, size)
		put(b, 0, old)
		if err := poke(c.t.tid, c.arg[2], b); err != nil {
			return err
		}
	}
	return c.done(0)
}

func (c *call) kenv() error {
	name, err := c.text(c.arg[1])
	if err != nil {
		return err
	}
	value, ok := c.m.Kenv[name]
	if !ok || c.arg[0] != 0 {
		return c.fail(unix.ENOENT)
	}
	b := append([]byte(value), 0)
	b = b[:min(len(b), int(c.arg[3]))]
	return errors.Join(poke(c.t.tid, c.arg[2], b), c.done(int64(len(b))))
}

func (c *call) nmount() error {
	parameters := map[string]string{"flags": strconv.FormatUint(c.arg[2], 10)}
	vector, err := peek(c.t.tid, c.arg[0], int(16*c.arg[1]))
	if err != nil {
		return err
	}
	var items [][]byte
	for ; len(vector) > 0; vector = vector[16:] {
		item, err := peek(c.t.tid, get(vector, 0), int(get(vector, 8)))
		if err != nil {
			return err
		}
		if len(item) == 0 || item[len(item)-1] != 0 {
			return c.fail(unix.EINVAL)
		}
		items = append(items, item[:len(item)-1])
	}
	if len(items)%2 != 0 {
		return c.fail(unix.EINVAL)
	}
	for i := 0; i < len(items); i += 2 {
		parameters[string(items[i])] = string(bytes.TrimRight(items[i+1], "\x00"))
	}
	return c.result(c.m.Mount(parameters))
}

// named is a call whose only argument is a string.
func (c *call) named(name string) error {
	text, err := c.text(c.arg[0])
	if err != nil {
		return err
	}
	if name == "unmount" {
		return c.result(c.m.Unmount(text))
	}
	c.m.Calls = append(c.m.Calls, name+" "+text)
	return c.done(0)
}

// result ends the call with what a function of the Machine returned.
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

// signals are the signals with other numbers, FreeBSD's and Linux's.
var signals = [][2]int{{10, 7}, {30, 10}, {31, 12}, {16, 23}, {17, 19}, {18, 20}, {19, 18}, {20, 17}, {23, 29}, {12, 31}}

func signalFromLinux(sig int) int {
	for _, s := range signals {
		if s[1] == sig {
			return s[0]
		}
	}
	return sig
}

func signalToLinux(sig int) int {
	for _, s := range signals {
		if s[0] == sig {
			return s[1]
		}
	}
	return sig
}

// errnoFromLinux is FreeBSD's number of an error. Up to ERANGE, 34, nearly all are the same.
func errnoFromLinux(errno unix.Errno) int {
	switch errno {
	case 512, 513, 514, 516: // the kernel's ERESTART*: Linux would make the call again
		return int(unix.EINTR)
	case unix.EAGAIN:
		return 35
	case unix.ENAMETOOLONG:
		return 63
	case unix.ENOSYS:
		return 78
	case unix.ENOTEMPTY:
		return 66
	case unix.ELOOP:
		return 62
	case unix.ETIMEDOUT:
		return 60
	}
	return int(errno)
}

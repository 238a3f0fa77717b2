package freebsd

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

func (c *call) mmap() error {
	const anonymous, linuxAnonymous = 0x1000, unix.MAP_ANONYMOUS
	if c.arg[3]&anonymous != 0 {
		c.arg[3] = c.arg[3]&^anonymous | linuxAnonymous
	}
	return c.linux(unix.SYS_MMAP)
}

func (c *call) clockGettime() error {
	const monotonic = 4 // CLOCK_MONOTONIC
	if c.arg[0] == monotonic {
		c.arg[0] = unix.CLOCK_MONOTONIC
	}
	return c.linux(unix.SYS_CLOCK_GETTIME)
}

// sysarch sets the base of the segment FS, which is all that Go needs.
func (c *call) sysarch() error {
	const setFSBase = 129 // AMD64_SET_FSBASE
	if c.arg[0] != setFSBase {
		return fmt.Errorf("unknown sysarch %d", c.arg[0])
	}
	base, err := c.load(c.arg[1], 8)
	if err != nil {
		return err
	}
	c.regs.Fs_base = get(base, 0)
	return c.done(0)
}

// thrNew starts a thread. Machine.appeared sets its registers.
func (c *call) thrNew() error {
	b, err := c.load(c.arg[0], 48) // struct thr_param
	if err != nil {
		return err
	}
	stack := (get(b, 16) + get(b, 24)) &^ 15
	c.t.process.starts[stack] = start{get(b, 0), get(b, 8)}
	const flags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND |
		unix.CLONE_THREAD | unix.CLONE_SYSVSEM
	c.arg = [6]uint64{flags, stack}
	c.t.finish = func(result int64) int64 { return min(result, 0) }
	return c.linux(unix.SYS_CLONE)
}

func (c *call) thrSelf() error {
	var id [8]byte
	put(id[:], 0, uint64(c.t.tid))
	return c.store(c.arg[0], id[:])
}

// umtx is _umtx_op(2), by futex(2).
func (c *call) umtx() error {
	const wait, wake = 15, 16 // UMTX_OP_WAIT_UINT_PRIVATE, UMTX_OP_WAKE_PRIVATE
	const linuxWait, linuxWake, private = 0, 1, uint64(128)
	switch c.arg[1] {
	case wait: // the timeout begins like that of Linux
		c.arg = [6]uint64{c.arg[0], linuxWait | private, c.arg[2], c.arg[4]}
	case wake:
		c.arg = [6]uint64{c.arg[0], linuxWake | private, c.arg[2]}
	default:
		return fmt.Errorf("unknown _umtx_op %d", c.arg[1])
	}
	c.t.finish = func(result int64) int64 {
		if result > 0 || result == -int64(unix.EAGAIN) {
			return 0
		}
		return result
	}
	return c.linux(unix.SYS_FUTEX)
}

// cpusetGetaffinity tells the program that it has one processor.
func (c *call) cpusetGetaffinity() error {
	mask := make([]byte, c.arg[3])
	mask[0] = 1
	return c.store(c.arg[4], mask)
}

// resources has the numbers of Linux's resource limits by FreeBSD's numbers.
var resources = []uint64{0, 1, 2, 3, 4, 5, 8, 6, 7}

// infinity is RLIM_INFINITY of FreeBSD.
const infinity = 1<<63 - 1

func (c *call) getrlimit() error {
	if c.arg[0] >= uint64(len(resources)) {
		return c.fail(unix.EINVAL)
	}
	c.arg[0] = resources[c.arg[0]]
	c.t.finish = func(result int64) int64 {
		fromLinux := func(v uint64) uint64 { return min(v, infinity) }
		if c.convertLimits(fromLinux) != nil {
			return -int64(unix.EFAULT)
		}
		return result
	}
	return c.linux(unix.SYS_GETRLIMIT)
}

func (c *call) setrlimit() error {
	if c.arg[0] >= uint64(len(resources)) {
		return c.fail(unix.EINVAL)
	}
	c.arg[0] = resources[c.arg[0]]
	toLinux := func(v uint64) uint64 {
		if v == infinity {
			return unix.RLIM_INFINITY
		}
		return v
	}
	if err := c.convertLimits(toLinux); err != nil {
		return err
	}
	return c.linux(unix.SYS_SETRLIMIT)
}

// convertLimits converts both values of the program's struct rlimit in place.
func (c *call) convertLimits(convert func(uint64) uint64) error {
	b, err := c.load(c.arg[1], 16)
	if err != nil {
		return err
	}
	put(b, 0, convert(get(b, 0)))
	put(b, 8, convert(get(b, 8)))
	return poke(c.t.tid, c.arg[1], b)
}

// sysctl gets hw.pagesize and records that kern.hostname is set. It knows no others.
func (c *call) sysctl() error {
	mib, err := c.load(c.arg[0], int(4*c.arg[1]))
	if err != nil {
		return err
	}
	var name []int
	for i := 0; i < len(mib); i += 4 {
		name = append(name, int(mib[i])|int(mib[i+1])<<8)
	}
	switch {
	case slices.Equal(name, []int{6, 7}): // hw.pagesize
		return c.store(c.arg[2], []byte{0, 16, 0, 0})
	case slices.Equal(name, []int{1, 10}) && c.arg[4] != 0: // kern.hostname
		host, err := c.load(c.arg[4], int(c.arg[5]))
		if err != nil {
			return err
		}
		c.m.Calls = append(c.m.Calls, "hostname "+string(host))
		return c.done(0)
	}
	return c.fail(unix.ENOENT)
}

// kenv gets variables of the kernel environment.
func (c *call) kenv() error {
	const kenvGet = 0 // KENV_GET
	name, err := c.loadString(c.arg[1])
	if err != nil {
		return err
	}
	value, ok := c.m.Kenv[name]
	if !ok || c.arg[0] != kenvGet {
		return c.fail(unix.ENOENT)
	}
	b := append([]byte(value), 0)
	b = b[:min(len(b), int(c.arg[3]))]
	if err := poke(c.t.tid, c.arg[2], b); err != nil {
		return err
	}
	return c.done(int64(len(b)))
}

// errnoFromLinux returns FreeBSD's number of an error. Up to ERANGE, 34, nearly all are the same.
func errnoFromLinux(errno unix.Errno) int {
	switch errno {
	case 512, 513, 514, 516: // ERESTART* of the kernel: Linux would make the call again
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

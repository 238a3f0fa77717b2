package freebsd

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// openFlags has the flags of open(2) that differ: FreeBSD's value, then Linux's.
var openFlags = [][2]uint64{
	{0x4, unix.O_NONBLOCK},
	{0x8, unix.O_APPEND},
	{0x200, unix.O_CREAT},
	{0x400, unix.O_TRUNC},
	{0x800, unix.O_EXCL},
	{0x8000, unix.O_NOCTTY},
	{0x20000, unix.O_DIRECTORY},
	{0x100000, unix.O_CLOEXEC},
}

func flagsToLinux(flags uint64) uint64   { return mapFlags(flags, 0, 1) }
func flagsFromLinux(flags uint64) uint64 { return mapFlags(flags, 1, 0) }

// mapFlags converts flags of open(2) from one column of openFlags to another.
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

func (c *call) open() error {
	c.arg[1] = flagsToLinux(c.arg[1])
	return c.linux(unix.SYS_OPEN)
}

// openat knows the directory AT_FDCWD only, which is the same number on both systems.
func (c *call) openat() error {
	c.arg[2] = flagsToLinux(c.arg[2])
	return c.linux(unix.SYS_OPENAT)
}

func (c *call) pipe2() error {
	c.arg[1] = flagsToLinux(c.arg[1])
	return c.linux(unix.SYS_PIPE2)
}

func (c *call) socket() error {
	const cloexec = 0x10000000 // SOCK_CLOEXEC
	c.arg[1] = c.arg[1]&^cloexec | unix.SOCK_CLOEXEC
	return c.linux(unix.SYS_SOCKET)
}

func (c *call) fcntl() error {
	const getFlags, setFlags = 3, 4 // F_GETFL, F_SETFL
	switch c.arg[1] {
	case getFlags:
		c.t.finish = func(result int64) int64 {
			if result < 0 {
				return result
			}
			return int64(flagsFromLinux(uint64(result)))
		}
	case setFlags:
		c.arg[2] = flagsToLinux(c.arg[2])
	}
	return c.linux(unix.SYS_FCNTL)
}

// ioctl lets Linux carry out TIOCSCTTY. It records all others, which are about interfaces: their
// argument is a structure whose size is part of the number, and which begins with a name.
func (c *call) ioctl() error {
	const setControllingTerminal = 0x20007461 // TIOCSCTTY
	if c.arg[1] == setControllingTerminal {
		c.arg[1], c.arg[2] = unix.TIOCSCTTY, 0
		return c.linux(unix.SYS_IOCTL)
	}
	data, err := c.load(c.arg[2], int(c.arg[1]>>16&0x1fff))
	if err != nil {
		return err
	}
	name, _, _ := bytes.Cut(data[:16], []byte{0})
	text := fmt.Sprintf("ioctl %#x %s % x", c.arg[1], name, data[16:])
	c.m.Calls = append(c.m.Calls, text)
	return c.done(0)
}

func (c *call) fstat() error {
	return c.stat(fmt.Sprintf("/proc/%d/fd/%d", c.t.tid, c.arg[0]), 0, c.arg[1])
}

// fstatat knows the directory AT_FDCWD only.
func (c *call) fstatat() error {
	path, err := c.loadString(c.arg[1])
	if err != nil {
		return err
	}
	from, flags := "root", 0
	if !strings.HasPrefix(path, "/") {
		from = "cwd"
	}
	const noFollow = 0x200 // AT_SYMLINK_NOFOLLOW
	if c.arg[3]&noFollow != 0 {
		flags = unix.AT_SYMLINK_NOFOLLOW
	}
	return c.stat(fmt.Sprintf("/proc/%d/%s/%s", c.t.tid, from, path), flags, c.arg[2])
}

// stat stores the metadata of the file that has the path on this machine.
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
	return c.store(address, b[:])
}

// nmount calls Machine.Mount with the parameters: pairs of name and value, each an iovec.
func (c *call) nmount() error {
	parameters := map[string]string{"flags": strconv.FormatUint(c.arg[2], 10)}
	vector, err := c.load(c.arg[0], int(16*c.arg[1]))
	if err != nil {
		return err
	}
	var items []string
	for ; len(vector) > 0; vector = vector[16:] {
		item, err := c.load(get(vector, 0), int(get(vector, 8)))
		if err != nil {
			return err
		}
		if len(item) == 0 || item[len(item)-1] != 0 {
			return c.fail(unix.EINVAL)
		}
		items = append(items, strings.TrimRight(string(item), "\x00"))
	}
	if len(items)%2 != 0 {
		return c.fail(unix.EINVAL)
	}
	for i := 0; i < len(items); i += 2 {
		parameters[items[i]] = items[i+1]
	}
	return c.result(c.m.Mount(parameters))
}

func (c *call) unmount() error {
	path, err := c.loadString(c.arg[0])
	if err != nil {
		return err
	}
	return c.result(c.m.Unmount(path))
}

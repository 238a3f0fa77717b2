package netif

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/recvmsg"
)

const (
	// mostInBatch is how many changes go in one call. If all of them failed, the answers would still fit in the socket.
	mostInBatch = 64
	// patience is how long an answer may take, in milliseconds. The kernel answers before the call with the requests returns.
	patience = 1000
	// mostDumps is how often a list is asked for that changed while it was read.
	mostDumps = 3
)

// Link is a network interface.
type Link struct {
	Index        int
	Name         string
	HardwareAddr []byte
	Type         uint16 // ARPHRD_*
	MTU          uint32
	MaxMTU       uint32 // 0: unknown
	Flags        uint32 // IFF_*
	Up           bool   // somebody set it up: IFF_UP
	Carrier      bool   // and there is something at the other end: IFF_LOWER_UP
}

// Conn is a connection to the kernel's rtnetlink(7).
type Conn struct {
	fd int
	batch
	// buf is as long as the longest answers are: a page, at most 8 KiB.
	buf [8192]byte
}

// Open returns a Conn for interfaces of the network namespace that the process is in.
func Open() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open an rtnetlink socket: %w", err)
	}
	return &Conn{fd: fd}, nil
}

// Close closes the connection.
func (c *Conn) Close() { unix.Close(c.fd) }

// Link returns the link of a name. Its error wraps ENODEV if there is none.
func (c *Conn) Link(name string) (Link, error) {
	c.reset()
	c.getLink(name)
	return c.link(name)
}

// SetUp sets the link of a name up and returns what it is then. Its error wraps ENODEV if there is none.
func (c *Conn) SetUp(name string) (Link, error) {
	c.reset()
	c.setUp(name)
	c.getLink(name)
	return c.link(name)
}

// link sends a batch that ends with getLink, and returns the link.
func (c *Conn) link(name string) (l Link, err error) {
	if name == "" || len(name) >= unix.IFNAMSIZ {
		return Link{}, fmt.Errorf("find interface %s: %w", name, unix.ENODEV) // the kernel would say something else
	}
	failed := c.exchange(func(i int, m message) {
		if errno := m.errno(); errno != 0 && err == nil {
			doing := "find interface "
			if i < c.count-1 {
				doing = "set up interface "
			}
			err = fmt.Errorf("%s%s: %w", doing, name, errno)
		}
		if link, ok := parseLink(m); ok {
			l = link
		}
	})
	if failed != nil {
		return Link{}, failed
	}
	return l, err
}

// Links returns all links.
func (c *Conn) Links() ([]Link, error) {
	return dump(c, func() {
		c.batch.link(unix.RTM_GETLINK, unix.NLM_F_DUMP, 0, 0, 0)
		c.attr32(unix.IFLA_EXT_MASK, skipStats)
	}, parseLink)
}

// Addresses returns the addresses, IPv4 and IPv6, of the interface of an index.
func (c *Conn) Addresses(index int) ([]IfAddr, error) {
	return dump(c, func() {
		c.request(unix.RTM_GETADDR, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfAddrmsg)...)
	}, func(m message) (IfAddr, bool) {
		i, a, ok := parseIfAddr(m)
		return a, ok && i == index
	})
}

// Routes returns the unicast routes, IPv4 and IPv6, of the main table that lead through the interface of an index alone.
func (c *Conn) Routes(index int) ([]Route, error) {
	return dump(c, func() {
		c.request(unix.RTM_GETROUTE, unix.NLM_F_DUMP, make([]byte, unix.SizeofRtMsg)...)
	}, func(m message) (Route, bool) {
		i, r, ok := parseRoute(m)
		return r, ok && i == index
	})
}

// dump returns what parse makes of the answers to a request for a list.
func dump[T any](c *Conn, request func(), parse func(message) (T, bool)) (list []T, err error) {
	for range mostDumps {
		list, err = nil, nil
		changed := false
		c.reset()
		request()
		failed := c.exchange(func(_ int, m message) {
			if errno := m.errno(); errno != 0 {
				err = fmt.Errorf("list by rtnetlink: %w", errno)
			}
			changed = changed || m.flags&unix.NLM_F_DUMP_INTR != 0
			if t, ok := parse(m); ok {
				list = append(list, t)
			}
		})
		if failed != nil {
			return nil, failed
		}
		if !changed {
			break
		}
	}
	return list, err
}

// Do makes changes, in order. One that fails does not keep the others from being made; the error joins those of all that
// failed, each with what the change was.
func (c *Conn) Do(changes ...Change) error {
	var errs []error
	for len(changes) > 0 {
		part := changes[:min(len(changes), mostInBatch)]
		changes = changes[len(part):]
		c.reset()
		for _, change := range part {
			c.change(change)
		}
		c.acknowledge()
		err := c.exchange(func(i int, m message) {
			if errno := m.errno(); errno != 0 && !part[i].isMissing(errno) {
				errs = append(errs, fmt.Errorf("%v: %w", part[i], errno))
			}
		})
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// isMissing tells whether a change failed because what it was to delete is not there: a lifetime ended, say.
func (c Change) isMissing(errno unix.Errno) bool {
	switch c.Kind {
	case DeleteAddress:
		return errno == unix.EADDRNOTAVAIL || errno == unix.ENODEV
	case DeleteRoute:
		return errno == unix.ESRCH
	}
	return false
}

// exchange sends the batch and hands the answers to take, with the number of the request in it. It ends with the answer to
// the last request.
func (c *Conn) exchange(take func(i int, m message)) error {
	if err := c.send(); err != nil {
		return fmt.Errorf("send rtnetlink requests: %w", err)
	}
	for {
		b, err := c.receive()
		if err != nil {
			return fmt.Errorf("receive rtnetlink answers: %w", err)
		}
		for len(b) > 0 {
			m, rest, ok := nextMessage(b)
			if !ok {
				return fmt.Errorf("receive rtnetlink answers: %w", unix.EBADMSG)
			}
			b = rest
			i := m.seq - c.first
			if i >= uint32(c.count) {
				continue // answers something that was given up
			}
			take(int(i), m)
			if int(i) == c.count-1 && m.ends() {
				return nil
			}
		}
	}
}

func (c *Conn) send() error {
	for {
		// Without an address it goes to the kernel.
		if _, err := unix.Write(c.fd, c.bytes); err != unix.EINTR {
			return err
		}
	}
}

// receive returns the next messages of the kernel.
func (c *Conn) receive() ([]byte, error) {
	for {
		var sender unix.RawSockaddrNetlink
		d, err := recvmsg.Receive(c.fd, c.buf[:], nil, &sender)
		switch {
		case err == unix.EAGAIN:
			if err := c.wait(); err != nil {
				return nil, err
			}
		case err == unix.EINTR:
		case err != nil: // ENOBUFS among them: answers were lost
			return nil, err
		default:
			if sender.Family != unix.AF_NETLINK || sender.Pid != 0 {
				continue // not the kernel
			}
			if d.Len > len(c.buf) {
				return nil, unix.EMSGSIZE
			}
			return c.buf[:d.Len], nil
		}
	}
}

// wait waits for an answer.
func (c *Conn) wait() error {
	fds := [1]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds[:], patience)
	switch {
	case err == unix.EINTR:
		return nil
	case err == nil && n == 0:
		return unix.ETIMEDOUT
	}
	return err
}

// Monitor notices that links come, go and change. What has changed is to be looked up: notifications can be lost.
type Monitor struct{ fd int }

// mostNotifications is how many are read in a row. What remains can be read in the next round of a poll loop.
const mostNotifications = 64

// OpenMonitor returns a Monitor. What happens from then on is noticed.
func OpenMonitor() (*Monitor, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err == nil {
		if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("watch network interfaces: %w", err)
	}
	return &Monitor{fd}, nil
}

// FD returns the descriptor to wait at until it can be read from.
func (m *Monitor) FD() int { return m.fd }

// Changed tells whether any link has changed since the last call. It does not wait.
func (m *Monitor) Changed() bool {
	changed := false
	for range mostNotifications {
		var b [unix.SizeofNlMsghdr]byte // the rest of the message is thrown away
		switch _, err := unix.Read(m.fd, b[:]); err {
		case unix.EINTR:
		case nil, unix.ENOBUFS: // so many that some were lost
			changed = true
		default:
			return changed
		}
	}
	return changed
}

// Close closes the monitor.
func (m *Monitor) Close() { unix.Close(m.fd) }

package netif

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// answerTimeout limits the wait for an answer. Normally the kernel queues the answer before
	// sendto(2) returns.
	answerTimeout = time.Second
	// maxAttempts limits how often a request is repeated; see Conn.request.
	maxAttempts = 5
)

// Conn is a connection to the kernel's rtnetlink(7).
//
// Package netlink allocates 64 KiB to receive the answer to each request. A long-running process
// can use Requests to decide when to collect this garbage.
type Conn struct {
	handle   *netlink.Handle
	requests int
}

// Requests returns the number of requests made so far.
func (c *Conn) Requests() int { return c.requests }

// Open returns a Conn for the interfaces of the network namespace of the calling thread.
func Open() (*Conn, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err == nil {
		err = handle.SetSocketTimeout(answerTimeout)
	}
	if err != nil {
		return nil, fmt.Errorf("open an rtnetlink socket: %w", err)
	}
	return &Conn{handle: handle}, nil
}

// Close closes the connection.
func (c *Conn) Close() { c.handle.Close() }

// request calls f, which makes one request, and calls it again if the answer is not usable, because
// a list changed while it was read, or the socket received a message of another process.
func (c *Conn) request(f func() error) error {
	var err error
	for range maxAttempts {
		c.requests++
		err = f()
		// Package nl parses a message before it looks at the sender, hence EINVAL.
		errno, ok := errors.AsType[unix.Errno](err)
		if err == nil || ok && errno != unix.EINVAL {
			break
		}
	}
	if err == unix.EAGAIN {
		return unix.ETIMEDOUT
	}
	return err
}

// byIndex returns a link for requests of package netlink that use only its index.
func byIndex(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

// list requests a list, and converts its elements.
func list[T, U any](c *Conn, what string, get func() ([]T, error), convert func(T) U) (
	all []U, err error,
) {
	err = c.request(func() error {
		elements, err := get()
		all = all[:0]
		for _, e := range elements {
			all = append(all, convert(e))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", what, err)
	}
	return all, nil
}

// Addresses returns the IPv4 and IPv6 addresses of the interface with the given index.
func (c *Conn) Addresses(index int) ([]IfAddr, error) {
	return list(c, "addresses", func() ([]netlink.Addr, error) {
		return c.handle.AddrList(byIndex(index), netlink.FAMILY_ALL)
	}, newIfAddr)
}

// Routes returns the IPv4 and IPv6 unicast routes of the main table that lead through the interface
// with the given index.
func (c *Conn) Routes(index int) ([]Route, error) {
	filter := netlink.Route{LinkIndex: index, Type: unix.RTN_UNICAST}
	return list(c, "routes", func() ([]netlink.Route, error) {
		return c.handle.RouteListFiltered(netlink.FAMILY_ALL, &filter,
			netlink.RT_FILTER_OIF|netlink.RT_FILTER_TYPE)
	}, newRoute)
}

// Do makes changes in order. After a failure it continues with the next change. The returned error
// joins the errors of all changes that failed, each with a description of the change.
func (c *Conn) Do(changes ...Change) error {
	var errs []error
	for _, change := range changes {
		err := c.request(func() error { return c.change(change) })
		if err != nil && !change.isDone(err) {
			errs = append(errs, fmt.Errorf("%v: %w", change, err))
		}
	}
	return errors.Join(errs...)
}

// change makes a change by one request.
func (c *Conn) change(change Change) error {
	switch change.Kind {
	case SetMTU:
		return c.handle.LinkSetMTU(byIndex(change.Index), int(change.MTU))
	case SetAddress:
		return c.handle.AddrReplace(byIndex(change.Index), change.Address.netlink())
	case DeleteAddress:
		return c.handle.AddrDel(byIndex(change.Index), change.Address.netlink())
	case SetRoute:
		return c.handle.RouteReplace(change.Route.netlink(change.Index))
	case AddRoute:
		return c.handle.RouteAdd(change.Route.netlink(change.Index))
	default:
		return c.handle.RouteDel(change.Route.netlink(change.Index))
	}
}

// isDone reports whether c failed with err because there is nothing to do: the address or route to
// delete does not exist, or the route to add exists.
func (c Change) isDone(err error) bool {
	switch c.Kind {
	case AddRoute:
		return errors.Is(err, unix.EEXIST)
	case DeleteAddress:
		return errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV)
	case DeleteRoute:
		return errors.Is(err, unix.ESRCH)
	}
	return false
}

// Monitor watches for interfaces that appear, disappear or change.
type Monitor struct{ socket *nl.NetlinkSocket }

// maxNotifications limits how many notifications one call of Changed reads.
const maxNotifications = 64

// OpenMonitor returns a Monitor that reports changes after the call.
func OpenMonitor() (*Monitor, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		return nil, fmt.Errorf("watch network interfaces: %w", err)
	}
	return &Monitor{socket}, nil
}

// FD returns the descriptor that poll(2) reports as readable when an interface has changed.
func (m *Monitor) FD() int { return m.socket.GetFd() }

// Changed reports whether an interface has changed since the last call. It does not block.
func (m *Monitor) Changed() bool {
	changed := false
	for range maxNotifications {
		var b [unix.SizeofNlMsghdr]byte // the rest of the message is discarded
		switch _, err := unix.Read(m.FD(), b[:]); err {
		case unix.EINTR:
		case nil, unix.ENOBUFS: // ENOBUFS: notifications were lost
			changed = true
		default:
			return changed
		}
	}
	return changed
}

// Close closes the monitor.
func (m *Monitor) Close() { m.socket.Close() }

package network

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
)

// Start is the operation that starts a Network: it sets the interfaces up and asks for leases.
type Start struct{ Network *Network }

func (s Start) Describe() op.Description {
	c := &s.Network.cfg
	return op.Describe("configure interfaces", c.names(),
		"ipv4", op.If(c.IPv4, "DHCP"),
		"ipv6", op.If(c.IPv6, "router advertisements, DHCPv6 where they say so"),
		"hostname", op.If(c.Hostname != "", c.Hostname))
}

func (s Start) Do() error { return s.Network.Start() }

func (c *Config) names() string {
	if len(c.Interfaces) == 0 {
		return "all"
	}
	return strings.Join(c.Interfaces, ",")
}

// Answer is the operation that handles the messages that have arrived, without waiting for more.
// Hostname, unless empty or invalid, replaces Config.Hostname.
type Answer struct {
	Network  *Network
	Hostname string
}

func (a Answer) Describe() op.Description {
	return op.Describe("answer servers", a.Network.cfg.names(),
		"hostname", op.If(a.Hostname != "", a.Hostname))
}

func (a Answer) Do() error {
	a.Network.setHostname(a.Hostname)
	a.Network.Run()
	return nil
}

// Wait is the operation that waits until a Network is settled, at most for Limit, and up to Limit
// longer for a server that has offered an address. While it waits, it runs the tasks of Loop, which
// should include the Network. Unless Limit is 0, Do returns an error for each interface on which
// neither a DHCP server granted a lease nor an IPv6 router answered.
type Wait struct {
	Network *Network
	Limit   time.Duration
	Loop    *loop.Loop
	// Stopped, unless nil, ends the wait when it returns true. It is called every stopInterval.
	Stopped func() bool
}

const stopInterval = 50 * time.Millisecond

func (w Wait) Describe() op.Description {
	limit := fmt.Sprintf("%dms", w.Limit.Milliseconds())
	return op.Describe("wait for leases", w.Network.cfg.names(), "atMost", limit,
		"longer", "for a server that has offered an address")
}

func (w Wait) Do() error {
	n := w.Network
	defer n.save()
	n.Run() // handle what has already arrived, even if Limit is 0
	if err := wait(w.Loop, w.Limit, w.Stopped, n.Settled); err != nil {
		return err
	}
	if err := wait(w.Loop, w.Limit, w.Stopped, func() bool { return !n.requesting() }); err != nil {
		return err
	}
	if w.Stopped != nil && w.Stopped() {
		return nil
	}
	var missing []error
	for _, i := range n.interfaces {
		if i.v4.waiting() && !i.v6.heard && w.Limit > 0 {
			missing = append(missing, fmt.Errorf("%s: %s within %v; the workload starts without a lease",
				i.Name, i.v4.obstacle(), w.Limit))
		}
	}
	return errors.Join(missing...)
}

// requesting reports whether a server has offered an address and has not confirmed it yet.
func (n *Network) requesting() bool {
	return slices.ContainsFunc(n.interfaces, func(i *Interface) bool {
		return i.v4.waiting() && i.v4.client.State() == dhcp4.Requesting
	})
}

// wait runs the tasks of a loop until done or stopped returns true, at most for limit. stopped may
// be nil.
func wait(l *loop.Loop, limit time.Duration, stopped, done func() bool) error {
	deadline := loop.Now() + limit
	for !done() && (stopped == nil || !stopped()) {
		left := deadline - loop.Now()
		if left <= 0 {
			return nil
		}
		if stopped != nil {
			left = min(left, stopInterval)
		}
		if _, err := l.Step(-1, left); err != nil {
			return fmt.Errorf("wait for leases: %w", err)
		}
	}
	return nil
}

// otherVersionTimeout limits the wait for one version of IP when the other one is configured.
const otherVersionTimeout = time.Second

// WaitForAll waits until IPv4 and IPv6 are configured on each interface with a carrier, at most for
// limit. Once each of them has one version of IP, WaitForAll waits for the other version at most a
// second longer. It runs the tasks of l, which should include the Network.
func (n *Network) WaitForAll(l *loop.Loop, limit time.Duration) error {
	deadline := loop.Now() + limit
	err := wait(l, limit, nil, func() bool {
		return !slices.ContainsFunc(n.interfaces, func(i *Interface) bool {
			wait4, wait6 := i.v4.waiting(), i.v6.waiting()
			return (wait4 || wait6) && (wait4 || !n.cfg.IPv4) && (wait6 || !n.cfg.IPv6)
		})
	})
	if err != nil {
		return err
	}
	return wait(l, min(deadline-loop.Now(), otherVersionTimeout), nil, func() bool {
		return !slices.ContainsFunc(n.interfaces, func(i *Interface) bool {
			return i.v4.waiting() || i.v6.waiting()
		})
	})
}

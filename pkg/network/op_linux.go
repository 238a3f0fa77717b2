package network

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
)

// Start is the operation that sets interfaces up and asks for leases.
type Start struct{ Network *Network }

func (s Start) Describe() op.Description {
	c := &s.Network.cfg
	d := op.Describe("configure interfaces", c.names())
	if c.IPv4 {
		d.Details = append(d.Details, op.A("ipv4", "DHCP"))
	}
	if c.IPv6 {
		d.Details = append(d.Details, op.A("ipv6", "router advertisements, DHCPv6 where they say so"))
	}
	if c.Hostname != "" {
		d.Details = append(d.Details, op.A("hostname", c.Hostname))
	}
	return d
}

func (s Start) Do() error { return s.Network.Start() }

func (c *Config) names() string {
	if len(c.Interfaces) == 0 {
		return "all"
	}
	return strings.Join(c.Interfaces, ",")
}

// Answer is the operation that answers the messages that have come so far. It does not wait for any.
type Answer struct{ Network *Network }

func (a Answer) Describe() op.Description {
	return op.Describe("answer servers", a.Network.cfg.names())
}

func (a Answer) Do() error {
	a.Network.Run()
	return nil
}

// Wait is the operation that waits until a network is settled, but not longer than Limit, and runs the tasks of a loop
// meanwhile. That there is no lease then is no failure.
type Wait struct {
	Network *Network
	Limit   time.Duration
	Loop    *loop.Loop
}

func (w Wait) Describe() op.Description {
	return op.Describe("wait for leases", w.Network.cfg.names(), "atMost", strconv.FormatInt(w.Limit.Milliseconds(), 10)+"ms")
}

func (w Wait) Do() error {
	deadline := loop.Now() + w.Limit
	w.Network.Run() // what came while others had their turn
	for !w.Network.Settled() {
		left := deadline - loop.Now()
		if left <= 0 {
			return nil
		}
		if _, err := w.Loop.Step(-1, left); err != nil {
			return fmt.Errorf("wait for leases: %w", err)
		}
	}
	return nil
}

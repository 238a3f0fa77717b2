package network

import (
	"strconv"
	"strings"
	"time"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/fault"
	"github.com/krunbox/krunbox/pkg/loop"
)

// Start is the operation that sets interfaces up and asks for leases.
type Start struct{ Network *Network }

// Describe implements boot.Op.
func (s Start) Describe() boot.Desc {
	c := &s.Network.cfg
	d := boot.Desc{Verb: "configure interfaces", Object: c.names()}
	if c.IPv4 {
		d.Attrs = append(d.Attrs, boot.A("ipv4", "DHCP"))
	}
	if c.IPv6 {
		d.Attrs = append(d.Attrs, boot.A("ipv6", "router advertisements, DHCPv6 where they say so"))
	}
	if c.Hostname != "" {
		d.Attrs = append(d.Attrs, boot.A("hostname", c.Hostname))
	}
	return d
}

// Do implements boot.Op.
func (s Start) Do() error { return s.Network.Start() }

func (c *Config) names() string {
	if len(c.Interfaces) == 0 {
		return "all"
	}
	return strings.Join(c.Interfaces, ",")
}

// Answer is the operation that answers the messages that have come so far. It does not wait for any.
type Answer struct{ Network *Network }

// Describe implements boot.Op.
func (a Answer) Describe() boot.Desc {
	return boot.Desc{Verb: "answer servers", Object: a.Network.cfg.names()}
}

// Do implements boot.Op.
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

// Describe implements boot.Op.
func (w Wait) Describe() boot.Desc {
	return boot.Desc{Verb: "wait for leases", Object: w.Network.cfg.names(), Attrs: []boot.Attr{
		boot.A("atMost", strconv.FormatInt(w.Limit.Milliseconds(), 10)+"ms"),
	}}
}

// Do implements boot.Op.
func (w Wait) Do() error {
	deadline := loop.Now() + w.Limit
	w.Network.Run() // what came while others had their turn
	for !w.Network.Settled() {
		left := deadline - loop.Now()
		if left <= 0 {
			return nil
		}
		if _, err := w.Loop.Step(-1, left); err != nil {
			return fault.Wrap(err, "wait for leases")
		}
	}
	return nil
}

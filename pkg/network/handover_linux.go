package network

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/jsonio"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/netif"
)

// handover is what a Network passes to the Network of another process.
type handover struct {
	Hostname   string
	Interfaces []inherited
}

// inherited is an interface of a handover.
type inherited struct {
	Name     string
	MTU      uint32        // before the lease, in bytes
	Acquired time.Duration // when the lease was acquired, by loop.Now
	Ack      []byte        // the message that granted the lease; empty without a lease
}

// Handover returns a description of the interfaces and their IPv4 leases, in JSON. A process that
// takes over the interfaces passes it to Resume.
func (n *Network) Handover() []byte {
	var interfaces jsonio.List[jsonio.Object]
	for _, i := range n.interfaces {
		interfaces = append(interfaces, jsonio.NewObject("name", i.Name, "mtu", int64(i.link.MTU),
			"acquiredNs", int64(i.v4.acquired), "ack", hex.EncodeToString(i.v4.ack())))
	}
	return jsonio.Append(nil, jsonio.NewObject("hostname", n.cfg.Hostname, "interfaces", interfaces))
}

// parseHandover parses the result of Handover.
func parseHandover(b []byte) (h handover, err error) {
	r := jsonio.NewReader(b)
	err = r.Object(func(name string) error {
		switch name {
		case "hostname":
			return r.Text(&h.Hostname)
		case "interfaces":
			return r.List(func() error {
				h.Interfaces = append(h.Interfaces, inherited{})
				return h.Interfaces[len(h.Interfaces)-1].read(r)
			})
		}
		return r.Skip()
	})
	if err := cmp.Or(err, r.End()); err != nil {
		return handover{}, fmt.Errorf("malformed handover of the network: %w", err)
	}
	for _, i := range h.Interfaces {
		if !validName(i.Name) {
			return handover{}, fmt.Errorf("malformed handover of the network: interface %q", i.Name)
		}
	}
	return h, nil
}

// read reads the JSON object of an interface.
func (i *inherited) read(r *jsonio.Reader) error {
	return r.Object(func(name string) error {
		switch name {
		case "name":
			return r.Text(&i.Name)
		case "mtu":
			return jsonio.Integer(r, &i.MTU, 0, math.MaxUint32)
		case "acquiredNs":
			return jsonio.Integer(r, &i.Acquired, 0, math.MaxInt64)
		case "ack":
			var text string
			if err := r.Text(&text); err != nil {
				return err
			}
			ack, err := hex.DecodeString(text)
			if err != nil {
				return r.Fail(err)
			}
			i.Ack = ack
			return nil
		}
		return r.Skip()
	})
}

// Resume replaces Start in a process that takes over the interfaces of another process. b is the
// result of Handover in that process. The errors of several interfaces are joined.
func (n *Network) Resume(b []byte) error {
	h, err := parseHandover(b)
	if err != nil {
		return err
	}
	n.cfg.Hostname = h.Hostname
	if n.conn, err = netif.Open(); err != nil {
		return err
	}
	// The name servers of IPv6 routers are not handed over: the routers advertise them again.
	errs := []error{n.resolv.Adopt()}
	for _, old := range h.Interfaces {
		i := n.add(old.Name)
		if len(old.Ack) == 0 {
			errs = append(errs, i.start())
		} else {
			errs = append(errs, i.resume(old))
		}
	}
	n.changed = true
	n.save()
	return errors.Join(errs...)
}

// resume continues with the lease that another process acquired on the interface.
func (i *Interface) resume(old inherited) (err error) {
	i.link, err = i.network.conn.Link(i.Name)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return err
	}
	i.link.MTU = old.MTU
	v := &i.v4
	if err := v.newClient(); err != nil {
		return err
	}
	lease, err := dhcp4.NewLease(old.Ack)
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", i.Name, err), i.start())
	}
	v.lease, v.acquired, v.applied = lease, old.Acquired, v.configOf(lease)
	now := loop.Now()
	action, err := v.client.Resume(now, old.Ack, v.acquired)
	if err != nil { // the hardware address of the interface has changed since
		return errors.Join(v.handle(dhcp4.Lost), v.act(v.client.Start(now)))
	}
	return v.act(action)
}

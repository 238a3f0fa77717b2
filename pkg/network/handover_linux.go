package network

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/dhcp4"
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
	MTU      uint32 // without the lease
	Acquired int64  // when the lease was acquired, in nanoseconds of loop.Now
	Ack      []byte // the message that granted the lease; empty if there is none
}

// Handover returns a description of the interfaces and their IPv4 leases, in JSON. Another process
// passes it to Resume to continue in the place of this one.
func (n *Network) Handover() []byte {
	h := handover{Hostname: n.cfg.Hostname}
	for _, i := range n.interfaces {
		h.Interfaces = append(h.Interfaces,
			inherited{i.Name, i.link.MTU, int64(i.v4.acquired), i.v4.ack()})
	}
	b, _ := json.Marshal(h) // fails only for text that is not UTF-8, and all names are
	return b
}

func parseHandover(b []byte) (h handover, err error) {
	if err := json.Unmarshal(b, &h); err != nil {
		return handover{}, fmt.Errorf("malformed handover of the network: %w", err)
	}
	for _, i := range h.Interfaces {
		if !validName(i.Name) {
			return handover{}, fmt.Errorf("malformed handover of the network: interface %q", i.Name)
		}
	}
	return h, nil
}

// Resume continues in the place of the process that returned b from Handover.
func (n *Network) Resume(b []byte) error {
	h, err := parseHandover(b)
	if err != nil {
		return err
	}
	n.cfg.Hostname = h.Hostname
	if n.conn, err = netif.Open(); err != nil {
		return err
	}
	// The file contains the name servers of IPv6 routers, too; the routers will repeat them.
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

// resume takes over the lease of an interface.
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
	v.lease, v.acquired, v.applied = lease, time.Duration(old.Acquired), v.configOf(lease)
	now := loop.Now()
	action, err := v.client.Resume(now, old.Ack, v.acquired)
	if err != nil { // the interface has another hardware address now
		return errors.Join(v.handle(dhcp4.Lost), v.act(v.client.Start(now)))
	}
	return v.act(action)
}

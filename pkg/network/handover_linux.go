package network

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/loop"
)

// Handover returns what another process needs to go on in the place of this one, for Resume: each interface's name and,
// where it has a lease, what its link had before, when the lease was acquired, and the server's message.
//
// It is a line with the host name that servers are told, and for each interface "NAME MTU NANOSECONDS LENGTH\n" and that
// many bytes. LENGTH is 0 without a lease.
func (n *Network) Handover() []byte {
	b := append([]byte(n.cfg.Hostname), '\n')
	for _, i := range n.interfaces {
		var ack []byte
		if i.lease != nil {
			ack = i.client.Ack()
		}
		b = append(b, i.Name+" "+strconv.FormatUint(uint64(i.link.MTU), 10)+" "+strconv.FormatInt(int64(i.acquired), 10)+" "+
			strconv.Itoa(len(ack))+"\n"...)
		b = append(b, ack...)
	}
	return b
}

// inherited is what Handover said of an interface.
type inherited struct {
	name     string
	mtu      uint32
	acquired time.Duration
	ack      []byte
}

var errHandover = errors.New("malformed hand-over of the network")

func parseHandover(b []byte) (hostname string, list []inherited, err error) {
	line, b, ok := bytes.Cut(b, []byte("\n"))
	if !ok {
		return "", nil, errHandover
	}
	hostname = string(line)
	for len(b) > 0 {
		line, rest, ok := bytes.Cut(b, []byte("\n"))
		fields := strings.Split(string(line), " ")
		if !ok || len(fields) != 4 || !validName(fields[0]) {
			return "", nil, errHandover
		}
		mtu, err1 := strconv.ParseUint(fields[1], 10, 32)
		acquired, err2 := strconv.ParseInt(fields[2], 10, 64)
		length, err3 := strconv.ParseUint(fields[3], 10, 16)
		if err1 != nil || err2 != nil || err3 != nil || int(length) > len(rest) {
			return "", nil, errHandover
		}
		list = append(list, inherited{fields[0], uint32(mtu), time.Duration(acquired), rest[:length:length]})
		b = rest[length:]
	}
	return hostname, list, nil
}

// Resume goes on in the place of the process that returned handover, with what the interfaces have.
func (n *Network) Resume(handover []byte) error {
	hostname, list, err := parseHandover(handover)
	if err != nil {
		return err
	}
	n.cfg.Hostname, n.cfg.Interfaces = hostname, nil
	for _, h := range list {
		n.cfg.Interfaces = append(n.cfg.Interfaces, h.name)
	}
	if err := n.open(); err != nil {
		return err
	}
	errs := []error{n.resolv.Adopt()}
	for _, h := range list {
		i := n.add(h.name)
		if len(h.ack) == 0 {
			errs = append(errs, i.start())
		} else {
			errs = append(errs, i.resume(h))
		}
	}
	// Name servers that IPv6 routers have named are there already; the routers will say so again.
	return errors.Join(errs...)
}

// resume takes over the lease of an interface.
func (i *Interface) resume(h inherited) (err error) {
	i.link, err = i.network.conn.Link(i.Name)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	i.link.MTU = h.mtu
	if len(i.link.HardwareAddr) != 6 {
		return fmt.Errorf("DHCP on %s: %w", i.Name, unix.EAFNOSUPPORT)
	}
	lease, err := dhcp4.NewLease(h.ack)
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", i.Name, err), i.start())
	}
	i.lease, i.acquired, i.config = lease, h.acquired, i.configOf(lease)
	i.newClient()
	now := loop.Now()
	action, err := i.client.Resume(now, h.ack, h.acquired)
	if err != nil { // it is not for the hardware address that the interface has now
		return errors.Join(i.handle(dhcp4.Lost), i.do(i.client.Start(now)))
	}
	return i.do(action)
}

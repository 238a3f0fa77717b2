package dhcp4

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// maxMessageSize is the value of option 57 in bytes: what fits into an Ethernet frame.
const maxMessageSize = 1500 - ipHeader - udpHeader

// limitedBroadcast is 255.255.255.255.
func limitedBroadcast() netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, 255}) }

// transmit returns the message of the state, and sets the deadline for sending it again. It updates
// the field secs in c.buf, instead of encoding the message again.
func (c *Client) transmit(now time.Duration) Action {
	c.sent = now
	c.tries++
	// A REQUEST has the secs of the DISCOVER, so that relays forward it alike (section 4.4.1).
	if c.state != Requesting {
		c.secs = uint16(min((now-c.began)/time.Second, 0xffff))
	}
	binary.BigEndian.PutUint16(c.buf[offSecs:], c.secs)
	to := limitedBroadcast()
	switch c.state {
	case Renewing:
		to = c.server
		c.deadline = c.retry(now, c.rebindAt)
	case Rebinding:
		c.deadline = c.retry(now, c.expireAt)
		if c.interval > 0 { // Confirm
			c.deadline = min(c.deadline, c.next(now))
		}
	default:
		c.deadline = c.next(now)
	}
	return Action{Send: c.buf, To: to}
}

// next returns the time to send a message again after the interval, and doubles the interval.
func (c *Client) next(now time.Duration) time.Duration {
	at := now + c.jitter(c.interval)
	c.interval = min(2*c.interval, maxInterval)
	return at
}

// retry returns the time to send a request for the extension of a lease again: after half of the
// time until end, but not before a minute (RFC 2131 section 4.4.5) or a 60th of the lease has
// passed, whichever is shorter.
func (c *Client) retry(now, end time.Duration) time.Duration {
	least := min(time.Minute, max(c.lease.Duration/60, firstInterval))
	return min(now+max((end-now)/2, least), end)
}

// jitter returns a random duration between 3/4 and 5/4 of d.
func (c *Client) jitter(d time.Duration) time.Duration {
	return d*3/4 + d/2/1024*time.Duration(c.config.Random()%1024)
}

// message returns the DISCOVER or REQUEST of the state, with the contents of RFC 2131 table 5.
func (c *Client) message() *dhcpv4.DHCPv4 {
	kind := dhcpv4.MessageTypeRequest
	if c.state == Selecting {
		kind = dhcpv4.MessageTypeDiscover
	}
	d := newRequest(&c.config, kind, c.xid)
	d.UpdateOption(dhcpv4.OptMaxMessageSize(maxMessageSize))
	// RFC 3442: a client asks for option 121 before option 3.
	d.UpdateOption(dhcpv4.OptParameterRequestList(
		dhcpv4.OptionSubnetMask, dhcpv4.OptionClasslessStaticRoute, optionPrivateRoutes,
		dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionHostName,
		dhcpv4.OptionDomainName, dhcpv4.OptionInterfaceMTU, dhcpv4.OptionBroadcastAddress,
		dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue,
		dhcpv4.OptionDNSDomainSearchList,
	))
	if n := len(c.config.Hostname); n > 0 && n <= 255 {
		d.UpdateOption(dhcpv4.OptHostName(c.config.Hostname))
	}
	if c.state < Bound {
		// Some servers cannot send to an address that does not answer ARP. The packet socket also
		// receives the answers of those that ignore the flag.
		d.SetBroadcast()
		if c.requested.Is4() {
			d.UpdateOption(dhcpv4.OptRequestedIPAddress(c.requested.AsSlice()))
		}
	} else {
		d.ClientIPAddr = c.lease.Address.Addr().AsSlice()
	}
	switch {
	case c.state == Requesting:
		d.UpdateOption(dhcpv4.OptServerIdentifier(c.server.AsSlice()))
	case c.state == Selecting && !c.config.OfferOnly:
		d.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionRapidCommit, nil))
	}
	return d
}

// Release returns a RELEASE message for the lease, or nil without a lease. The caller stops using
// the address and the client, then sends the message to Lease().Server. With OfferOnly, the message
// is for the offered address, which another process of the guest may have leased.
func (c *Client) Release() []byte {
	if c.lease == nil {
		return nil
	}
	d := newRequest(&c.config, dhcpv4.MessageTypeRelease, c.config.Random())
	d.ClientIPAddr = c.lease.Address.Addr().AsSlice()
	d.UpdateOption(dhcpv4.OptServerIdentifier(c.server.AsSlice()))
	return d.ToBytes()
}

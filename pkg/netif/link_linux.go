package netif

import (
	"encoding/binary"
	"fmt"
	"net"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Link is a network interface.
type Link struct {
	Index        int
	Name         string
	HardwareAddr net.HardwareAddr // 6 bytes; nil unless the type is ARPHRD_ETHER
	MTU          uint32           // bytes
	MaxMTU       uint32           // the largest MTU that can be set, bytes; 0: no limit is known
	Ethernet     bool             // an Ethernet device that uses ARP: not IFF_NOARP
	Up           bool             // IFF_UP
	Carrier      bool             // up and connected: IFF_LOWER_UP
}

// Link returns the interface with the given name. The error wraps ENODEV if there is none.
func (c *Conn) Link(name string) (Link, error) {
	err := error(unix.ENODEV)
	var links []Link
	if name != "" && len(name) < unix.IFNAMSIZ {
		links, err = c.links(0, nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	}
	if err != nil {
		return Link{}, fmt.Errorf("find interface %s: %w", name, err)
	}
	return links[0], nil
}

// Links returns all interfaces.
func (c *Conn) Links() ([]Link, error) {
	links, err := c.links(unix.NLM_F_DUMP)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	return links, nil
}

// skipStatistics is RTEXT_FILTER_SKIP_STATS of linux/rtnetlink.h.
const skipStatistics = 1 << 3

// links requests the links that attributes select. The error is ENODEV if there are none. Unlike
// package netlink, links does not request statistics and does not decode all 50 attributes, which
// makes boots with DHCP faster. Each request opens a socket of its own, in the network namespace of
// the calling thread: the one of the Handle cannot be used by others.
func (c *Conn) links(flags int, attributes ...*nl.RtAttr) (links []Link, err error) {
	err = c.request(func() error {
		request := nl.NewNetlinkRequest(unix.RTM_GETLINK, flags)
		request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		request.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStatistics)))
		for _, a := range attributes {
			request.AddData(a)
		}
		answers, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
		links = links[:0]
		for _, answer := range answers {
			link, err := parseLink(answer)
			if err != nil {
				return err
			}
			links = append(links, link)
		}
		if err == nil && len(links) == 0 {
			return unix.ENODEV
		}
		return err
	})
	return links, err
}

// parseLink parses a message of type RTM_NEWLINK; see rtnetlink(7).
func parseLink(message []byte) (Link, error) {
	info := nl.DeserializeIfInfomsg(message)
	attributes, err := nl.ParseRouteAttr(message[info.Len():])
	link := Link{
		Index:    int(info.Index),
		Ethernet: info.Type == unix.ARPHRD_ETHER && info.Flags&unix.IFF_NOARP == 0,
		Up:       info.Flags&unix.IFF_UP != 0,
		Carrier:  info.Flags&unix.IFF_LOWER_UP != 0,
	}
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.IFLA_IFNAME:
			link.Name = unix.ByteSliceToString(a.Value)
		case unix.IFLA_ADDRESS:
			if info.Type == unix.ARPHRD_ETHER {
				link.HardwareAddr = a.Value
			}
		case unix.IFLA_MTU:
			link.MTU = binary.NativeEndian.Uint32(a.Value)
		case unix.IFLA_MAX_MTU:
			link.MaxMTU = binary.NativeEndian.Uint32(a.Value)
		}
	}
	return link, err
}

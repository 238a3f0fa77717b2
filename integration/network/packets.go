package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/rfc1035label"
)

// A Packet is a captured frame. Its layers are those of gopacket; for example,
// packet.Layer(layers.LayerTypeIPv4).
type Packet struct {
	gopacket.Packet
	FromGuest bool
}

// Packets returns all packets that were captured so far, in order. It returns no packets before
// QEMU has started.
func (n *Network) Packets() ([]Packet, error) {
	f, err := os.Open(n.capture())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // QEMU has not started
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("captured packets: %w", err)
	}
	var packets []Packet
	for {
		frame, info, err := r.ReadPacketData()
		if err == io.EOF || err == io.ErrUnexpectedEOF { // QEMU may be writing a packet
			return packets, nil
		}
		if err != nil {
			return nil, fmt.Errorf("captured packets: %w", err)
		}
		p := decode(n.frame(frame))
		p.Metadata().CaptureInfo = info
		packets = append(packets, Packet{p, bytes.HasPrefix(p.Data()[6:], n.MAC)})
	}
}

// frame returns the Ethernet frame in b, a captured frame. QEMU before version 8 also captures the
// virtio-net header of devices with checksum offload; frame removes it.
func (n *Network) frame(b []byte) []byte {
	const (
		size     = 12
		maxFlags = 3
		maxType  = 5
	)
	if n.offload == nil || len(b) < size || b[0] > maxFlags || b[1] > maxType {
		return b
	}
	// A frame without a header starts with addresses, which can look like a header.
	for _, mac := range []net.HardwareAddr{n.MAC, n.offload} {
		if bytes.HasPrefix(b, mac) || bytes.HasPrefix(b[6:], mac) {
			return b
		}
	}
	return b[size:]
}

func decode(frame []byte) gopacket.Packet {
	return gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
}

// DHCPv4 returns the packet's DHCP message, or nil if the packet has no well-formed one.
func (p Packet) DHCPv4() *dhcpv4.DHCPv4 {
	udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if !ok || p.Layer(layers.LayerTypeIPv4) == nil ||
		!isPort(udp, dhcpv4.ServerPort, dhcpv4.ClientPort) {
		return nil
	}
	message, err := dhcpv4.FromBytes(udp.Payload)
	if err != nil {
		return nil
	}
	return message
}

// DHCPv6 returns the packet's DHCPv6 message, or nil if the packet has no well-formed one.
func (p Packet) DHCPv6() *dhcpv6.Message {
	udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if !ok || p.Layer(layers.LayerTypeIPv6) == nil ||
		!isPort(udp, dhcpv6.DefaultServerPort, dhcpv6.DefaultClientPort) {
		return nil
	}
	message, err := dhcpv6.MessageFromBytes(udp.Payload)
	if err != nil {
		return nil
	}
	return message
}

// Advert returns the contents of a router advertisement, or nil if the packet is not one.
func (p Packet) Advert() *Advert {
	ra, ok := p.Layer(layers.LayerTypeICMPv6RouterAdvertisement).(*layers.ICMPv6RouterAdvertisement)
	if !ok {
		return nil
	}
	a := &Advert{Managed: ra.Flags&0x80 != 0, Other: ra.Flags&0x40 != 0}
	for _, o := range ra.Options {
		switch b := o.Data; { // without type and length
		case o.Type == layers.ICMPv6OptPrefixInfo && len(b) == 30:
			prefix, _ := netip.AddrFromSlice(b[14:])
			a.Prefix, a.SLAAC = netip.PrefixFrom(prefix, int(b[0])), b[1]&0x40 != 0
		case o.Type == layers.ICMPv6OptMTU && len(b) == 6:
			a.MTU = int(binary.BigEndian.Uint32(b[2:]))
		case o.Type == optRDNSS && len(b) >= 6:
			for address := range slices.Chunk(b[6:], 16) {
				server, _ := netip.AddrFromSlice(address)
				a.DNS = append(a.DNS, server)
			}
		case o.Type == optDNSSL && len(b) >= 6:
			names, err := rfc1035label.FromBytes(b[6:])
			if err != nil {
				continue
			}
			for _, name := range names.Labels {
				if name != "" { // padding
					a.Search = append(a.Search, name)
				}
			}
		}
	}
	return a
}

// Types of options of router advertisements, RFC 8106.
const (
	optRDNSS layers.ICMPv6Opt = 25
	optDNSSL layers.ICMPv6Opt = 31
)

func isPort(udp *layers.UDP, ports ...layers.UDPPort) bool {
	return slices.Contains(ports, udp.DstPort)
}

// UDP is a UDP datagram.
type UDP struct {
	From, To       netip.AddrPort
	FromMAC, ToMAC net.HardwareAddr
	Payload        []byte
}

// Frame returns the Ethernet frame for the datagram in IPv4 or IPv6, with correct checksums. It
// panics if From and To are of different protocols or the payload is longer than 64 KiB.
func (d UDP) Frame() []byte {
	udp := &layers.UDP{SrcPort: layers.UDPPort(d.From.Port()), DstPort: layers.UDPPort(d.To.Port())}
	ethernet := &layers.Ethernet{SrcMAC: d.FromMAC, DstMAC: d.ToMAC}
	var ip gopacket.SerializableLayer
	if d.To.Addr().Is4() {
		ip4 := &layers.IPv4{
			Version:  4,
			TTL:      64,
			Protocol: layers.IPProtocolUDP,
			SrcIP:    d.From.Addr().AsSlice(),
			DstIP:    d.To.Addr().AsSlice(),
		}
		ethernet.EthernetType = layers.EthernetTypeIPv4
		udp.SetNetworkLayerForChecksum(ip4)
		ip = ip4
	} else {
		ip6 := &layers.IPv6{
			Version:    6,
			HopLimit:   64,
			NextHeader: layers.IPProtocolUDP,
			SrcIP:      d.From.Addr().AsSlice(),
			DstIP:      d.To.Addr().AsSlice(),
		}
		ethernet.EthernetType = layers.EthernetTypeIPv6
		udp.SetNetworkLayerForChecksum(ip6)
		ip = ip6
	}
	b := gopacket.NewSerializeBuffer()
	opt := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, opt, ethernet, ip, udp, gopacket.Payload(d.Payload)); err != nil {
		panic(err) // invalid fields; see above
	}
	return b.Bytes()
}

package soak

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/krunbox/krunbox/integration/network"
	"github.com/krunbox/krunbox/integration/virtiofs"
	"github.com/krunbox/krunbox/integration/vm"
)

func TestFileErrors(t *testing.T) {
	for _, tt := range []struct {
		request virtiofs.Request
		want    string // the kinds of faults that are about it
	}{
		{virtiofs.Request{Op: virtiofs.OpIoctl, Path: "."}, ""},
		{virtiofs.Request{Op: virtiofs.OpGetattr, Path: "."}, ""},
		{virtiofs.Request{Op: virtiofs.OpLookup, Path: ".krun_config.json"}, bootFiles},
		{virtiofs.Request{Op: virtiofs.OpRead, Path: "etc/passwd"}, bootFiles},
		{virtiofs.Request{Op: virtiofs.OpRead, Path: "bin/busybox"}, progFiles},
		{virtiofs.Request{Op: virtiofs.OpLookup, Path: "bin"}, progFiles},
		{virtiofs.Request{Op: virtiofs.OpOpen, Path: "workload"}, progFiles},
		{virtiofs.Request{Op: virtiofs.OpWrite, Path: "filled"}, writeFiles},
		{virtiofs.Request{Op: virtiofs.OpMkdir, Path: "data/many"}, writeFiles},
	} {
		for _, kind := range []string{bootFiles, progFiles, writeFiles} {
			if got := fileErrors(kind, tt.request); got != (kind == tt.want) {
				t.Errorf("%s is about %v: %v, want %v", kind, tt.request, got, kind == tt.want)
			}
		}
	}
}

// packets returns what a guest sends: a DHCPDISCOVER, a DHCPREQUEST, a router solicitation, and a
// DHCPv6 message.
func packets(t *testing.T) (list []network.Packet) {
	t.Helper()
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 7}
	decode := func(frame []byte) {
		list = append(list, network.Packet{Packet: gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default), FromGuest: true})
	}
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest} {
		m, err := dhcpv4.New(dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(mac))
		if err != nil {
			t.Fatal(err)
		}
		decode(network.UDP{From: netip.MustParseAddrPort("0.0.0.0:68"), FromMAC: mac,
			To: netip.MustParseAddrPort("255.255.255.255:67"), ToMAC: broadcast, Payload: m.ToBytes()}.Frame())
	}
	solicit, err := dhcpv6.NewSolicit(mac)
	if err != nil {
		t.Fatal(err)
	}
	decode(network.UDP{From: netip.MustParseAddrPort("[fe80::7]:546"), FromMAC: mac,
		To: netip.MustParseAddrPort("[ff02::1:2]:547"), ToMAC: net.HardwareAddr{0x33, 0x33, 0, 1, 0, 2}, Payload: solicit.ToBytes()}.Frame())

	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: net.ParseIP("fe80::7"), DstIP: net.ParseIP("ff02::2")}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeRouterSolicitation, 0)}
	icmp.SetNetworkLayerForChecksum(ip)
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: mac, DstMAC: net.HardwareAddr{0x33, 0x33, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv6},
		ip, icmp, gopacket.Payload(make([]byte, 4))); err != nil {
		t.Fatal(err)
	}
	decode(b.Bytes())
	return list
}

// TestMutator checks that each packet of the guest has a valid answer, and that mutations change it as
// they say.
func TestMutator(t *testing.T) {
	for i, p := range packets(t) {
		for _, what := range append([]string{"all"}, mutations...) {
			m := &mutator{what: what, random: Fault{Seed: 1}.random(), segment: &network.Segment{HostMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}}
			valid := m.valid(p)
			if len(valid) != 1 {
				t.Fatalf("%d valid answers to packet %d, want 1", len(valid), i)
			}
			whole := m.frame(valid[0], netip.Addr{}, nil)
			same, other, late := 0, 0, 0
			for range 200 {
				for _, reply := range m.answer(p) {
					switch {
					case reply.After > 0:
						late++
					case len(reply.Frame) == len(whole) && bytes.Equal(reply.Frame[:12], whole[:12]):
						same++
					default:
						other++
					}
				}
			}
			if same == 0 {
				t.Errorf("%s: no answer to packet %d is as it should be", what, i)
			}
			if wantOther := what != "repeated" && what != "late" && what != "lost" && what != "bytes changed" && what != "frames changed"; other == 0 && wantOther {
				t.Errorf("%s: all answers to packet %d have the length and the addresses of the valid one", what, i)
			}
			if what == "late" && late == 0 {
				t.Errorf("%s: no answer to packet %d is late", what, i)
			}
		}
	}
}

func TestPorts(t *testing.T) {
	for _, what := range []string{unconnected, unread, closed, flooded} {
		r := &rig{ports: map[string]*kept{}}
		for _, name := range []string{reportPort, stdinPort, stdoutPort, stderrPort} {
			r.port(vm.Port{Name: name})
		}
		if err := applyPorts(Fault{What: what, N: 10, Seed: 3}, r); err != nil {
			t.Fatal(err)
		}
		changed := 0
		for _, port := range r.cfg.Ports {
			if n, err := port.Out.Write(make([]byte, 20)); port.Unconnected || port.Unread || port.In != nil || err == vm.ErrClosePort {
				changed++
				if port.Name == reportPort {
					t.Errorf("%s: the report's port is changed, write = %d, %v", what, n, err)
				}
			}
		}
		if changed == 0 {
			t.Errorf("%s: no port is changed", what)
		}
	}
}

func TestKept(t *testing.T) {
	var k kept
	for range 5 {
		io.WriteString(&k, "first")
	}
	k.Write(bytes.Repeat([]byte("x"), 3*keptBytes))
	io.WriteString(&k, "last")
	if got := k.bytes(); len(got) > 2*keptBytes || !bytes.HasPrefix(got, []byte("firstfirst")) || !bytes.HasSuffix(got, []byte("xlast")) {
		t.Errorf("bytes() = %d bytes, %.20q ... %q, want the first and the last", len(got), got, got[len(got)-5:])
	}
}

func TestCopySparse(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	want := append(append(make([]byte, 200_000), "text"...), make([]byte, 100_000)...)
	if err := os.WriteFile(from, want, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copySparse(to, from); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, want) {
		t.Errorf("copy has %d bytes, %v, want the %d of the file", len(got), err, len(want))
	}
}

package netif

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/inet"
)

var (
	setMTU          = Change{Kind: SetMTU, Index: 2, MTU: 1400}
	setAddress      = address(IfAddr{prefix("10.0.2.15/24"), addr("10.0.2.255"), time.Hour, time.Minute, 0})
	setAddress6     = address(IfAddr{prefix("2001:db8::7/128"), addr(""), Forever, Forever, 0})
	setRoute        = route(Route{prefix("0.0.0.0/0"), addr("10.0.2.2"), addr("10.0.2.15"), 100, ProtocolDHCP})
	setRouteOnLink  = route(Route{prefix("10.0.0.1/32"), addr(""), addr(""), 100, ProtocolDHCP})
	setRouteOnLink6 = route(Route{prefix("2001:db8::/64"), addr(""), addr(""), 100, ProtocolDHCP})
)

func address(a IfAddr) Change { return Change{Kind: SetAddress, Index: 2, Address: a} }
func route(r Route) Change    { return Change{Kind: SetRoute, Index: 2, Route: r} }

func deletion(c Change) Change {
	c.Kind++
	return c
}

// TestRequestBytes has each request byte for byte, as a little-endian machine sends it.
func TestRequestBytes(t *testing.T) {
	if !littleEndian() {
		t.Skip("the bytes are those of a little-endian machine")
	}
	for _, c := range []struct {
		name    string
		request func(b *batch)
		want    string
	}{
		{"setUp", func(b *batch) { b.setUp("eth0") }, `
			2c000000 1000 0100 07000000 00000000  00 00 0000 00000000 01000000 01000000  0900 0300 6574683000 000000`},
		{"getLink", func(b *batch) { b.getLink("eth12") }, `
			34000000 1200 0100 07000000 00000000  00 00 0000 00000000 00000000 00000000
			0a00 0300 657468313200 0000  0800 1d00 08000000`},
		{"set MTU", func(b *batch) { b.change(setMTU) }, `
			28000000 1000 0100 07000000 00000000  00 00 0000 02000000 00000000 00000000  0800 0400 78050000`},
		{"set address", func(b *batch) { b.change(setAddress) }, `
			3c000000 1400 0105 07000000 00000000  02 18 00 00 02000000
			0800 0200 0a00020f  0800 0400 0a0002ff  1400 0600 3c000000 100e0000 00000000 00000000`},
		{"delete address", func(b *batch) { b.change(deletion(setAddress)) }, `
			20000000 1500 0100 07000000 00000000  02 18 00 00 02000000  0800 0200 0a00020f`},
		{"set IPv6 address", func(b *batch) { b.change(setAddress6) }, `
			48000000 1400 0105 07000000 00000000  0a 80 00 00 02000000
			1400 0200 20010db8000000000000000000000007  1400 0600 ffffffff ffffffff 00000000 00000000  0800 0800 00020000`},
		{"set route", func(b *batch) { b.change(setRoute) }, `
			44000000 1800 0105 07000000 00000000  02 00 00 00 fe 10 00 01 00000000
			0800 0100 00000000  0800 0400 02000000  0800 0600 64000000  0800 0500 0a000202  0800 0700 0a00020f`},
		{"set route on link", func(b *batch) { b.change(setRouteOnLink) }, `
			34000000 1800 0105 07000000 00000000  02 20 00 00 fe 10 fd 01 00000000
			0800 0100 0a000001  0800 0400 02000000  0800 0600 64000000`},
		{"delete route on link, acknowledged", func(b *batch) { b.change(deletion(setRouteOnLink)); b.acknowledge() }, `
			34000000 1900 0500 07000000 00000000  02 20 00 00 fe 10 fd 01 00000000
			0800 0100 0a000001  0800 0400 02000000  0800 0600 64000000`},
		{"set IPv6 route on link", func(b *batch) { b.change(setRouteOnLink6) }, `
			40000000 1800 0105 07000000 00000000  0a 40 00 00 fe 10 00 01 00000000
			1400 0100 20010db8000000000000000000000000  0800 0400 02000000  0800 0600 64000000`},
	} {
		b := batch{first: 7}
		c.request(&b)
		want, err := hex.DecodeString(strings.Join(strings.Fields(c.want), ""))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.bytes, want) {
			t.Errorf("%s =\n%x, want\n%x", c.name, b.bytes, want)
		}
	}
}

func littleEndian() bool { return nl.NativeEndian().Uint16([]byte{1, 0}) == 1 }

func attributes(t *testing.T, b []byte) map[uint16][]byte {
	t.Helper()
	attrs, err := nl.ParseRouteAttr(b)
	if err != nil {
		t.Fatal(err)
	}
	values := map[uint16][]byte{}
	for _, a := range attrs {
		values[a.Attr.Type] = a.Value
	}
	return values
}

// TestRequestsParsed has the requests parsed by a library that nobody here wrote.
func TestRequestsParsed(t *testing.T) {
	var b batch
	b.reset()
	changes := []Change{setMTU, setAddress, setAddress6, deletion(setAddress), deletion(setAddress6),
		setRoute, setRouteOnLink, setRouteOnLink6, deletion(setRoute)}
	for _, c := range changes {
		b.change(c)
	}
	b.acknowledge()
	messages, err := syscall.ParseNetlinkMessage(b.bytes)
	if err != nil || len(messages) != len(changes) || b.count != len(changes) {
		t.Fatalf("%d messages, count %d, %v, want %d", len(messages), b.count, err, len(changes))
	}
	for i, m := range messages {
		c := changes[i]
		if m.Header.Seq != uint32(i) || m.Header.Pid != 0 || (m.Header.Flags&unix.NLM_F_ACK != 0) != (i == len(messages)-1) {
			t.Errorf("%s: header %+v", c, m.Header)
		}
		switch m.Header.Type {
		case unix.RTM_NEWLINK:
			h := nl.DeserializeIfInfomsg(m.Data)
			attrs := attributes(t, m.Data[unix.SizeofIfInfomsg:])
			if h.Index != int32(c.Index) || nl.NativeEndian().Uint32(attrs[unix.IFLA_MTU]) != c.MTU || len(attrs) != 1 {
				t.Errorf("%s: %+v, %v", c, h, attrs)
			}
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			h := nl.DeserializeIfAddrmsg(m.Data)
			attrs := attributes(t, m.Data[unix.SizeofIfAddrmsg:])
			got := IfAddr{
				Prefix:    inet.Prefix{Addr: inet.AddrFrom(attrs[unix.IFA_LOCAL]), Bits: int(h.Prefixlen)},
				Broadcast: inet.AddrFrom(attrs[unix.IFA_BROADCAST]),
			}
			want := c.Address
			if c.Kind == DeleteAddress {
				want = IfAddr{Prefix: want.Prefix}
			} else {
				lifetimes := attrs[unix.IFA_CACHEINFO] // struct ifa_cacheinfo
				got.Preferred = lifetime(nl.NativeEndian().Uint32(lifetimes))
				got.Valid = lifetime(nl.NativeEndian().Uint32(lifetimes[4:]))
			}
			if h.Index != uint32(c.Index) || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: index %d, %+v, want %+v", c, h.Index, got, want)
			}
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			h := nl.DeserializeRtMsg(m.Data)
			attrs := attributes(t, m.Data[unix.SizeofRtMsg:])
			got := Route{
				Destination: inet.Prefix{Addr: inet.AddrFrom(attrs[unix.RTA_DST]), Bits: int(h.Dst_len)},
				Gateway:     inet.AddrFrom(attrs[unix.RTA_GATEWAY]), Source: inet.AddrFrom(attrs[unix.RTA_PREFSRC]),
				Metric: nl.NativeEndian().Uint32(attrs[unix.RTA_PRIORITY]), Protocol: h.Protocol,
			}
			index := nl.NativeEndian().Uint32(attrs[unix.RTA_OIF])
			if h.Table != unix.RT_TABLE_MAIN || h.Type != unix.RTN_UNICAST || index != uint32(c.Index) || got != c.Route {
				t.Errorf("%s: %+v, index %d, %+v", c, h.RtMsg, index, got)
			}
		default:
			t.Errorf("%s: type %d", c, m.Header.Type)
		}
	}
}

func TestLifetime(t *testing.T) {
	for d, want := range map[time.Duration]uint32{
		0: 0, -time.Second: 0, 1: 1, time.Second: 1, time.Second + 1: 2, (forever - 1) * time.Second: forever - 1,
		forever * time.Second: forever, (forever + 9) * time.Second: forever, Forever: forever,
	} {
		if got := seconds(d); got != want {
			t.Errorf("seconds(%v) = %d, want %d", d, got, want)
		}
	}
	for _, s := range []uint32{0, 1, 3600, forever - 1, forever} {
		if got := seconds(lifetime(s)); got != s {
			t.Errorf("seconds(lifetime(%d)) = %d", s, got)
		}
	}
}

// answer is a message as the kernel would send it, in the encoding of a library that nobody here wrote.
func answer(kind, flags int, data ...nl.NetlinkRequestData) []byte {
	r := nl.NewNetlinkRequest(kind, flags)
	r.Flags, r.Seq = uint16(flags), 7
	for _, d := range data {
		r.AddData(d)
	}
	return r.Serialize()
}

func linkAnswer() []byte {
	h := nl.NewIfInfomsg(unix.AF_UNSPEC)
	h.Type, h.Index, h.Flags = unix.ARPHRD_ETHER, 2, unix.IFF_UP|unix.IFF_LOWER_UP|unix.IFF_BROADCAST
	return answer(unix.RTM_NEWLINK, 0, h,
		nl.NewRtAttr(unix.IFLA_IFNAME, []byte("eth0\x00")),
		nl.NewRtAttr(unix.IFLA_ADDRESS, []byte{2, 0, 0, 0, 0, 9}),
		nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(1400)),
		nl.NewRtAttr(unix.IFLA_MAX_MTU, nl.Uint32Attr(9000)),
		nl.NewRtAttr(999, []byte{1}))
}

func addrAnswer() []byte {
	h := nl.NewIfAddrmsg(unix.AF_INET)
	h.Prefixlen, h.Index, h.IfAddrmsg.Flags = 24, 2, unix.IFA_F_SECONDARY
	lifetimes := slices.Concat(nl.Uint32Attr(60), nl.Uint32Attr(forever), make([]byte, 8))
	return answer(unix.RTM_NEWADDR, unix.NLM_F_MULTI, h,
		nl.NewRtAttr(unix.IFA_ADDRESS, []byte{10, 0, 2, 1}),
		nl.NewRtAttr(unix.IFA_LOCAL, []byte{10, 0, 2, 15}),
		nl.NewRtAttr(unix.IFA_BROADCAST, []byte{10, 0, 2, 255}),
		nl.NewRtAttr(unix.IFA_CACHEINFO, lifetimes),
		nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(0x240)))
}

func routeAnswer(change func(h *nl.RtMsg)) []byte {
	h := nl.NewRtMsg()
	h.Family, h.Dst_len, h.Protocol = unix.AF_INET, 16, unix.RTPROT_STATIC
	change(h)
	return answer(unix.RTM_NEWROUTE, unix.NLM_F_MULTI, h,
		nl.NewRtAttr(unix.RTA_DST, []byte{10, 1, 0, 0}),
		nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(2)),
		nl.NewRtAttr(unix.RTA_GATEWAY, []byte{10, 0, 2, 2}),
		nl.NewRtAttr(unix.RTA_PREFSRC, []byte{10, 0, 2, 15}),
		nl.NewRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(5)))
}

func TestParse(t *testing.T) {
	stream := append(linkAnswer(), addrAnswer()...)
	stream = append(stream, routeAnswer(func(*nl.RtMsg) {})...)
	stream = append(stream, answer(unix.NLMSG_DONE, unix.NLM_F_MULTI)...)
	link, rest, ok := nextMessage(stream)
	wantLink := Link{Index: 2, Name: "eth0", HardwareAddr: []byte{2, 0, 0, 0, 0, 9}, Type: unix.ARPHRD_ETHER, MTU: 1400, MaxMTU: 9000,
		Flags: unix.IFF_UP | unix.IFF_LOWER_UP | unix.IFF_BROADCAST, Up: true, Carrier: true}
	if l, parsed := parseLink(link); !ok || !parsed || !reflect.DeepEqual(l, wantLink) {
		t.Errorf("parseLink() = %+v, %v, want %+v", l, parsed, wantLink)
	}
	address, rest, ok := nextMessage(rest)
	wantAddr := IfAddr{prefix("10.0.2.15/24"), addr("10.0.2.255"), Forever, time.Minute, 0x240}
	if index, a, parsed := parseIfAddr(address); !ok || !parsed || index != 2 || a != wantAddr {
		t.Errorf("parseIfAddr() = %d, %+v, %v, want 2, %+v", index, a, parsed, wantAddr)
	}
	route, rest, ok := nextMessage(rest)
	wantRoute := Route{prefix("10.1.0.0/16"), addr("10.0.2.2"), addr("10.0.2.15"), 5, unix.RTPROT_STATIC}
	if index, r, parsed := parseRoute(route); !ok || !parsed || index != 2 || r != wantRoute {
		t.Errorf("parseRoute() = %d, %+v, %v, want 2, %+v", index, r, parsed, wantRoute)
	}
	done, rest, ok := nextMessage(rest)
	if !ok || len(rest) != 0 || !link.ends() || address.ends() || route.ends() || !done.ends() || done.seq != 7 {
		t.Errorf("last of four messages: %+v, %v; the others end: %v %v %v", done, ok, link.ends(), address.ends(), route.ends())
	}
	for name, change := range map[string]func(h *nl.RtMsg){
		"local table": func(h *nl.RtMsg) { h.Table = unix.RT_TABLE_LOCAL },
		"broadcast":   func(h *nl.RtMsg) { h.Type = unix.RTN_BROADCAST },
		"cached":      func(h *nl.RtMsg) { h.Flags = unix.RTM_F_CLONED },
		"length 33":   func(h *nl.RtMsg) { h.Dst_len = 33 },
	} {
		m, _, _ := nextMessage(routeAnswer(change))
		if _, r, ok := parseRoute(m); ok {
			t.Errorf("%s: parseRoute() = %+v, want none", name, r)
		}
	}
	for _, m := range []message{link, address, route, done} {
		_, isLink := parseLink(m)
		_, _, isAddr := parseIfAddr(m)
		_, _, isRoute := parseRoute(m)
		got := [3]bool{isLink, isAddr, isRoute}
		if want := [3]bool{m.kind == unix.RTM_NEWLINK, m.kind == unix.RTM_NEWADDR, m.kind == unix.RTM_NEWROUTE}; got != want {
			t.Errorf("message of type %d is link, address, route: %v, want %v", m.kind, got, want)
		}
	}
}

func TestErrno(t *testing.T) {
	for _, c := range []struct {
		m    message
		want unix.Errno
	}{
		{message{kind: unix.NLMSG_ERROR, body: binaryErrno(unix.ENETUNREACH)}, unix.ENETUNREACH},
		{message{kind: unix.NLMSG_ERROR, body: binaryErrno(0)}, 0},
		{message{kind: unix.NLMSG_DONE, body: binaryErrno(unix.EBUSY)}, unix.EBUSY},
		{message{kind: unix.NLMSG_DONE}, 0},
		{message{kind: unix.RTM_NEWLINK, body: binaryErrno(unix.EBUSY)}, 0},
	} {
		if got := c.m.errno(); got != c.want {
			t.Errorf("errno of %+v = %v, want %v", c.m, got, c.want)
		}
	}
}

func binaryErrno(e unix.Errno) []byte { return nl.Uint32Attr(uint32(-int32(e))) }

// FuzzParse compares with package syscall, and looks for panics and for what is out of bounds.
func FuzzParse(f *testing.F) {
	f.Add(append(linkAnswer(), addrAnswer()...))
	f.Add(routeAnswer(func(*nl.RtMsg) {}))
	f.Add(append(answer(unix.NLMSG_ERROR, 0), 1, 2, 3))
	// Lengths of a message and of its first attribute that are more than there is, all there is, and less than they can be.
	const first = unix.SizeofNlMsghdr + unix.SizeofIfAddrmsg
	for n := uint16(first + unix.SizeofNlAttr); n < first+9; n++ {
		b := addrAnswer()[:n]
		for length := range n + 5 {
			nl.NativeEndian().PutUint16(b, length)
			f.Add(bytes.Clone(b))
		}
		nl.NativeEndian().PutUint16(b, n)
		for length := range n - first + 5 {
			nl.NativeEndian().PutUint16(b[first:], length)
			f.Add(bytes.Clone(b))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var messages []message
		rest := b
		for len(rest) > 0 {
			m, r, ok := nextMessage(rest)
			if !ok {
				break
			}
			if len(r) > len(rest)-unix.SizeofNlMsghdr {
				t.Fatalf("%d bytes after %d", len(r), len(rest))
			}
			messages, rest = append(messages, m), r
			m.errno()
			if l, ok := parseLink(m); ok && (len(l.Name) > len(m.body) || strings.Contains(l.Name, "\x00")) {
				t.Errorf("link name %q", l.Name)
			}
			if _, a, ok := parseIfAddr(m); ok && !a.Prefix.IsValid() {
				t.Errorf("address %+v", a)
			}
			if _, r, ok := parseRoute(m); ok && !r.Destination.IsValid() {
				t.Errorf("route %+v", r)
			}
		}
		if len(b)%4 != 0 {
			return // package syscall would panic
		}
		want, err := syscall.ParseNetlinkMessage(b)
		if err != nil {
			return
		}
		if len(want) != len(messages) {
			t.Fatalf("%d messages, want %d", len(messages), len(want))
		}
		for i, m := range messages {
			w := want[i]
			if !reflect.DeepEqual(m, message{w.Header.Type, w.Header.Flags, w.Header.Seq, w.Data}) {
				t.Errorf("message %+v, want %+v", m, w)
			}
		}
	})
}

package dhcp4

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

// reframe swaps the ports of a client's frame, so that it becomes one of a server. The checksum
// stays correct.
func reframe(b []byte) []byte {
	binary.BigEndian.PutUint16(b[20:], serverPort)
	binary.BigEndian.PutUint16(b[22:], clientPort)
	return b
}

func TestAppendFrame(t *testing.T) {
	for _, payload := range [][]byte{
		nil, {1}, {1, 2, 3}, bytes.Repeat([]byte{0xff}, 300), append(build(255), make([]byte, 59)...),
	} {
		b := AppendFrame([]byte("before"), addr("10.0.2.15"), addr("255.255.255.255"), payload)
		b = b[len("before"):]
		// These checks do not rely on ParseFrame.
		n := len(payload)
		ip := []byte{0x45, 0, byte((28 + n) >> 8), byte(28 + n), 0, 0, 0x40, 0, 64, 17}
		addresses := []byte{10, 0, 2, 15, 255, 255, 255, 255}
		udp := []byte{0, 68, 0, 67, byte((8 + n) >> 8), byte(8 + n)}
		if len(b) != 28+n || !bytes.Equal(b[:10], ip) || !bytes.Equal(b[12:20], addresses) ||
			!bytes.Equal(b[20:26], udp) || !bytes.Equal(b[28:], payload) {
			t.Errorf("AppendFrame of %d bytes = %x", n, b)
		}
		if sum(b[:20]) != 0xffff {
			t.Errorf("IP header %x has a wrong checksum", b[:20])
		}
		pseudo := append([]byte{10, 0, 2, 15, 255, 255, 255, 255, 0, 17, b[24], b[25]}, b[20:]...)
		if sum(pseudo) != 0xffff || b[26] == 0 && b[27] == 0 {
			t.Errorf("UDP datagram %x has a wrong checksum", b[20:])
		}
	}
	// A checksum of 0 is sent as 0xffff.
	for i := range 0x10000 {
		b := AppendFrame(nil, netip.Addr{}, limitedBroadcast(), []byte{byte(i >> 8), byte(i)})
		if b[26] == 0 && b[27] == 0 {
			t.Fatalf("the datagram of %x has no checksum", i)
		}
		if _, ok := ParseFrame(reframe(b), false); !ok {
			t.Fatalf("the datagram of %x has a wrong checksum", i)
		}
	}
}

// sum returns the one's complement sum of the 16-bit words in b, by other means than Checksum. It
// is 0xffff if b contains its correct checksum.
func sum(b []byte) int {
	n := 0
	for i, c := range b {
		n += int(c) << (8 * (1 - i%2))
	}
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	return n
}

func TestChecksum(t *testing.T) {
	// A common example of an IPv4 header, whose checksum is b861.
	header := []byte{
		0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7,
	}
	if got := Checksum(header); got != 0xb861 {
		t.Errorf("Checksum(%x) = %#x, want 0xb861", header, got)
	}
	header[10], header[11] = 0xb8, 0x61
	if got := Checksum(header[:8], header[8:]); got != 0 {
		t.Errorf("Checksum(%x) = %#x, want 0", header, got)
	}
	if got, want := Checksum([]byte{1, 2, 3}), Checksum([]byte{1, 2}, []byte{3, 0}); got != want {
		t.Errorf("Checksum of an odd number of bytes = %#x, want %#x", got, want)
	}
}

var framePayload = []byte("a reply")

func rightFrame() []byte {
	return reframe(AppendFrame(nil, addr("10.0.2.2"), addr("10.0.2.15"), framePayload))
}

// withIP returns a frame whose IP header was changed, with a correct checksum.
func withIP(change func(b []byte) []byte) []byte {
	b := change(rightFrame())
	size := min(max(int(b[0]&0xf)*4, 20), len(b))
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], Checksum(b[:size]))
	return b
}

// withIPByte returns a frame with one changed byte in the IP header and a correct checksum.
func withIPByte(at int, value byte) []byte {
	return withIP(func(b []byte) []byte { b[at] = value; return b })
}

// withUDP returns a frame with changed bytes at an offset in the UDP datagram.
func withUDP(at int, value ...byte) []byte {
	b := rightFrame()
	copy(b[20+at:], value)
	return b
}

func TestParseFrame(t *testing.T) {
	ipOptions := withIP(func(b []byte) []byte {
		b = append(b[:20:20], append([]byte{1, 1, 1, 0}, b[20:]...)...)
		b[0], b[3] = 0x46, b[3]+4
		return b
	})
	wrongIPChecksum := rightFrame()
	wrongIPChecksum[8]--
	for _, c := range []struct {
		name   string
		b      []byte
		ok     bool
		okPart bool // with a partial checksum
	}{
		{"right", rightFrame(), true, true},
		{"with padding of the link", append(rightFrame(), make([]byte, 20)...), true, true},
		{"with IP options", ipOptions, true, true},
		{"no UDP checksum", withUDP(6, 0, 0), true, true},
		{"wrong UDP checksum", withUDP(6, 1, 2), false, true},
		{"changed payload", withUDP(8, 'A'), false, true},
		{"other source port", withUDP(0, 0x12, 0x34, 0, 68, 0, 15, 0, 0), true, true},
		{"other destination port", withUDP(2, 0, 67), false, false},
		{"UDP length too small", withUDP(4, 0, 7), false, false},
		{"UDP length too large", withUDP(4, 0, 16), false, false},
		{"UDP length smaller than the packet", withUDP(4, 0, 14, 0, 0), true, true},
		{"IPv6", withIPByte(0, 0x65), false, false},
		{"IP header of 16 bytes", withIPByte(0, 0x44), false, false},
		{"IP header longer than the packet", withIPByte(0, 0x4f), false, false},
		{"TCP", withIPByte(9, 6), false, false},
		{"first fragment", withIPByte(6, 0x20), false, false},
		{"other fragment", withIPByte(7, 1), false, false},
		{"total length too large", withIPByte(3, 36), false, false},
		{"total length without UDP header", withIPByte(3, 27), false, false},
		{"wrong IP checksum", wrongIPChecksum, false, false},
		{"cut off", rightFrame()[:30], false, false},
		{"cut off in the UDP header", rightFrame()[:24], false, false},
		{"cut off in the IP header", rightFrame()[:19], false, false},
		{"nothing", nil, false, false},
	} {
		for partial, want := range map[bool]bool{false: c.ok, true: c.okPart} {
			d, ok := ParseFrame(c.b, partial)
			if ok != want {
				t.Errorf("%s: ParseFrame(partialChecksum %v) = %v, want %v", c.name, partial, ok, want)
			}
			if !ok {
				continue
			}
			inside := bytes.Contains(c.b, d.Payload) && len(d.Payload) >= 6
			if !inside || d.Source != addr("10.0.2.2") {
				t.Errorf("%s: payload %q from %v", c.name, d.Payload, d.Source)
			}
		}
	}
	if d, _ := ParseFrame(append(rightFrame(), 0, 0), false); !bytes.Equal(d.Payload, framePayload) {
		t.Errorf("payload = %q, want %q", d.Payload, framePayload)
	}
}

func TestParseFrameDoesNotAllocate(t *testing.T) {
	b := rightFrame()
	if n := testing.AllocsPerRun(100, func() { ParseFrame(b, false) }); n != 0 {
		t.Errorf("ParseFrame allocates %v times, want 0", n)
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add(rightFrame(), false)
	f.Fuzz(func(t *testing.T, b []byte, partial bool) {
		d, ok := ParseFrame(b, partial)
		if !ok {
			if d.Payload != nil {
				t.Errorf("ParseFrame(%x) = %q, false, want no payload", b, d.Payload)
			}
			return
		}
		inside := bytes.Contains(b, d.Payload) && len(d.Payload)+ipHeader+udpHeader <= len(b)
		if !inside || !d.Source.Is4() {
			t.Errorf("payload of %d bytes from %v in %d bytes", len(d.Payload), d.Source, len(b))
		}
		again := reframe(AppendFrame(nil, d.Source, addr("10.0.2.15"), d.Payload))
		e, ok := ParseFrame(again, false)
		if !ok || !bytes.Equal(e.Payload, d.Payload) || e.Source != d.Source {
			t.Errorf("ParseFrame(AppendFrame(%v)) = %v, %v", d, e, ok)
		}
	})
}

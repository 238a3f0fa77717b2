package dhcp4

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/krunbox/krunbox/pkg/inet"
)

// reframe makes a client's frame one of a server, with right checksums.
func reframe(b []byte) []byte {
	binary.BigEndian.PutUint16(b[20:], serverPort)
	binary.BigEndian.PutUint16(b[22:], clientPort)
	return b // the sum of both is the same
}

func TestAppendFrame(t *testing.T) {
	for _, payload := range [][]byte{nil, {1}, {1, 2, 3}, bytes.Repeat([]byte{0xff}, 300), appendEnd(build())} {
		b := AppendFrame([]byte("before"), addr("10.0.2.15"), addr("255.255.255.255"), payload)[len("before"):]
		// Checked by hand, and not by ParseFrame.
		want := []byte{0x45, 0, byte((28 + len(payload)) >> 8), byte(28 + len(payload)), 0, 0, 0x40, 0, 64, 17}
		if len(b) != 28+len(payload) || !bytes.Equal(b[:10], want) || !bytes.Equal(b[12:20], []byte{10, 0, 2, 15, 255, 255, 255, 255}) ||
			!bytes.Equal(b[20:26], []byte{0, 68, 0, 67, byte((8 + len(payload)) >> 8), byte(8 + len(payload))}) || !bytes.Equal(b[28:], payload) {
			t.Errorf("frame of %d bytes = %x", len(payload), b)
		}
		if sum(b[:20]) != 0xffff {
			t.Errorf("IP header %x has a wrong checksum", b[:20])
		}
		pseudo := append([]byte{10, 0, 2, 15, 255, 255, 255, 255, 0, 17, b[24], b[25]}, b[20:]...)
		if sum(pseudo) != 0xffff || b[26] == 0 && b[27] == 0 {
			t.Errorf("UDP datagram %x has a wrong checksum", b[20:])
		}
	}
	// A checksum that comes out as 0 is sent as ffff.
	for i := range 0x10000 {
		b := AppendFrame(nil, inet.Addr{}, limitedBroadcast(), []byte{byte(i >> 8), byte(i)})
		if b[26] == 0 && b[27] == 0 {
			t.Fatalf("the datagram of %x has no checksum", i)
		}
		if _, ok := ParseFrame(reframe(b), false); !ok {
			t.Fatalf("the datagram of %x has a wrong checksum", i)
		}
	}
}

// sum is the one's complement sum of 16-bit words, written down once more: ffff where a checksum in b is right.
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

func TestParseFrame(t *testing.T) {
	payload := []byte("a reply")
	right := func() []byte { return reframe(AppendFrame(nil, addr("10.0.2.2"), addr("10.0.2.15"), payload)) }
	// header changes the IP header and makes its checksum right again.
	header := func(change func(b []byte) []byte) []byte {
		b := change(right())
		size := min(max(int(b[0]&0xf)*4, 20), len(b))
		b[10], b[11] = 0, 0
		binary.BigEndian.PutUint16(b[10:], inet.Checksum(b[:size]))
		return b
	}
	udp := func(at int, value ...byte) []byte {
		b := right()
		copy(b[20+at:], value)
		return b
	}
	for _, c := range []struct {
		name     string
		b        []byte
		ok, okIf bool // okIf: with a partial checksum
	}{
		{"right", right(), true, true},
		{"with padding of the link", append(right(), make([]byte, 20)...), true, true},
		{"with IP options", header(func(b []byte) []byte {
			b = append(b[:20:20], append([]byte{1, 1, 1, 0}, b[20:]...)...)
			b[0], b[3] = 0x46, b[3]+4
			return b
		}), true, true},
		{"no UDP checksum", udp(6, 0, 0), true, true},
		{"wrong UDP checksum", udp(6, 1, 2), false, true},
		{"changed payload", udp(8, 'A'), false, true},
		{"other source port", udp(0, 0x12, 0x34, 0, 68, 0, 15, 0, 0), true, true},
		{"other destination port", udp(2, 0, 67), false, false},
		{"UDP length too small", udp(4, 0, 7), false, false},
		{"UDP length too large", udp(4, 0, 16), false, false},
		{"UDP length smaller than the packet", udp(4, 0, 14, 0, 0), true, true},
		{"IPv6", header(func(b []byte) []byte { b[0] = 0x65; return b }), false, false},
		{"IP header of 16 bytes", header(func(b []byte) []byte { b[0] = 0x44; return b }), false, false},
		{"IP header longer than the packet", header(func(b []byte) []byte { b[0] = 0x4f; return b }), false, false},
		{"TCP", header(func(b []byte) []byte { b[9] = 6; return b }), false, false},
		{"first fragment", header(func(b []byte) []byte { b[6] = 0x20; return b }), false, false},
		{"other fragment", header(func(b []byte) []byte { b[7] = 1; return b }), false, false},
		{"total length too large", header(func(b []byte) []byte { b[3]++; return b }), false, false},
		{"total length without UDP header", header(func(b []byte) []byte { b[3] = 27; return b }), false, false},
		{"wrong IP checksum", func() []byte { b := right(); b[8]--; return b }(), false, false},
		{"cut off", right()[:30], false, false},
		{"cut off in the UDP header", right()[:24], false, false},
		{"cut off in the IP header", right()[:19], false, false},
		{"nothing", nil, false, false},
	} {
		for partial, want := range map[bool]bool{false: c.ok, true: c.okIf} {
			d, ok := ParseFrame(c.b, partial)
			if ok != want {
				t.Errorf("%s: ParseFrame(partial checksum: %v) = %v, want %v", c.name, partial, ok, want)
			}
			if ok && (!bytes.Contains(c.b, d.Payload) || len(d.Payload) < 6 || d.Source != addr("10.0.2.2")) {
				t.Errorf("%s: payload %q from %v", c.name, d.Payload, d.Source)
			}
		}
	}
	if d, _ := ParseFrame(append(right(), 0, 0), false); !bytes.Equal(d.Payload, payload) {
		t.Errorf("payload = %q, want %q", d.Payload, payload)
	}
	b := right()
	if n := testing.AllocsPerRun(100, func() { ParseFrame(b, false) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add(reframe(AppendFrame(nil, addr("10.0.2.2"), addr("10.0.2.15"), []byte("payload"))), false)
	f.Fuzz(func(t *testing.T, b []byte, partial bool) {
		d, ok := ParseFrame(b, partial)
		if !ok {
			if d.Payload != nil {
				t.Error("a payload of what is no datagram")
			}
			return
		}
		if len(d.Payload)+ipHeader+udpHeader > len(b) || !bytes.Contains(b, d.Payload) || !d.Source.Is4() {
			t.Errorf("payload of %d bytes from %v in %d bytes", len(d.Payload), d.Source, len(b))
		}
		again := reframe(AppendFrame(nil, d.Source, addr("10.0.2.15"), d.Payload))
		if e, ok := ParseFrame(again, false); !ok || !bytes.Equal(e.Payload, d.Payload) || e.Source != d.Source {
			t.Errorf("its own frame is parsed as %v, %v", e, ok)
		}
	})
}

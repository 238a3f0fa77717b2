// Package inet has the types and encodings that IPv4, IPv6 and the protocols which configure them share: addresses,
// prefixes, domain names, the Internet checksum.
//
// Addr and Prefix are to PID 1 what net/netip's are to other programs. That package, and package net even more, would be
// initialised in every boot: 4 ms of the bench's 110.
package inet

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// Addr is an IPv4 or IPv6 address without a zone. Its zero value is no address.
type Addr struct {
	bytes [16]byte // IPv4: the first four
	size  uint8    // 0, 4 or 16
}

// Addr4 returns an IPv4 address.
func Addr4(b [4]byte) Addr {
	a := Addr{size: 4}
	copy(a.bytes[:], b[:])
	return a
}

// Addr6 returns an IPv6 address. IPv4-mapped ones stay IPv6.
func Addr6(b [16]byte) Addr { return Addr{b, 16} }

// AddrFrom returns the address in the 4 or 16 bytes of b; any other number of them is no address.
func AddrFrom(b []byte) Addr {
	switch len(b) {
	case 4:
		return Addr4([4]byte(b))
	case 16:
		return Addr6([16]byte(b))
	}
	return Addr{}
}

// IsValid tells whether a is an address.
func (a Addr) IsValid() bool { return a.size != 0 }

// Is4 tells whether a is an IPv4 address.
func (a Addr) Is4() bool { return a.size == 4 }

// Is6 tells whether a is an IPv6 address.
func (a Addr) Is6() bool { return a.size == 16 }

// Bytes returns the 4 or 16 bytes of the address, none of no address.
func (a Addr) Bytes() []byte { return a.bytes[:a.size:a.size] }

// As4 returns the bytes of an IPv4 address, zeros of any other.
func (a Addr) As4() (b [4]byte) {
	if a.Is4() {
		copy(b[:], a.bytes[:])
	}
	return b
}

// IsUnspecified tells whether a is 0.0.0.0 or ::.
func (a Addr) IsUnspecified() bool { return a.IsValid() && a.bytes == [16]byte{} }

// IsLoopback tells whether a is of 127.0.0.0/8 or ::1.
func (a Addr) IsLoopback() bool {
	return a.Is4() && a.bytes[0] == 127 || a.Is6() && a.bytes == [16]byte{15: 1}
}

// IsMulticast tells whether a is of 224.0.0.0/4 or ff00::/8.
func (a Addr) IsMulticast() bool {
	return a.Is4() && a.bytes[0]>>4 == 0xe || a.Is6() && a.bytes[0] == 0xff
}

// IsLinkLocal tells whether a is a unicast address of 169.254.0.0/16 or fe80::/10.
func (a Addr) IsLinkLocal() bool {
	return a.Is4() && a.bytes[0] == 169 && a.bytes[1] == 254 || a.Is6() && a.bytes[0] == 0xfe && a.bytes[1]&0xc0 == 0x80
}

// IsHost tells whether a can be the address of one host that others reach: unicast, not loopback, not unspecified. Of
// IPv4, 0.0.0.0/8 and 240.0.0.0/4 are none either.
func (a Addr) IsHost() bool {
	if !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() {
		return false
	}
	return !a.Is4() || a.bytes[0] != 0 && a.bytes[0] < 240
}

// String returns the address in its usual notation: dotted decimal, or that of RFC 5952.
func (a Addr) String() string {
	switch a.size {
	case 4:
		return string(a.append4(nil, 0))
	case 16:
		return string(a.append6(nil))
	}
	return "none"
}

func (a Addr) append4(b []byte, from int) []byte {
	for i, n := range a.bytes[from : from+4] {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendUint(b, uint64(n), 10)
	}
	return b
}

func (a Addr) append6(b []byte) []byte {
	if [12]byte(a.bytes[:12]) == [12]byte{10: 0xff, 11: 0xff} {
		return a.append4(append(b, "::ffff:"...), 12)
	}
	group := func(i int) uint64 { return uint64(a.bytes[2*i])<<8 | uint64(a.bytes[2*i+1]) }
	// The longest run of at least two zero groups, the first of equal ones, becomes "::".
	start, length := -1, 1
	for i := 0; i < 8; i++ {
		n := 0
		for i+n < 8 && group(i+n) == 0 {
			n++
		}
		if n > length {
			start, length = i, n
		}
		i += n
	}
	for i := 0; i < 8; i++ {
		if i == start {
			b = append(b, "::"...)
			i += length
			if i == 8 {
				break
			}
		} else if i > 0 {
			b = append(b, ':')
		}
		b = strconv.AppendUint(b, group(i), 16)
	}
	return b
}

// Prefix is an address and the length of the network prefix in it. The address may have bits beyond that: it can be that
// of an interface.
type Prefix struct {
	Addr Addr
	Bits int // 0 to 32, or to 128
}

// IsValid tells whether p has an address and a length that it can have.
func (p Prefix) IsValid() bool {
	return p.Addr.IsValid() && p.Bits >= 0 && p.Bits <= 8*int(p.Addr.size)
}

// String returns the prefix in CIDR notation.
func (p Prefix) String() string { return p.Addr.String() + "/" + strconv.Itoa(p.Bits) }

// Masked returns the prefix with all bits beyond its length zero.
func (p Prefix) Masked() Prefix {
	for i := range p.Addr.Bytes() {
		p.Addr.bytes[i] &= maskByte(p.Bits, i)
	}
	return p
}

// Contains tells whether a belongs to the network of p.
func (p Prefix) Contains(a Addr) bool {
	return a.size == p.Addr.size && Prefix{a, p.Bits}.Masked() == p.Masked()
}

// Broadcast returns the address of p's network with all bits of the host set.
func (p Prefix) Broadcast() Addr {
	for i := range p.Addr.Bytes() {
		p.Addr.bytes[i] |= ^maskByte(p.Bits, i)
	}
	return p.Addr
}

// maskByte returns byte i of a netmask.
func maskByte(bits, i int) byte {
	return ^byte(0xff >> min(max(bits-8*i, 0), 8))
}

// MaskBits returns the length of the prefix that an IPv4 netmask stands for; false if its ones do not come first.
func MaskBits(mask [4]byte) (int, bool) {
	m := uint32(mask[0])<<24 | uint32(mask[1])<<16 | uint32(mask[2])<<8 | uint32(mask[3])
	for bits := 0; bits <= 32; bits++ {
		if m == uint32(uint64(0xffffffff)<<(32-bits)) {
			return bits, true
		}
	}
	return 0, false
}

// Checksum returns the Internet checksum (RFC 1071) of parts put together. All but the last must be of even length. Over
// data that contains its own right checksum it is 0.
func Checksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, b := range parts {
		for ; len(b) >= 2; b = b[2:] {
			sum += uint32(b[0])<<8 | uint32(b[1])
			sum = sum&0xffff + sum>>16
		}
		if len(b) == 1 {
			sum += uint32(b[0]) << 8
			sum = sum&0xffff + sum>>16
		}
	}
	return ^uint16(sum)
}

// Limits of domain names, RFC 1035 section 2.3.4: bytes of a label, and of a name as text.
const (
	maxLabel = 63
	maxName  = 253
)

// ErrNames is the error of ParseNames.
var ErrNames = errors.New("malformed list of domain names")

// ParseNames returns the domain names in b, encoded one after the other as in RFC 1035 section 4.1.4. Compression pointers
// into b are followed where compressed is true (RFC 3397 for DHCP's option 119), else they are malformed (RFC 8106, RFC
// 8415). Padding with zeros is skipped. Names that ValidName does not accept are left out.
func ParseNames(b []byte, compressed bool) ([]string, error) {
	var names []string
	for next := 0; next < len(b); {
		var name []byte
		jumped, dotted := false, false
		for at := next; ; {
			if at >= len(b) {
				return nil, ErrNames
			}
			length := int(b[at])
			switch {
			case length == 0:
				at++
			case length <= maxLabel:
				if at+1+length > len(b) || len(name)+1+length > maxName+1 {
					return nil, ErrNames
				}
				if len(name) > 0 {
					name = append(name, '.')
				}
				label := b[at+1 : at+1+length]
				name = append(name, label...)
				dotted = dotted || bytes.IndexByte(label, '.') >= 0 // as text it would be another name
				at += 1 + length
			case length < 0xc0 || !compressed || at+1 >= len(b):
				return nil, ErrNames
			default:
				// A pointer leads backwards only, or it could lead in a circle.
				to := length&0x3f<<8 | int(b[at+1])
				if to >= at {
					return nil, ErrNames
				}
				if !jumped {
					next, jumped = at+2, true
				}
				at = to
			}
			if !jumped {
				next = at
			}
			if length == 0 {
				break
			}
		}
		if !dotted && ValidName(string(name)) {
			names = append(names, string(name))
		}
	}
	return names, nil
}

// ValidName tells whether s is a domain name or host name that can be trusted in a configuration file: labels of letters,
// digits, hyphens and underscores, with single dots between them.
func ValidName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

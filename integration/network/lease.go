package network

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Lease has the address and options that a DHCPv4 server sends to the guest. Fields that are zero
// are not sent, unless the server has a default for them.
type Lease struct {
	Address  netip.Prefix  // the server's only address, with the subnet mask (option 1)
	Routers  []netip.Addr  // option 3
	DNS      []netip.Addr  // option 6
	Hostname string        // option 12
	Domain   string        // option 15
	Search   []string      // option 119, RFC 3397
	MTU      int           // option 26
	Routes   []Route       // option 121, RFC 3442
	Time     time.Duration // lease time, option 51; default on a Segment: an hour
}

// A Route is a destination and the router to it. If Via is the unspecified address, the destination
// is on the link.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// An Advert is the contents of a router advertisement, RFC 4861.
type Advert struct {
	Prefix  netip.Prefix // prefix of the link
	SLAAC   bool         // the guest configures an address in Prefix itself, RFC 4862
	Managed bool         // DHCPv6 assigns addresses
	Other   bool         // DHCPv6 has other configuration
	DNS     []netip.Addr // RFC 8106
	Search  []string     // RFC 8106
	MTU     int          // bytes
}

// A Lease6 has the address and options that a DHCPv6 server sends to the guest.
type Lease6 struct {
	Address netip.Addr // the server's only address; if it is zero, the server is stateless
	DNS     []netip.Addr
	Search  []string
	Time    time.Duration // lease time; default: an hour
}

// only returns an error if a field of the lease is set that is not one of fields, because server
// has no setting for it.
func (l Lease) only(server string, fields ...string) error {
	v := reflect.ValueOf(l)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; !v.Field(i).IsZero() && !slices.Contains(fields, name) {
			return fmt.Errorf("%s has no setting for the %s of a lease", server, name)
		}
	}
	return nil
}

// classlessRoutes returns the value of option 121 for l.Routes. Each route is encoded as the length
// of the prefix in bits, the bytes of the destination that the prefix covers, and the router.
func (l Lease) classlessRoutes() []byte {
	var b []byte
	for _, r := range l.Routes {
		b = append(b, byte(r.To.Bits()))
		b = append(b, r.To.Addr().AsSlice()[:(r.To.Bits()+7)/8]...)
		b = append(b, r.Via.AsSlice()...)
	}
	return b
}

// leaseTime returns t or, if it is zero, the default lease time on a Segment.
func leaseTime(t time.Duration) time.Duration {
	return cmp.Or(t, time.Hour)
}

// mask returns the subnet mask of p.
func mask(p netip.Prefix) string {
	return net.IP(net.CIDRMask(p.Bits(), 32)).String()
}

// join returns the text of the elements of list, separated by sep.
func join[T any](list []T, sep string) string {
	words := make([]string, len(list))
	for i, e := range list {
		words[i] = fmt.Sprint(e)
	}
	return strings.Join(words, sep)
}

// seconds returns d in whole seconds, for configuration files.
func seconds(d time.Duration) int { return int(d / time.Second) }

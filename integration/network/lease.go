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

// A Lease is what a DHCPv4 server gives to the guest. Fields that are zero are not sent, unless the server has a default of
// its own.
type Lease struct {
	Address  netip.Prefix  // the only address the server has, with the length of the subnet mask (option 1)
	Routers  []netip.Addr  // option 3
	DNS      []netip.Addr  // option 6
	Hostname string        // option 12
	Domain   string        // option 15
	Search   []string      // option 119, RFC 3397
	MTU      int           // option 26
	Routes   []Route       // option 121, RFC 3442
	Time     time.Duration // option 51; default of the servers on a Segment: an hour
}

// A Route is a destination and the router to it. The unspecified address as Via means that there is none: the destination
// is on the link.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// An Advert is what an IPv6 router advertises, RFC 4861.
type Advert struct {
	Prefix  netip.Prefix // of the link
	SLAAC   bool         // guests make themselves an address in it, RFC 4862
	Managed bool         // DHCPv6 gives addresses
	Other   bool         // DHCPv6 gives other configuration
	DNS     []netip.Addr // RFC 8106, and so is Search
	Search  []string
	MTU     int
}

// A Lease6 is what a DHCPv6 server gives to the guest.
type Lease6 struct {
	Address netip.Addr // the only one the server has; the zero Addr: it is stateless
	DNS     []netip.Addr
	Search  []string
	Time    time.Duration // default: an hour
}

// only returns an error if the lease has something that a server can't be told: anything but fields.
func (l Lease) only(server string, fields ...string) error {
	v := reflect.ValueOf(l)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; !v.Field(i).IsZero() && !slices.Contains(fields, name) {
			return fmt.Errorf("%s has no setting for the %s of a lease", server, name)
		}
	}
	return nil
}

// classlessRoutes encodes l.Routes for option 121: for each the length of the prefix, as many bytes of the destination as
// that covers, and the router.
func (l Lease) classlessRoutes() []byte {
	var b []byte
	for _, r := range l.Routes {
		b = append(b, byte(r.To.Bits()))
		b = append(b, r.To.Addr().AsSlice()[:(r.To.Bits()+7)/8]...)
		b = append(b, r.Via.AsSlice()...)
	}
	return b
}

// leaseTime is t, or the default of the servers on a Segment.
func leaseTime(t time.Duration) time.Duration {
	return cmp.Or(t, time.Hour)
}

// mask returns the subnet mask that goes with p.
func mask(p netip.Prefix) string {
	return net.IP(net.CIDRMask(p.Bits(), 32)).String()
}

// join returns the elements of list as text, with sep in between.
func join[T any](list []T, sep string) string {
	words := make([]string, len(list))
	for i, e := range list {
		words[i] = fmt.Sprint(e)
	}
	return strings.Join(words, sep)
}

// seconds is how servers want durations.
func seconds(d time.Duration) int { return int(d / time.Second) }

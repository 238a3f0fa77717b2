package network

import (
	"net/netip"
	"slices"
	"time"

	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/dhcp6"
	"github.com/krunbox/krunbox/pkg/jsonio"
	"github.com/krunbox/krunbox/pkg/netif"
)

// Fields are the properties of an interface, in the order in which they are printed.
type Fields []Field

// Field is a property of an interface. Name is the name of the JSON member. Value is a string, a
// []string, an int, a Lifetime or a Moment.
type Field struct {
	Name  string
	Value any
}

// Lifetime is a duration that may be dhcp4.Infinite. In JSON it is a number of seconds, or
// "infinite".
type Lifetime time.Duration

func (l Lifetime) String() string {
	if time.Duration(l) == dhcp4.Infinite {
		return infinite
	}
	return time.Duration(l).String()
}

const infinite = "infinite"

// AppendJSON implements jsonio.Appender.
func (l Lifetime) AppendJSON(b []byte) []byte {
	if time.Duration(l) == dhcp4.Infinite {
		return jsonio.Append(b, infinite)
	}
	return jsonio.Append(b, int64(time.Duration(l)/time.Second))
}

// Moment is a time as returned by loop.Now. In JSON it is a number of nanoseconds.
type Moment time.Duration

// AppendJSON implements jsonio.Appender.
func (m Moment) AppendJSON(b []byte) []byte { return jsonio.Append(b, int64(m)) }

// add appends a property, unless it is empty or zero.
func (f *Fields) add(name string, value any) {
	empty := value == "" || value == 0 || value == Lifetime(0)
	if list, ok := value.([]string); ok {
		empty = len(list) == 0
	}
	if !empty {
		*f = append(*f, Field{name, value})
	}
}

func (f *Fields) addAddr(name string, a netip.Addr) {
	if a.IsValid() {
		f.add(name, a.String())
	}
}

// Fields returns the properties in the status, without those that are empty or zero.
func (s *Status) Fields() Fields {
	f := Fields{{"interface", s.Name}}
	f.add("state", s.State)
	if l := s.Lease; l != nil {
		f.add("address", l.Address.String())
		f.addAddr("server", l.Server)
		f.addAddr("broadcast", l.Broadcast)
		f.add("routes", texts(l.Routes, routeText))
		f.add("dns", texts(l.DNS, netip.Addr.String))
		f.add("domain", l.Domain)
		f.add("search", l.Search)
		f.add("hostname", l.Hostname)
		f.add("lease", Lifetime(l.Duration))
		f.add("renew", Lifetime(l.T1))
		f.add("rebind", Lifetime(l.T2))
	}
	if s.Lease != nil || len(s.Routers) > 0 {
		f.add("mtu", int(s.MTU))
	}
	var lease6 dhcp6.Lease
	if s.Lease6 != nil {
		lease6 = *s.Lease6
	}
	f.add("ipv6Routers", texts(s.Routers, netip.Addr.String))
	f.add("ipv6Addresses", texts(lease6.Addresses, func(a dhcp6.Address) string { return a.Addr.String() }))
	f.add("ipv6Dns", texts(union(s.DNS, lease6.DNS), netip.Addr.String))
	f.add("ipv6Search", union(s.Search, lease6.Search))
	return f
}

func routeText(r dhcp4.Route) string {
	return netif.Route{Destination: r.Destination, Gateway: r.Gateway}.String()
}

// texts returns the text of each element of list.
func texts[T any](list []T, text func(T) string) (all []string) {
	for _, v := range list {
		all = append(all, text(v))
	}
	return all
}

// union returns the elements of a, followed by those of b that are not in a.
func union[T comparable](a, b []T) []T {
	all := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// AppendJSON implements jsonio.Appender.
func (f Fields) AppendJSON(b []byte) []byte {
	object := make(jsonio.Object, len(f))
	for i, field := range f {
		object[i] = jsonio.Member(field)
	}
	return jsonio.Append(b, object)
}

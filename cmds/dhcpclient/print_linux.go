package main

import (
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/dhcp6"
	"github.com/krunbox/krunbox/pkg/netif"
	"github.com/krunbox/krunbox/pkg/network"
)

// fields are the known properties of an interface, in the order in which they are printed.
type fields []field

type field struct {
	name  string // in JSON; the table has blanks instead of capitals
	value any    // a []string, or a single value
}

// lifetime is a time that is printed as in package time, and in JSON as a number of seconds.
type lifetime time.Duration

func (l lifetime) String() string {
	if time.Duration(l) == dhcp4.Infinite {
		return "infinite"
	}
	return time.Duration(l).String()
}

func (l lifetime) MarshalJSONTo(e *jsontext.Encoder) error {
	if time.Duration(l) == dhcp4.Infinite {
		return e.WriteToken(jsontext.String(l.String()))
	}
	return e.WriteToken(jsontext.Int(int64(time.Duration(l) / time.Second)))
}

// fieldsOf returns what is known of an interface.
func fieldsOf(s network.Status) fields {
	var lease dhcp4.Lease
	var lease6 dhcp6.Lease
	var mtu uint32
	if s.Lease != nil {
		lease = *s.Lease
	}
	if s.Lease6 != nil {
		lease6 = *s.Lease6
	}
	if s.Lease != nil || len(s.Routers) > 0 {
		mtu = s.MTU
	}
	all := fields{
		{"interface", s.Name},
		{"address", lease.Address},
		{"server", lease.Server},
		{"broadcast", lease.Broadcast},
		{"routes", texts(lease.Routes, route)},
		{"dns", texts(lease.DNS, netip.Addr.String)},
		{"domain", lease.Domain},
		{"search", lease.Search},
		{"hostname", lease.Hostname},
		{"lease", lifetime(lease.Duration)},
		{"renew", lifetime(lease.T1)},
		{"rebind", lifetime(lease.T2)},
		{"mtu", mtu},
		{"ipv6Routers", texts(s.Routers, netip.Addr.String)},
		{"ipv6Addresses", texts(lease6.Addresses, address)},
		{"ipv6Dns", texts(union(s.DNS, lease6.DNS), netip.Addr.String)},
		{"ipv6Search", union(s.Search, lease6.Search)},
	}
	return slices.DeleteFunc(all, func(f field) bool {
		v := reflect.ValueOf(f.value)
		return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0
	})
}

func address(a dhcp6.Address) string { return a.Addr.String() }

func route(r dhcp4.Route) string {
	return netif.Route{Destination: r.Destination, Gateway: r.Gateway}.String()
}

func texts[T any](list []T, text func(T) string) (all []string) {
	for _, v := range list {
		all = append(all, text(v))
	}
	return all
}

// union returns a and the elements of b that are not in a.
func union[T comparable](a, b []T) []T {
	all := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// writeText writes a table of the interfaces that have more than a name.
func writeText(w io.Writer, all []network.Status) error {
	var b []byte
	for _, s := range all {
		known := fieldsOf(s)
		if len(known) == 1 {
			continue
		}
		for _, f := range known {
			value := f.value
			if list, ok := value.([]string); ok {
				value = strings.Join(list, ", ")
			}
			name := f.name
			if rest, ok := strings.CutPrefix(name, "ipv6"); ok {
				name = "IPv6 " + strings.ToLower(rest)
			}
			b = fmt.Appendf(b, "%-15s %v\n", name, value)
		}
	}
	_, err := w.Write(b)
	return err
}

// MarshalJSONTo encodes the fields as the members of an object.
func (f fields) MarshalJSONTo(e *jsontext.Encoder) error {
	if err := e.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, member := range f {
		if err := e.WriteToken(jsontext.String(member.name)); err != nil {
			return err
		}
		if err := json.MarshalEncode(e, member.value); err != nil {
			return err
		}
	}
	return e.WriteToken(jsontext.EndObject)
}

// writeJSON writes an array with an object for each interface.
func writeJSON(w io.Writer, all []network.Status) error {
	list := []fields{}
	for _, s := range all {
		list = append(list, fieldsOf(s))
	}
	return marshal(w, list)
}

// printReleased prints that the lease of an interface was released.
func (c *client) printReleased(name string, address netip.Prefix) error {
	if c.asJSON {
		return marshal(c.stdout, fields{{"interface", name}, {"released", address}})
	}
	_, err := fmt.Fprintf(c.stdout, "%s: released %v\n", name, address)
	return err
}

// marshal writes a line of JSON.
func marshal(w io.Writer, v any) error {
	b, err := json.Marshal(v, jsontext.SpaceAfterColon(true), jsontext.SpaceAfterComma(true))
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

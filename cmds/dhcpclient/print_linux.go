package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/inet"
	"github.com/krunbox/krunbox/pkg/network"
)

// A field is a line of what is printed of an interface: a text, or a list of them, or a number.
type field struct {
	name string // in JSON; the table has blanks for capitals
	text string
	list []string
	// number is printed in JSON, and text in the table.
	number int64
	kind   kind
}

type kind uint8

const (
	isText kind = iota
	isList
	isNumber
)

// fields returns what is known of an interface. What is not known is left out.
func fields(s network.Status) []field {
	var f []field
	text := func(name, value string) {
		if value != "" {
			f = append(f, field{name: name, text: value})
		}
	}
	list := func(name string, values []string) {
		if len(values) > 0 {
			f = append(f, field{name: name, list: values, kind: isList})
		}
	}
	seconds := func(name string, d time.Duration) {
		switch {
		case d == dhcp4.Infinite:
			text(name, "infinite")
		case d > 0:
			f = append(f, field{name: name, text: d.String(), number: int64(d / time.Second), kind: isNumber})
		}
	}
	text("interface", s.Name)
	if l := s.Lease; l != nil {
		text("address", l.Address.String())
		text("server", l.Server.String())
		if l.Broadcast.IsValid() {
			text("broadcast", l.Broadcast.String())
		}
		var routes []string
		for _, r := range l.Routes {
			routes = append(routes, route(r))
		}
		list("routes", routes)
		list("dns", addresses(l.DNS))
		text("domain", l.Domain)
		list("search", l.Search)
		text("hostname", l.Hostname)
		seconds("lease", l.Duration)
		seconds("renew", l.T1)
		seconds("rebind", l.T2)
	}
	if s.Lease != nil || len(s.Routers) > 0 {
		f = append(f, field{name: "mtu", text: strconv.Itoa(int(s.MTU)), number: int64(s.MTU), kind: isNumber})
	}
	list("ipv6Routers", addresses(s.Routers))
	if l := s.Lease6; l != nil {
		var own []string
		for _, a := range l.Addresses {
			own = append(own, a.Addr.String())
		}
		list("ipv6Addresses", own)
	}
	var dns6, search6 []string
	if l := s.Lease6; l != nil {
		dns6, search6 = addresses(l.DNS), l.Search
	}
	list("ipv6Dns", union(addresses(s.DNS), dns6))
	list("ipv6Search", union(s.Search, search6))
	return f
}

func route(r dhcp4.Route) string {
	if !r.Gateway.IsValid() || r.Gateway.IsUnspecified() {
		return r.Destination.String() + " on link"
	}
	return r.Destination.String() + " via " + r.Gateway.String()
}

func addresses(list []inet.Addr) []string {
	var texts []string
	for _, a := range list {
		texts = append(texts, a.String())
	}
	return texts
}

// union returns a and what b has beyond that.
func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// appendText appends a table.
func appendText(b []byte, all []network.Status) []byte {
	for _, s := range all {
		known := fields(s)
		if len(known) == 1 {
			continue // its name
		}
		for _, f := range known {
			value := f.text
			if f.kind == isList {
				value = strings.Join(f.list, ", ")
			}
			name := f.name
			if rest, ok := strings.CutPrefix(name, "ipv6"); ok {
				name = "IPv6 " + strings.ToLower(rest)
			}
			b = append(b, name+strings.Repeat(" ", max(1, 16-len(name)))+value+"\n"...)
		}
	}
	return b
}

// appendJSON appends an array of objects. Times are seconds, or "infinite".
func appendJSON(b []byte, all []network.Status) []byte {
	b = append(b, '[')
	for i, s := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, "\n  {"...)
		for k, f := range fields(s) {
			if k > 0 {
				b = append(b, ", "...)
			}
			b = append(boot.AppendJSON(b, f.name), ": "...)
			switch f.kind {
			case isText:
				b = boot.AppendJSON(b, f.text)
			case isNumber:
				b = strconv.AppendInt(b, f.number, 10)
			case isList:
				b = boot.AppendJSONList(b, f.list)
			}
		}
		b = append(b, '}')
	}
	return append(b, "\n]\n"...)
}

// appendReleased appends an object for a lease that was given back.
func appendReleased(b []byte, name string, address inet.Prefix) []byte {
	b = boot.AppendJSON(append(b, `{"interface": `...), name)
	b = boot.AppendJSON(append(b, `, "released": `...), address.String())
	return append(b, '}')
}

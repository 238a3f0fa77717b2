package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/krunbox/krunbox/pkg/jsonio"
	"github.com/krunbox/krunbox/pkg/network"
)

// fieldsOf returns the properties of interfaces.
func fieldsOf(all []network.Status) []network.Fields {
	var list []network.Fields
	for _, s := range all {
		list = append(list, s.Fields())
	}
	return list
}

// writeText writes a table of the interfaces. It omits interfaces that have only a name.
func writeText(w io.Writer, all []network.Fields) error {
	var b []byte
	for _, f := range all {
		if len(f) == 1 {
			continue
		}
		for _, field := range f {
			value := field.Value
			if list, ok := value.([]string); ok {
				value = strings.Join(list, ", ")
			}
			b = fmt.Appendf(b, "%-15s %v\n", label(field.Name), value)
		}
	}
	_, err := w.Write(b)
	return err
}

// label returns the name of a field for the table, such as "next renewal" for "nextRenewal".
func label(name string) string {
	rest, isIPv6 := strings.CutPrefix(name, "ipv6")
	if i := strings.IndexFunc(rest, isCapital); i > 0 {
		rest = rest[:i] + " " + rest[i:]
	}
	if rest = strings.ToLower(rest); isIPv6 {
		return "IPv6 " + rest
	}
	return rest
}

func isCapital(c rune) bool { return 'A' <= c && c <= 'Z' }

// writeJSON writes an array with an object for each interface.
func writeJSON(w io.Writer, all []network.Fields) error {
	_, err := w.Write(append(jsonio.Append(nil, jsonio.List[network.Fields](all)), '\n'))
	return err
}

// printReleased prints that the lease of an interface was released.
func (c *client) printReleased(name string, address netip.Prefix) error {
	if !c.asJSON {
		_, err := fmt.Fprintf(c.stdout, "%s: released %v\n", name, address)
		return err
	}
	f := network.Fields{{Name: "interface", Value: name}, {Name: "released", Value: address.String()}}
	_, err := c.stdout.Write(append(f.AppendJSON(nil), '\n'))
	return err
}

// dated replaces each Moment in the fields by its date and, if forPeople is true, the time until
// then. now and clock are the current time by loop.Now and by the clock.
func dated(all []network.Fields, now time.Duration, clock time.Time, forPeople bool) []network.Fields {
	for _, f := range all {
		for k, field := range f {
			at, ok := field.Value.(network.Moment)
			if !ok {
				continue
			}
			left := time.Duration(at) - now
			text := clock.Add(left).UTC().Format(time.RFC3339)
			switch {
			case !forPeople:
			case left < 0:
				text += fmt.Sprintf(", %v ago", -left.Round(time.Second))
			default:
				text += fmt.Sprintf(", in %v", left.Round(time.Second))
			}
			f[k].Value = text
		}
	}
	return all
}

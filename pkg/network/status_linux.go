package network

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/imagefile"
	"github.com/krunbox/krunbox/pkg/jsonio"
)

// StatusFile is the file in which the process that keeps the leases of a guest describes them.
const StatusFile = "/dev/.network.json"

// maxStatus is the maximum size of a StatusFile in bytes. Interfaces that do not fit are left out.
const maxStatus = 64 << 10

// momentSuffix ends the names of fields of a StatusFile that are a Moment, in nanoseconds.
const momentSuffix = "Ns"

// savedFields returns the fields of a StatusFile for an interface.
func (i *Interface) savedFields() Fields {
	s := i.Status()
	s.State = i.state()
	f := s.Fields()
	add := func(name string, at time.Duration) {
		if at != dhcp4.Infinite {
			f.add(name+momentSuffix, Moment(at))
		}
	}
	if s.Lease != nil {
		add("nextRenewal", i.v4.client.Deadline())
		add("leaseEnds", i.v4.client.Expiry())
	}
	if s.Lease6 != nil {
		add("ipv6Renewal", i.v6.client.Deadline())
	}
	return f
}

// state describes the state of IPv4 on the interface in a few words.
func (i *Interface) state() string {
	v := &i.v4
	switch {
	case i.link.Index == 0:
		return "no such interface"
	case !i.link.Carrier:
		return "not connected"
	case v.client == nil:
		return "not configured"
	case v.lease == nil:
		return v.obstacle()
	case v.failed:
		return "the lease could not be applied"
	}
	return v.client.State().String()
}

// save writes the StatusFile if something has changed. During the wait for the first lease it does
// not write, in order not to delay the boot. It ignores failures: the network works without the
// file.
func (n *Network) save() {
	if !n.changed || n.cfg.StatusFile == "" || !n.deferredStarted && !n.Settled() {
		return
	}
	n.changed = false
	const separator, end = ", ", "]\n"
	text := []byte("[")
	for k, i := range n.interfaces {
		object := i.savedFields().AppendJSON(nil)
		if len(text)+len(separator)+len(object)+len(end) > maxStatus {
			break
		}
		if k > 0 {
			text = append(text, separator...)
		}
		text = append(text, object...)
	}
	text = append(text, end...)
	if bytes.Equal(text, n.saved) {
		return
	}
	n.saved = nil
	if imagefile.Replace(n.cfg.StatusFile, text) == nil {
		n.saved = text
	}
}

// ReadStatus returns the properties of each interface in a StatusFile. The error wraps
// fs.ErrNotExist if no process keeps leases.
func ReadStatus(path string) ([]Fields, error) {
	text, err := imagefile.Read(path, maxStatus)
	if err != nil {
		return nil, err
	}
	all, err := parseStatus(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// parseStatus parses a list of objects, whose members are strings, whole numbers, or lists of strings.
func parseStatus(text []byte) (all []Fields, err error) {
	r := jsonio.NewReader(text)
	err = r.List(func() error {
		var f Fields
		err := r.Object(func(name string) error { return f.read(r, name) })
		all = append(all, f)
		return err
	})
	return all, cmp.Or(err, r.End())
}

// read reads the value of a JSON member, and adds it as the field with the given name.
func (f *Fields) read(r *jsonio.Reader, name string) (err error) {
	switch r.Kind() {
	case '[':
		var list []string
		err = r.List(func() error {
			list = append(list, "")
			return r.Text(&list[len(list)-1])
		})
		f.add(name, list)
	case '"':
		var text string
		if err = r.Text(&text); text == infinite && isLifetime(name) {
			f.add(name, Lifetime(dhcp4.Infinite))
		} else {
			f.add(name, text)
		}
	default:
		var number int64
		err = jsonio.Integer(r, &number, math.MinInt64, math.MaxInt64)
		switch short, isMoment := strings.CutSuffix(name, momentSuffix); {
		case isMoment:
			*f = append(*f, Field{short, Moment(number)})
		case isLifetime(name):
			f.add(name, Lifetime(time.Duration(number)*time.Second))
		default:
			f.add(name, int(number))
		}
	}
	return err
}

// isLifetime reports whether the field of a StatusFile with the given name is a Lifetime.
func isLifetime(name string) bool { return name == "lease" || name == "renew" || name == "rebind" }

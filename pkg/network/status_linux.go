package network

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/imagefile"
)

// StatusFile is where the process that keeps the leases of a guest describes them.
const StatusFile = "/dev/.network.json"

// maxStatus is the largest size of a StatusFile, in bytes. Interfaces beyond it are left out.
const maxStatus = 64 << 10

// moments are the ends of the names of fields that are a Moment in JSON, in nanoseconds.
const moments = "Ns"

// savedFields returns the fields of a StatusFile for an interface.
func (i *Interface) savedFields() Fields {
	s := i.Status()
	s.State = i.state()
	f := s.Fields()
	add := func(name string, at time.Duration) {
		if at != dhcp4.Infinite {
			f.add(name+moments, Moment(at))
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

// state says in a few words how far IPv4 is on the interface.
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

// save writes the StatusFile if something has changed, but not while the first lease is about to
// come. A failure does not matter to the network.
func (n *Network) save() {
	if !n.changed || n.cfg.StatusFile == "" || !n.deferredStarted && !n.Settled() {
		return
	}
	n.changed = false
	var all []Fields
	size := 0
	for _, i := range n.interfaces {
		f := i.savedFields()
		if size += len(f.AppendJSON(nil)) + len(", "); size > maxStatus-len("[]\n") {
			break
		}
		all = append(all, f)
	}
	text := append(AppendJSON(nil, all), '\n')
	if bytes.Equal(text, n.saved) {
		return
	}
	n.saved = text
	replaceFile(n.cfg.StatusFile, text)
}

// replaceFile writes a file that everybody may read, so that readers see the old text or the new
// one. Whatever somebody else has put there, it does not wait, and changes no other file.
func replaceFile(path string, text []byte) {
	temporary := path + ".new"
	_ = unix.Unlink(temporary)
	fd, err := unix.Open(temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return
	}
	_, err = unix.Write(fd, text)
	unix.Close(fd)
	if err == nil {
		err = unix.Rename(temporary, path)
	}
	if err != nil {
		_ = unix.Unlink(temporary)
	}
}

// ReadStatus returns what a StatusFile says of each interface. Its error wraps fs.ErrNotExist if no
// process keeps leases.
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

// parseStatus parses an array of objects, whose members are strings, whole numbers, or arrays of
// strings.
func parseStatus(text []byte) (all []Fields, err error) {
	d := statusDecoder{jsontext.NewDecoder(bytes.NewReader(text))}
	err = d.each('[', func() error {
		var f Fields
		err := d.each('{', func() error {
			name, err := d.next('"')
			if err != nil {
				return err
			}
			return d.value(&f, name.String())
		})
		all = append(all, f)
		return err
	})
	return all, err
}

type statusDecoder struct{ *jsontext.Decoder }

// next returns the next token, which must be of a kind.
func (d statusDecoder) next(kind jsontext.Kind) (jsontext.Token, error) {
	t, err := d.ReadToken()
	if err == nil && t.Kind() != kind {
		err = fmt.Errorf("unexpected %v at byte %d", t, d.InputOffset())
	}
	return t, err
}

// each calls f before each element of an array, or member of an object, which begins with a token
// of a kind.
func (d statusDecoder) each(begin jsontext.Kind, f func() error) error {
	if _, err := d.next(begin); err != nil {
		return err
	}
	for d.PeekKind() != begin+2 { // as in ASCII: [ and ], { and }
		if err := f(); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// value adds the next value to f.
func (d statusDecoder) value(f *Fields, name string) error {
	if d.PeekKind() == '[' {
		var list []string
		err := d.each('[', func() error {
			s, err := d.next('"')
			list = append(list, s.String())
			return err
		})
		f.add(name, list)
		return err
	}
	if d.PeekKind() == '"' {
		s, err := d.next('"')
		if s.String() == infinite && isLifetime(name) {
			f.add(name, Lifetime(dhcp4.Infinite))
		} else {
			f.add(name, s.String())
		}
		return err
	}
	t, err := d.next('0')
	if err != nil {
		return err
	}
	number, err := strconv.ParseInt(t.String(), 10, 64)
	switch short, isMoment := strings.CutSuffix(name, moments); {
	case isMoment:
		*f = append(*f, Field{short, Moment(number)})
	case isLifetime(name):
		f.add(name, Lifetime(time.Duration(number)*time.Second))
	default:
		f.add(name, int(number))
	}
	return err
}

// isLifetime reports whether the field of a StatusFile with that name is a Lifetime.
func isLifetime(name string) bool { return name == "lease" || name == "renew" || name == "rebind" }

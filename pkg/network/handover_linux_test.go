package network

import (
	"reflect"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/pkg/netif"
)

const handed = `{"Hostname":"box","Interfaces":[` +
	`{"Name":"eth0","MTU":1500,"Acquired":1,"Ack":"YQpi"}]}`

func TestHandover(t *testing.T) {
	n := New(Config{Hostname: "box"})
	n.add("eth0").link = netif.Link{Index: 2, MTU: 1500, Carrier: true}
	n.add("eth1").link = netif.Link{Index: 3, MTU: 9000, Carrier: true}
	n.Interfaces()[0].v4.acquired = 12345
	got, err := parseHandover(n.Handover())
	none := []byte{}
	want := handover{"box", []inherited{{"eth0", 1500, 12345, none}, {"eth1", 9000, 0, none}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parseHandover(Handover()) = %+v, %v, want %+v", got, err, want)
	}
	got, err = parseHandover([]byte(handed))
	want = handover{"box", []inherited{{"eth0", 1500, 1, []byte("a\nb")}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parseHandover(%s) = %+v, %v, want %+v", handed, got, err, want)
	}
	for _, bad := range []string{
		"", "box", handed[:40], handed + "x", `{"Hostname":"box","Interfaces":[{"MTU":1500}]}`,
		strings.Replace(handed, "eth0", "../x", 1), strings.Replace(handed, "1500", "-1", 1),
		strings.Replace(handed, "1500", "4294967296", 1), strings.Replace(handed, "YQpi", "?", 1),
	} {
		if _, err := parseHandover([]byte(bad)); err == nil {
			t.Errorf("parseHandover(%q) = nil, want an error", bad)
		}
	}
	if err := New(Config{}).Resume([]byte("bad")); err == nil {
		t.Error("Resume of a malformed handover = nil, want an error")
	}
}

func FuzzParseHandover(f *testing.F) {
	f.Add([]byte(handed))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHandover(b)
		size := 0
		for _, i := range h.Interfaces {
			size += len(i.Name) + len(i.Ack)
			if !validName(i.Name) {
				t.Errorf("parseHandover(%q): interface %q", b, i.Name)
			}
		}
		if size > len(b) || err != nil && size > 0 {
			t.Errorf("parseHandover(%q) = %+v, %v", b, h, err)
		}
	})
}

// TestInterfaceNames checks that names are refused that could lead out of a directory, or that the
// kernel does not accept.
func TestInterfaceNames(t *testing.T) {
	for _, name := range []string{
		"", "../all", "a/b", ".", "..", "a b", "a\xff", strings.Repeat("x", 16),
	} {
		if validName(name) {
			t.Errorf("validName(%q) = true", name)
		}
		n := New(Config{Interfaces: []string{name}, OfferOnly: true, IPv4: true})
		if err := n.Start(); err == nil || !strings.Contains(err.Error(), "not a name") {
			t.Errorf("interface %q: %v, want an error", name, err)
		}
		n.Close()
	}
	for _, name := range []string{"eth0", "enp0s3", "veth-1.2", "é", strings.Repeat("x", 15)} {
		if !validName(name) {
			t.Errorf("validName(%q) = false", name)
		}
	}
}

func TestDescribe(t *testing.T) {
	n := New(Config{Interfaces: []string{"eth0", "eth1"}, IPv4: true, IPv6: true, Hostname: "box"})
	if d := (Start{n}).Describe(); d.Object != "eth0,eth1" || len(d.Details) != 3 {
		t.Errorf("Start: %+v", d)
	}
	if d := (Wait{Network: New(Config{})}).Describe(); d.Object != "all" {
		t.Errorf("Wait: %+v", d)
	}
}

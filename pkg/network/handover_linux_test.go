package network

import (
	"reflect"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/pkg/netif"
)

func TestHandover(t *testing.T) {
	n := New(Config{Hostname: "box"})
	n.add("eth0").link = netif.Link{Index: 2, MTU: 1500, Carrier: true}
	n.add("eth1").link = netif.Link{Index: 3, MTU: 9000, Carrier: true}
	n.Interfaces()[0].acquired = 12345
	const want = "box\neth0 1500 12345 0\neth1 9000 0 0\n"
	if got := string(n.Handover()); got != want {
		t.Errorf("Handover() = %q, want %q", got, want)
	}
	hostname, list, err := parseHandover([]byte("box\neth0 1500 12345 3\na\nbeth1 9000 0 0\n"))
	if wantList := []inherited{{"eth0", 1500, 12345, []byte("a\nb")}, {name: "eth1", mtu: 9000, ack: []byte{}}}; hostname != "box" ||
		!reflect.DeepEqual(list, wantList) || err != nil {
		t.Errorf("parseHandover() = %q, %+v, %v, want box, %+v", hostname, list, err, wantList)
	}
	for _, bad := range []string{"", "box", "box\neth0", "box\neth0 1500 1\n", "box\neth0 x 1 0\n", "box\neth0 1500 1 9\nshort", "box\n 1 1 0\n",
		"box\neth0 1 1 -1\n", "box\neth0 1500 1 99999999\n"} {
		if _, _, err := parseHandover([]byte(bad)); err == nil {
			t.Errorf("parseHandover(%q) = nil, want an error", bad)
		}
	}
	if err := New(Config{}).Resume([]byte("bad")); err == nil {
		t.Error("Resume of something malformed = nil, want an error")
	}
}

func FuzzParseHandover(f *testing.F) {
	f.Add([]byte("box\neth0 1500 12345 3\na\nbeth1 9000 0 0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, list, err := parseHandover(b)
		size := 0
		for _, h := range list {
			size += len(h.name) + len(h.ack)
		}
		if err == nil && size > len(b) {
			t.Errorf("parseHandover(%q) = %+v: more than there was", b, list)
		}
	})
}

// Names that could lead out of a directory, or that the kernel does not take, reach nobody.
func TestInterfaceNames(t *testing.T) {
	for _, name := range []string{"", "../all", "a/b", ".", "..", "a b", strings.Repeat("x", 16)} {
		if validName(name) {
			t.Errorf("validName(%q) = true", name)
		}
		n := New(Config{Interfaces: []string{name}, OfferOnly: true, IPv4: true})
		if err := n.Start(); err == nil || !strings.Contains(err.Error(), "not a name") {
			t.Errorf("interface %q: %v, want an error", name, err)
		}
		n.Close()
	}
	for _, name := range []string{"eth0", "enp0s3", "veth-1.2", strings.Repeat("x", 15)} {
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

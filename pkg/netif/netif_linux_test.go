package netif

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

func TestInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		if err := (Up{"lo"}).Do(); err != nil {
			t.Fatal(err)
		}
		lo, err := net.InterfaceByName("lo")
		if err != nil || lo.Flags&net.FlagUp == 0 {
			t.Errorf("lo is %v, %v, want up", lo, err)
		}
		if l, err := net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Errorf("listen on loopback: %v", err)
		} else {
			l.Close()
		}
		for _, p := range []string{"203.0.113.1/24", "198.51.100.7/32", "192.0.2.1/0"} {
			if err := (Address{"lo", prefix(p)}).Do(); err != nil {
				t.Error(err)
			}
			addrs, err := lo.Addrs()
			if err != nil || len(addrs) == 0 || addrs[0].String() != p {
				t.Errorf("addresses = %v, %v, want %s first", addrs, err, p)
			}
		}
		for want, err := range map[string]error{
			"set up interface nosuch0: ":                     Up{"nosuch0"}.Do(),
			"set address 192.0.2.1/24 of interface dummy9: ": Address{"dummy9", prefix("192.0.2.1/24")}.Do(),
		} {
			if !errors.Is(err, unix.ENODEV) || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error = %v, want ENODEV with %q", err, want)
			}
		}
		if err := (Up{strings.Repeat("x", 20)}).Do(); err == nil {
			t.Error("Up with a name of 20 bytes = nil, want an error")
		}
		for _, p := range []netip.Prefix{{}, prefix("2001:db8::1/64")} {
			if err := (Address{"lo", p}).Do(); !errors.Is(err, unix.EINVAL) {
				t.Errorf("Address with %v = %v, want EINVAL", p, err)
			}
		}
	})
}

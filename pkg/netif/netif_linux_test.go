package netif

import (
	"errors"
	"net"
	"os"
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
		for _, a := range []Address{{"lo", [4]byte{203, 0, 113, 1}, 24}, {"lo", [4]byte{198, 51, 100, 7}, 32}, {"lo", [4]byte{192, 0, 2, 1}, 0}} {
			if err := a.Do(); err != nil {
				t.Error(err)
			}
			addrs, err := lo.Addrs()
			if err != nil || len(addrs) == 0 || addrs[0].String() != a.String() {
				t.Errorf("addresses = %v, %v, want %s first", addrs, err, a)
			}
		}
		for name, err := range map[string]error{
			"set nosuch0 up: ":                   Up{"nosuch0"}.Do(),
			"set address 192.0.2.1/24 of dummy9": Address{"dummy9", [4]byte{192, 0, 2, 1}, 24}.Do(),
		} {
			if !errors.Is(err, unix.ENODEV) || !strings.HasPrefix(err.Error(), name) {
				t.Errorf("error = %v, want ENODEV with %q", err, name)
			}
		}
		if err := (Up{strings.Repeat("x", 20)}).Do(); err == nil {
			t.Error("a name of 20 bytes was accepted")
		}
		if err := (Address{"lo", [4]byte{192, 0, 2, 1}, 33}).Do(); err == nil {
			t.Error("a prefix length of 33 was accepted")
		}
		if err := (Hostname{"box"}).Do(); err != nil {
			t.Error(err)
		}
		if got, err := os.Hostname(); got != "box" {
			t.Errorf("host name = %q, %v, want box", got, err)
		}
		if err := (Hostname{strings.Repeat("x", 65)}).Do(); !errors.Is(err, unix.EINVAL) {
			t.Errorf("a name of 65 bytes: %v, want EINVAL", err)
		}
	})
}

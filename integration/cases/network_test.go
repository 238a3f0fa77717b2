package cases

import (
	"io"
	"net"
	"testing"
)

var loopbackGuest = inGuest("loopback", func(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Error(err)
			continue
		}
		defer l.Close()
		go func() {
			if conn, err := l.Accept(); err == nil {
				io.WriteString(conn, "hello")
				conn.Close()
			}
		}()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
			continue
		}
		defer conn.Close()
		if got, err := io.ReadAll(conn); string(got) != "hello" {
			t.Errorf("connection to %s returned %q, %v, want %q", address, got, err, "hello")
		}
	}
	if dummy, err := net.InterfaceByName("dummy0"); err == nil && dummy.Flags&net.FlagUp != 0 {
		t.Error("dummy0 is up, want it down without TSI")
	}
})

// TestLoopback checks that TCP connections over the loopback interface work with IPv4 and IPv6.
func TestLoopback(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	loopbackGuest.addTo(t, &cfg)
	wantConsole(t, run(t, cfg, 0), passed)
}

var tsiGuest = inGuest("tsi", func(t *testing.T) {
	dummy, err := net.InterfaceByName("dummy0")
	if err != nil {
		t.Fatal(err)
	}
	if dummy.Flags&net.FlagUp == 0 {
		t.Errorf("flags of dummy0 = %v, want it up", dummy.Flags)
	}
	addrs, err := dummy.Addrs()
	for _, addr := range addrs {
		if addr.String() == "203.0.113.1/24" {
			return
		}
	}
	t.Errorf("addresses of dummy0 = %v, %v, want 203.0.113.1/24", addrs, err)
})

// TestInterfaceForTSI checks that init configures dummy0 if the kernel has TSI, for programs that
// require a network interface.
func TestInterfaceForTSI(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	tsiGuest.addTo(t, &cfg)
	cfg.KernelArgs = "tsi_hijack"
	wantConsole(t, run(t, cfg, 0), passed)
}

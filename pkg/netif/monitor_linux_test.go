package netif

import (
	"errors"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

func TestLinkInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		monitor, err := OpenMonitor()
		if err != nil {
			t.Fatal(err)
		}
		defer monitor.Close()
		if monitor.Changed() {
			t.Error("Changed() before a change = true, want false")
		}
		c := veth(t)
		awaitChange(t, monitor)
		l, err := c.Link("eth0")
		if err != nil || l.Up || l.Carrier || l.MTU != 1500 || !l.Ethernet {
			t.Errorf("Link() of an interface that is down = %+v, %v", l, err)
		}
		if l.MaxMTU != 65535 {
			t.Errorf("MaxMTU = %d, want 65535", l.MaxMTU)
		}
		// The other end is down.
		if l, err := bringUp(c, "eth0"); err != nil || !l.Up || l.Carrier {
			t.Errorf("bringUp() without carrier = %+v, %v, want up", l, err)
		}
		awaitChange(t, monitor)
		lease := config("10.0.2.15/24", "0.0.0.0/0 via 10.0.2.2")
		lease.Index = l.Index
		apply(t, c, nil, lease) // works without carrier

		if l, err := bringUp(c, "peer0"); err != nil || !l.Carrier {
			t.Errorf("bringUp() = %+v, %v, want carrier", l, err)
		}
		awaitChange(t, monitor)
		if l, err := c.Link("eth0"); err != nil || !l.Up || !l.Carrier {
			t.Errorf("Link() = %+v, %v, want up with carrier", l, err)
		}

		overflow(t, monitor, c, l.Index)
		peer, err := netlink.LinkByName("peer0")
		if err == nil {
			err = netlink.LinkDel(peer)
		}
		if err != nil {
			t.Fatal(err)
		}
		awaitChange(t, monitor)
		if _, err := c.Link("eth0"); !errors.Is(err, unix.ENODEV) {
			t.Errorf("Link() of a deleted interface = %v, want ENODEV", err)
		}
		apply(t, c, lease, nil) // deletes what disappeared with the interface
	})
}

// overflow causes more notifications than the socket of the Monitor can hold.
func overflow(t *testing.T, monitor *Monitor, c *Conn, index int) {
	t.Helper()
	err := unix.SetsockoptInt(monitor.FD(), unix.SOL_SOCKET, unix.SO_RCVBUF, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := c.Do(Change{Kind: SetMTU, Index: index, MTU: uint32(1400 + i)}); err != nil {
			t.Fatal(err)
		}
	}
	if !monitor.Changed() || monitor.Changed() {
		t.Error("Changed() after too many changes: want true, then false")
	}
}

// awaitChange waits until the Monitor is readable, and reads.
func awaitChange(t *testing.T, m *Monitor) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(m.FD()), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 5000); n != 1 || err != nil || !m.Changed() {
		t.Errorf("no change was noticed: poll = %d, %v", n, err)
	}
}

package network

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
)

// TestReleaseInNamespace releases the lease of another process.
func TestReleaseInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		h.seconds = 4
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true}, h)
		if _, err := release(h, time.Second); !errors.Is(err, unix.EADDRNOTAVAIL) {
			t.Errorf("Release without a lease = %v, want EADDRNOTAVAIL", err)
		}
		r.start()
		r.untilLeased("eth0", "10.0.2.15/24", "10.0.2.3")

		h.silent = true
		if _, err := release(h, 50*time.Millisecond); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("Release without an answer = %v, want ErrNoAnswer", err)
		}
		h.silent, h.address = false, "10.0.2.77"
		_, err := release(h, 10*time.Second)
		if err == nil || !strings.Contains(err.Error(), "it offers 10.0.2.77/24") {
			t.Errorf("Release at another server = %v, want an error with its offer", err)
		}
		want(t, "addresses", addresses4(t, "eth0"), "10.0.2.15/24")
		want(t, "resolv.conf", resolvConf(t), "nameserver 10.0.2.3")

		h.address = "10.0.2.15"
		released, err := release(h, 10*time.Second)
		if released.String() != "10.0.2.15/24" || err != nil {
			t.Errorf("Release() = %v, %v, want 10.0.2.15/24", released, err)
		}
		r.until("the server has the message", func() bool {
			return h.seen[len(h.seen)-1].MessageType() == dhcpv4.MessageTypeRelease
		})
		m := h.last(dhcpv4.MessageTypeRelease)
		if m.ClientIPAddr.String() != "10.0.2.15" || m.ServerIdentifier().String() != "10.0.2.2" ||
			h.source != addr("10.0.2.15") {
			t.Errorf("from %v: %v", h.source, m)
		}
		want(t, "addresses", addresses4(t, "eth0"))
		want(t, "routes", routes(t, "eth0"))
		want(t, "resolv.conf", resolvConf(t), imageResolvConf)

		// The process that keeps the lease renews it at T1, which restores everything.
		r.untilLeased("eth0", "10.0.2.15/24", "10.0.2.3")
	})
}

// release releases the lease of eth0. Release has a loop of its own, so the host runs in a
// goroutine.
func release(h *host, limit time.Duration) (netip.Prefix, error) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		l := loop.Loop{Tasks: []loop.Task{h}}
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = l.Step(-1, 10*time.Millisecond)
			}
		}
	}()
	released, err := Release(Config{Interfaces: []string{"eth0"}, IPv4: true}, limit)
	close(stop)
	<-stopped
	return released, err
}

// TestOperationsInNamespace carries out the operations of a boot.
func TestOperationsInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		h := newHost(t, "eth0", 2)
		h.silent = true
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true}, h)
		if err := (Start{r.n}).Do(); err != nil {
			t.Fatal(err)
		}
		const limit = 150 * time.Millisecond
		began := loop.Now()
		err := Wait{Network: r.n, Limit: limit, Loop: &r.loop}.Do()
		if text := "eth0: no DHCP server answered within 150ms; the workload starts without a lease"; err == nil || err.Error() != text {
			t.Errorf("Wait without an answer = %v, want %s", err, text)
		}
		if took := loop.Now() - began; took < limit || r.n.Settled() {
			t.Errorf("Wait took %v, settled: %v, want %v and no lease", took, r.n.Settled(), limit)
		}
		if err := (Wait{Network: r.n, Loop: &r.loop}).Do(); err != nil {
			t.Errorf("Wait for nothing = %v, want nil", err)
		}
		h.silent = false
		err = Wait{Network: r.n, Limit: time.Minute, Loop: &r.loop}.Do()
		if err != nil || !r.n.Settled() {
			t.Errorf("Wait = %v, settled: %v, want a lease", err, r.n.Settled())
		}
		want(t, "addresses", addresses4(t, "eth0"), "10.0.2.15/24")

		// Nothing steps the loop between Start and Answer, and Wait handles what has arrived even
		// with a limit of 0.
		h = newHost(t, "eth1", 3)
		r = newRig(t, Config{Interfaces: []string{"eth1"}, IPv4: true})
		if err := (Start{r.n}).Do(); err != nil {
			t.Fatal(err)
		}
		socket := r.n.interfaces[0].v4.socket.FD()
		answer := func() {
			t.Helper()
			untilReadable(t, h.fd)
			h.Run()
			untilReadable(t, socket)
		}
		answer()
		if err := (Answer{r.n, "box"}).Do(); err != nil {
			t.Error(err)
		}
		answer()
		if m := h.last(dhcpv4.MessageTypeRequest); m.HostName() != "box" {
			t.Errorf("host name in the REQUEST = %q, want box", m.HostName())
		}
		if err := (Wait{Network: r.n, Limit: 0, Loop: &r.loop}).Do(); err != nil || !r.n.Settled() {
			t.Errorf("Wait after an answer = %v, settled: %v, want a lease", err, r.n.Settled())
		}
	})
}

// untilReadable waits until fd can be read.
func untilReadable(t *testing.T, fd int) {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		if n == 1 {
			return
		}
		if err != unix.EINTR {
			t.Fatalf("poll = %d, %v", n, err)
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

package netif

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]uint32{
		-time.Second: 0, 0: 0, 1: 1, time.Second: 1, time.Second + 1: 2, 90 * time.Minute: 5400,
		(infiniteSeconds - 1) * time.Second: infiniteSeconds - 1,
		infiniteSeconds * time.Second:       infiniteSeconds,
		Infinite:                            infiniteSeconds,
	} {
		if got := seconds(d); got != want {
			t.Errorf("seconds(%v) = %d, want %d", d, got, want)
		}
	}
	for _, s := range []uint32{0, 1, 3600, infiniteSeconds - 1, infiniteSeconds} {
		if got := seconds(lifetime(s)); got != s {
			t.Errorf("seconds(lifetime(%d)) = %d, want %d", s, got, s)
		}
	}
}

// TestConvert converts to the types of package netlink and back.
func TestConvert(t *testing.T) {
	for _, a := range []IfAddr{
		{prefix("10.0.2.15/24"), addr("10.0.2.255"), time.Hour, time.Minute, 0},
		{prefix("10.0.2.15/32"), addr(""), Infinite, Infinite, 0},
		{prefix("2001:db8::7/128"), addr(""), time.Hour, 0, unix.IFA_F_NOPREFIXROUTE},
	} {
		if got := newIfAddr(*a.netlink()); got != a {
			t.Errorf("newIfAddr(netlink()) = %+v, want %+v", got, a)
		}
	}
	for _, c := range []struct {
		route Route
		scope netlink.Scope
	}{
		{Route{prefix("0.0.0.0/0"), addr("10.0.2.2"), addr("10.0.2.15"), 100, ProtocolDHCP},
			netlink.SCOPE_UNIVERSE},
		{Route{prefix("10.0.0.1/32"), addr(""), addr(""), 0, ProtocolDHCP}, netlink.SCOPE_LINK},
		{Route{prefix("2001:db8::/64"), addr(""), addr(""), 100, ProtocolDHCP},
			netlink.SCOPE_UNIVERSE},
	} {
		r := c.route.netlink(2)
		if got := newRoute(*r); got != c.route || r.Scope != c.scope || r.LinkIndex != 2 {
			t.Errorf("%+v: netlink() = %+v, newRoute() = %+v, want scope %v",
				c.route, r, got, c.scope)
		}
	}
}

// TestRequest tells which errors have a request repeated.
func TestRequest(t *testing.T) {
	foreign := errors.New("wrong sender")
	for _, c := range []struct {
		answers  []error
		want     error
		attempts int
	}{
		{[]error{nil}, nil, 1},
		{[]error{unix.ENETUNREACH}, unix.ENETUNREACH, 1},
		{[]error{unix.ENODEV}, unix.ENODEV, 1},
		{[]error{unix.EAGAIN}, unix.ETIMEDOUT, 1},
		{[]error{foreign, unix.EINVAL, netlink.ErrDumpInterrupted, nil}, nil, 4},
		{[]error{unix.EINVAL, unix.EINVAL, unix.EINVAL, unix.EINVAL, unix.EINVAL}, unix.EINVAL, 5},
		{[]error{foreign, foreign, foreign, foreign, foreign}, foreign, 5},
	} {
		var conn Conn
		attempts := 0
		err := conn.request(func() error {
			attempts++
			if attempts > len(c.answers) {
				return fmt.Errorf("attempt %d", attempts)
			}
			return c.answers[attempts-1]
		})
		if !errors.Is(err, c.want) || attempts != c.attempts {
			t.Errorf("answers %v: %v after %d attempts, want %v after %d",
				c.answers, err, attempts, c.want, c.attempts)
		}
	}
}

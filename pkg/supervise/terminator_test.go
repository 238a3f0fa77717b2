//go:build linux || freebsd

package supervise

import (
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
)

func TestTerminator(t *testing.T) {
	const s = time.Second
	type event struct {
		now     time.Duration
		request bool // else time passes
		sig     syscall.Signal
		over    bool
		wait    time.Duration
	}
	for _, c := range []struct {
		name   string
		grace  time.Duration
		events []event
	}{
		{"no request", 10 * s, []event{
			{now: 0, wait: loop.Forever},
			{now: 1000 * s, wait: loop.Forever},
		}},
		{"in time", 10 * s, []event{
			{now: 100 * s, request: true, sig: unix.SIGHUP, wait: 10 * s},
			{now: 105 * s, wait: 5 * s},
			{now: 110*s - 1, wait: 1},
		}},
		{"too late", 10 * s, []event{
			{now: 100 * s, request: true, sig: unix.SIGHUP, wait: 10 * s},
			{now: 110 * s, sig: unix.SIGKILL, wait: killTimeout},
			{now: 111 * s, wait: killTimeout - s},
			{now: 110*s + killTimeout, over: true},
		}},
		{"much too late", s, []event{
			{now: 1 * s, request: true, sig: unix.SIGHUP, wait: s},
			{now: 1000 * s, sig: unix.SIGKILL, wait: killTimeout},
			{now: 1000 * s, wait: killTimeout},
		}},
		{"second request", 10 * s, []event{
			{now: 100 * s, request: true, sig: unix.SIGHUP, wait: 10 * s},
			{now: 101 * s, request: true, sig: unix.SIGKILL, wait: killTimeout},
			{now: 102 * s, request: true, sig: unix.SIGKILL, wait: killTimeout - s}, // not longer
			{now: 101*s + killTimeout, over: true},
		}},
		{"no grace", 0, []event{
			{now: 100 * s, request: true, sig: unix.SIGHUP},
			{now: 100 * s, sig: unix.SIGKILL, wait: killTimeout},
		}},
		{"no limit", -1, []event{
			{now: 100 * s, request: true, sig: unix.SIGHUP, wait: loop.Forever},
			{now: 9999 * s, wait: loop.Forever},
			{now: 10000 * s, request: true, sig: unix.SIGKILL, wait: killTimeout},
			{now: 10000*s + killTimeout, over: true},
		}},
	} {
		term := terminator{signal: unix.SIGHUP, grace: c.grace}
		for i, e := range c.events {
			var sig syscall.Signal
			var over bool
			if e.request {
				sig = term.request(e.now, unix.SIGTERM)
			} else {
				sig, over = term.expire(e.now)
			}
			if sig != e.sig || over != e.over {
				t.Errorf("%s, event %d: signal %d, over %v, want %d, %v", c.name, i, sig, over, e.sig, e.over)
			}
			if got := term.wait(e.now); got != e.wait {
				t.Errorf("%s, event %d: wait() = %v, want %v", c.name, i, got, e.wait)
			}
		}
	}
	if got := new(terminator).request(0, unix.SIGINT); got != unix.SIGINT {
		t.Errorf("request() without a signal of its own = %v, want SIGINT", got)
	}
}

package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/krunbox/krunbox/integration/vm"
)

// forward is an option --publish: a TCP port of this machine's loopback interface, and the guest's
// port that it leads to.
type forward struct{ host, guest uint16 }

// parseForward parses the value of --publish, HOST:GUEST.
func parseForward(s string) (forward, error) {
	host, guest, _ := strings.Cut(s, ":")
	h, err1 := strconv.ParseUint(host, 10, 16)
	g, err2 := strconv.ParseUint(guest, 10, 16)
	if err1 != nil || err2 != nil || h == 0 || g == 0 {
		return forward{}, errors.New("want HOST:GUEST, two TCP ports from 1 to 65535, such as 8080:80")
	}
	return forward{uint16(h), uint16(g)}, nil
}

// check returns an error if the host's port cannot be listened on. Another program can still take
// it before QEMU does.
func (f forward) check() error {
	l, err := net.Listen("tcp4", f.address())
	switch {
	case err == nil:
		return l.Close()
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("--publish %v: port %d of 127.0.0.1 is in use: choose another one "+
			`("ss -ltnp sport = :%[2]d" shows by which program)`, f, f.host)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("--publish %v: port %d is for root: choose one above 1023", f, f.host)
	}
	return fmt.Errorf("--publish %v: %w", f, err)
}

func (f forward) String() string { return fmt.Sprintf("%d:%d", f.host, f.guest) }

func (f forward) address() string { return fmt.Sprintf("127.0.0.1:%d", f.host) }

// network returns QEMU's user network with the given forwards.
func network(forwards []forward) vm.Device {
	options := []string{"user", "id=net"}
	for _, f := range forwards {
		options = append(options, fmt.Sprintf("hostfwd=tcp:%s-:%d", f.address(), f.guest))
	}
	return vm.Device{Args: func([]int) []string {
		return []string{"-netdev", strings.Join(options, ","), "-device", "virtio-net-device,netdev=net"}
	}}
}

package network

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/mount"
)

// skipDetection makes the kernel use IPv6 addresses of the interface at once, as container runtimes
// do. Duplicate address detection would take one to two seconds, for the link-local address and
// again for each address of an advertisement, to find out what is certain on a virtual link.
func (i *Interface) skipDetection() error {
	if i.setIPv6("accept_dad", "0") != nil {
		return nil // a kernel without IPv6 has no such file
	}
	addresses, err := i.network.conn.Addresses(i.link.Index)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		if a.Prefix.Addr().Is6() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
			return nil // the address may be in use
		}
	}
	// Detection has begun when the interface was set up. Restart IPv6 on it.
	_ = i.setIPv6("disable_ipv6", "1")
	_ = i.setIPv6("disable_ipv6", "0")
	return nil
}

// setIPv6 sets a parameter of the interface, Documentation/networking/ip-sysctl.rst of Linux.
func (i *Interface) setIPv6(name, value string) error {
	file := fmt.Sprintf("sys/net/ipv6/conf/%s/%s", i.Name, name)
	err := os.WriteFile("/proc/"+file, []byte(value), 0)
	if !errors.Is(err, unix.EROFS) {
		return err
	}
	// The workload, whose mount namespace is ours, too, has a read-only /proc/sys.
	proc, err := mount.OpenProc()
	if err != nil {
		return err
	}
	defer proc.Close()
	return os.WriteFile(fmt.Sprintf("/proc/self/fd/%d/%s", proc.Fd(), file), []byte(value), 0)
}

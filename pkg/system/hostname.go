//go:build linux || freebsd

// Package system sets machine-wide state: sysctls, device nodes, cgroups, host name, NIS domain,
// /etc/hosts.
package system

import "github.com/krunbox/krunbox/pkg/op"

// Hostname sets the host name: sethostname(2) on Linux, the sysctl kern.hostname on FreeBSD.
type Hostname struct{ Name string }

func (h Hostname) Describe() op.Description { return op.Describe("set hostname", h.Name) }

func (h Hostname) Do() (err error) {
	defer op.Wrap(&err, "set hostname %q", h.Name)
	return setHostname(h.Name)
}

//go:build linux || freebsd

package system

import (
	"fmt"

	"github.com/krunbox/krunbox/pkg/op"
)

// Hostname sets the host name: sethostname(2) on Linux, the sysctl
// kern.hostname on FreeBSD.
type Hostname struct{ Name string }

func (h Hostname) Describe() op.Description { return op.Describe("set hostname", h.Name) }

func (h Hostname) Do() error {
	if err := setHostname(h.Name); err != nil {
		return fmt.Errorf("set hostname %q: %w", h.Name, err)
	}
	return nil
}

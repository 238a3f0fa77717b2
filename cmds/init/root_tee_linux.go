//go:build tee

package main

import (
	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/rootfs"
)

// rootConfig is the root of a confidential guest (SEV, TDX), chosen when the binary is built: the command line comes from a
// host that is not trusted.
func (g *guest) rootConfig() rootfs.Config {
	return rootfs.Config{Device: "/dev/vda", Type: "ext4", Timeout: bootparam.DefaultBlockRootTimeout}
}

// blockRoot and otherRoot tell that the root is on a block device, and so another one than the kernel has mounted.
func (g *guest) blockRoot() bool { return true }
func (g *guest) otherRoot() bool { return true }

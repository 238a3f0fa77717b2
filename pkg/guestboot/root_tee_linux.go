//go:build tee

package guestboot

import (
	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/rootfs"
)

// rootConfig returns the root of a confidential guest (SEV, TDX). It is fixed when the binary is
// built, because such a guest does not trust the host, which writes the command line.
func (g *Guest) rootConfig() rootfs.Config {
	return rootfs.Config{Device: "/dev/vda", Type: "ext4",
		Timeout: bootparam.DefaultBlockRootTimeout, Pause: g.pause}
}

//go:build !tee

package guestboot

import (
	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/rootfs"
)

// rootConfig returns the root that the host asks for. Without device and overlay it is the one that
// the kernel has mounted.
func (g *Guest) rootConfig() rootfs.Config {
	root := g.Params.BlockRoot
	flags, data := mount.ParseOptions(root.Options)
	return rootfs.Config{
		Device:  root.Device,
		Type:    root.FSType,
		Flags:   flags,
		Data:    data,
		Options: root.Options,
		Overlay: g.Params.RootOverlay,
		Timeout: root.Timeout,
		Pause:   g.pause,
	}
}

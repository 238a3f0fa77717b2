//go:build !tee

package main

import (
	"strings"

	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/rootfs"
)

// rootConfig is the root that the host asks for; none is the one that the kernel has mounted.
func (g *guest) rootConfig() rootfs.Config {
	root := g.params.BlockRoot
	flags, data := mount.ParseOptions(0, strings.Split(root.Options, ","))
	return rootfs.Config{
		Device:  root.Device,
		Type:    root.FSType,
		Flags:   flags,
		Data:    data,
		Options: root.Options,
		Overlay: g.params.RootOverlay,
		Timeout: root.Timeout,
	}
}

// blockRoot tells whether the root is on a block device.
func (g *guest) blockRoot() bool { return g.params.BlockRoot.Device != "" }

// otherRoot tells whether the host asks for another root than the kernel has mounted.
func (g *guest) otherRoot() bool { return g.blockRoot() || g.params.RootOverlay != "" }

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

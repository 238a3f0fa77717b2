package guestboot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/imagefile"
	"github.com/krunbox/krunbox/pkg/kmodule"
	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/poweroff"
	"github.com/krunbox/krunbox/pkg/rootfs"
)

// defaultConfig is where a host leaves the configuration, if it has one.
const defaultConfig = "/.krun_config.json"

func (g *Guest) planCtrlAltDel() ([]op.Op, error) { return []op.Op{poweroff.CtrlAltDel{}}, nil }

// mayHaveModules reports whether the image may list modules. A libkrun host, whose kernel has none,
// starts init as /init.krun, so the look-up is skipped there.
func (g *Guest) mayHaveModules() bool { return !strings.HasSuffix(g.Name, "init.krun") }

func (g *Guest) prepareModules() (err error) {
	g.modules, err = kmodule.ReadList(g.Root + kmodule.List)
	return err
}

func (g *Guest) planModules() ([]op.Op, error) {
	if len(g.modules) == 0 {
		return nil, nil
	}
	return []op.Op{kmodule.Load(g.modules)}, nil
}

func (g *Guest) planRoot() ([]op.Op, error) {
	return rootfs.Plan(g.rootConfig(), &g.originalRoot), nil
}

// mayBeInitramfs reports whether the root may stay an initramfs. The root of a libkrun host is not one.
func (g *Guest) mayBeInitramfs() bool { return g.mayHaveModules() && !g.hasOtherRoot() }

func (g *Guest) planPivotable() ([]op.Op, error) { return []op.Op{rootfs.MakePivotable{}}, nil }

// hasBlockRoot reports whether the root is a block device.
func (g *Guest) hasBlockRoot() bool { return g.rootConfig().Device != "" }

// planGrowth grows file systems whose devices have become larger. The root below an overlay is
// read-only.
func (g *Guest) planGrowth() (ops []op.Op, err error) {
	root := g.rootConfig()
	wanted := g.Params.BlockRoot.Grow || mount.WantsGrowth(root.Options)
	if wanted && g.hasBlockRoot() && root.Overlay == "" {
		ops = append(ops, mount.Grow{Target: "/"})
	}
	return append(ops, mount.Growth(g.Config.Mounts)...), nil
}

// hasOtherRoot reports whether another root is asked for than the one that the kernel has mounted.
func (g *Guest) hasOtherRoot() bool { return g.hasBlockRoot() || g.rootConfig().Overlay != "" }

// prepareConfiguration reads the configuration, on which the stages after it depend. The
// configuration in the root that init came from, which is the host's, takes precedence over that of
// a block root or an overlay.
func (g *Guest) prepareConfiguration() error {
	path, file := g.configPath()
	data, err := imagefile.ReadOnce(file, guestconfig.MaxSize)
	if g.hasOtherRoot() {
		if fd, ok := g.originalRoot.FD(); ok {
			host, hostErr := imagefile.ReadOnce(fmt.Sprintf("/proc/self/fd/%d/%s", fd, path), guestconfig.MaxSize)
			if !errors.Is(hostErr, fs.ErrNotExist) {
				if err == nil && !bytes.Equal(data, host) {
					g.warnOf("configuration")(fmt.Errorf("%s of the image: ignored, the host has one", path))
				}
				data, err = host, hostErr
			}
		}
	}
	return g.setConfig(file, data, err)
}

// reportUnsupported returns an error that names the fields of the configuration that have no effect.
func (g *Guest) reportUnsupported() error {
	if len(g.Config.Unsupported) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", strings.Join(g.Config.Unsupported, ", "), op.ErrUnsupported)
}

// planFree frees the memory of the initramfs that init came from. Its stage comes after stage
// "configuration", which reads files there.
func (g *Guest) planFree() ([]op.Op, error) {
	return []op.Op{rootfs.FreeInitramfs{Original: &g.originalRoot}}, nil
}

func (g *Guest) planEssential() ([]op.Op, error)   { return mount.Essential(), nil }
func (g *Guest) planFileSystems() ([]op.Op, error) { return mount.Optional(), nil }

// planPropagation makes mounts reach the mount namespaces that the workload creates.
func (g *Guest) planPropagation() ([]op.Op, error) {
	shared := mount.Attrs{Propagation: unix.MS_SHARED | unix.MS_REC}
	return []op.Op{mount.Change{Target: "/", Attrs: shared}}, nil
}

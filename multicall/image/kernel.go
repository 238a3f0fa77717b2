package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/krunbox/krunbox/internal/cache"
	"github.com/krunbox/krunbox/internal/debian"
)

// A kernel is a kernel and its modules on this host. One of the two may be missing.
type kernel struct {
	image   string // file of the kernel itself
	version string // as uname -r prints it
	modules string // directory of its modules
}

// addKernel adds the modules that opts select to t, and copies the kernel to opts.KernelOutput.
func addKernel(ctx context.Context, t tree, opts *Options, scratch string) error {
	if opts.Kernel == "" {
		if len(opts.Modules) > 0 || opts.KernelOutput != "" {
			return errors.New("modules or a copy of the kernel requested, but no kernel named")
		}
		return nil
	}
	k, err := findKernel(ctx, opts, scratch)
	if err == nil {
		err = k.add(t, opts)
	}
	if err != nil {
		return fmt.Errorf("kernel %s: %w", opts.Kernel, err)
	}
	return nil
}

// add adds the modules to t, and copies the kernel.
func (k *kernel) add(t tree, opts *Options) error {
	if opts.KernelOutput != "" {
		if k.image == "" {
			return errors.New("no boot/vmlinuz-VERSION to copy")
		}
		data, err := os.ReadFile(k.image)
		if err != nil {
			return err
		}
		if err := os.WriteFile(opts.KernelOutput, data, 0o644); err != nil {
			return err
		}
	}
	if k.modules == "" {
		return fmt.Errorf("no lib/modules/%s", k.version)
	}
	opts.Progress("collecting modules of kernel " + k.version)
	return addModules(t, k, opts.Modules)
}

// findKernel returns the kernel that opts.Kernel names. It unpacks a package into scratch.
func findKernel(ctx context.Context, opts *Options, scratch string) (*kernel, error) {
	if opts.Kernel == "debian" {
		dir, err := debianKernel(ctx, opts.GOARCH, opts.Progress)
		if err != nil {
			return nil, err
		}
		return kernelIn(dir)
	}
	info, err := os.Stat(opts.Kernel)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return kernelIn(opts.Kernel)
	case strings.HasSuffix(opts.Kernel, ".deb"):
		dir := filepath.Join(scratch, "kernel")
		if err := debian.Unpack(ctx, opts.Kernel, dir); err != nil {
			return nil, err
		}
		return kernelIn(dir)
	}
	version, ok := strings.CutPrefix(filepath.Base(opts.Kernel), "vmlinuz-")
	if !ok {
		return nil, errors.New("want a file vmlinuz-VERSION, a directory, or a file NAME.deb")
	}
	return newKernel(filepath.Join(filepath.Dir(opts.Kernel), ".."), version)
}

// kernelIn returns the kernel in a directory, which is a root with exactly one kernel, or the
// directory of a kernel's modules.
func kernelIn(dir string) (*kernel, error) {
	var versions []string
	for _, lib := range libraries {
		entries, err := os.ReadDir(filepath.Join(dir, lib))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if !slices.Contains(versions, e.Name()) {
				versions = append(versions, e.Name())
			}
		}
	}
	switch len(versions) {
	case 0:
		if _, err := os.Stat(filepath.Join(dir, "modules.order")); err != nil {
			return nil, errors.New("the directory has neither lib/modules nor modules.order")
		}
		abs, err := filepath.Abs(dir)
		return &kernel{version: filepath.Base(abs), modules: dir}, err
	case 1:
		return newKernel(dir, versions[0])
	}
	return nil, fmt.Errorf("there are several kernels (%s): name one as boot/vmlinuz-VERSION",
		strings.Join(versions, ", "))
}

// libraries are the directories of a root for the modules of kernels.
var libraries = []string{"lib/modules", "usr/lib/modules"}

// newKernel returns a kernel in a root.
func newKernel(root, version string) (*kernel, error) {
	k := &kernel{version: version}
	if path := filepath.Join(root, "boot", "vmlinuz-"+version); exists(path) {
		k.image = path
	}
	for _, lib := range libraries {
		if path := filepath.Join(root, lib, version); exists(path) && k.modules == "" {
			k.modules = path
		}
	}
	if k.image == "" && k.modules == "" {
		return nil, fs.ErrNotExist
	}
	return k, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// debianKernel returns a directory with Debian's current cloud kernel. The directory is in the
// cache; whoever wants a later kernel removes it.
func debianKernel(ctx context.Context, goarch string, progress func(string)) (string, error) {
	return cache.File(ctx, "debian-kernel-"+goarch, func(scratch string) (string, error) {
		progress("fetching Debian's cloud kernel for " + goarch)
		packages, err := debian.Open(ctx, goarch, scratch)
		if err != nil {
			return "", err
		}
		// The package of this name contains no files. It depends on the current kernel.
		file, err := packages.Download(ctx, "linux-image-cloud-"+goarch)
		if err != nil {
			return "", err
		}
		depends, err := debian.Field(ctx, file, "Depends")
		if err != nil {
			return "", err
		}
		name, _, _ := strings.Cut(strings.TrimSpace(depends), " ")
		if !strings.HasPrefix(name, "linux-image-") {
			return "", fmt.Errorf("%s depends on %q, want a kernel", filepath.Base(file), depends)
		}
		if file, err = packages.Download(ctx, name); err != nil {
			return "", err
		}
		root := filepath.Join(scratch, "root")
		return root, debian.Unpack(ctx, file, root)
	})
}

package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A kernel is a kernel and its modules on this host. Either may be missing.
type kernel struct {
	image   string // the kernel itself
	version string // as uname -r prints it
	modules string // the directory of this version's modules
}

// addKernel puts the modules that opts ask for into t, and the kernel where opts want it.
func addKernel(ctx context.Context, t tree, opts *Options, scratch string) error {
	if opts.Kernel == "" {
		if len(opts.Modules) > 0 || opts.KernelOutput != "" {
			return errors.New("modules and the kernel are asked for, but no kernel is named")
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

func (k *kernel) add(t tree, opts *Options) error {
	if opts.KernelOutput != "" {
		if k.image == "" {
			return errors.New("there is no boot/vmlinuz-VERSION to copy")
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
		return fmt.Errorf("there is no lib/modules/%s", k.version)
	}
	opts.Progress("collecting modules of kernel " + k.version)
	return addModules(t, k, opts.Modules)
}

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
		if err := command(ctx, "", "dpkg-deb", "-x", opts.Kernel, dir); err != nil {
			return nil, err
		}
		return kernelIn(dir)
	}
	version, ok := strings.CutPrefix(filepath.Base(opts.Kernel), "vmlinuz-")
	if !ok {
		return nil, errors.New("want a file vmlinuz-VERSION, a directory, or a package that ends in .deb")
	}
	return newKernel(filepath.Join(filepath.Dir(opts.Kernel), ".."), version)
}

// kernelIn finds the kernel in a directory: the only one in a root, or the modules of one.
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
			return nil, errors.New("it has neither lib/modules nor modules.order")
		}
		abs, err := filepath.Abs(dir)
		return &kernel{version: filepath.Base(abs), modules: dir}, err
	case 1:
		return newKernel(dir, versions[0])
	}
	return nil, fmt.Errorf("there are several: name one as boot/vmlinuz-VERSION, VERSION one of %s", strings.Join(versions, ", "))
}

// libraries are where a root has the modules of kernels.
var libraries = []string{"lib/modules", "usr/lib/modules"}

// newKernel is a kernel in a root.
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

// debianKernel returns a directory with Debian's current cloud kernel. It is fetched once; whoever wants a later one removes
// the directory.
func debianKernel(ctx context.Context, goarch string, progress func(string)) (string, error) {
	cache := os.Getenv("KRUNBOX_CACHE")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no place for downloads (set KRUNBOX_CACHE to a directory): %w", err)
		}
		cache = filepath.Join(dir, "krunbox")
	}
	cache, err := filepath.Abs(cache)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "debian-kernel-"+goarch)
	if exists(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp(cache, "debian-kernel-"+goarch+".tmp-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	progress("fetching Debian's cloud kernel for " + goarch)
	if err := download(ctx, goarch, scratch); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(scratch, "root"), dir); err != nil && !exists(dir) { // another process may have been faster
		return "", err
	}
	return dir, nil
}

// download fetches the kernel's package and unpacks it to scratch/root. It uses the system's package sources and keys, but
// keeps lists of its own, so that the system need not know the architecture, and any user can do it. apt checks signatures.
func download(ctx context.Context, goarch, scratch string) error {
	for _, dir := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(scratch, dir), 0o755); err != nil {
			return err
		}
	}
	apt := func(args ...string) error {
		return command(ctx, scratch, "apt-get", append([]string{
			"-q",
			"-o", "APT::Architecture=" + goarch,
			"-o", "APT::Architectures=" + goarch,
			"-o", "APT::Sandbox::User=root", // the directories are this user's
			"-o", "Dir::State=" + filepath.Join(scratch, "state"),
			"-o", "Dir::State::status=/dev/null",
			"-o", "Dir::Cache=" + filepath.Join(scratch, "cache"),
		}, args...)...)
	}
	// A source without this architecture must not matter, so what counts is whether the packages can be had.
	updateErr := apt("update")
	meta := "linux-image-cloud-" + goarch
	if err := apt("download", meta+":"+goarch); err != nil {
		return errors.Join(err, updateErr)
	}
	// This package is empty but for the name of the current one.
	deb, err := onlyFile(scratch, meta+"_*.deb")
	if err != nil {
		return err
	}
	depends, err := exec.CommandContext(ctx, "dpkg-deb", "-f", deb, "Depends").Output()
	if err != nil {
		return fmt.Errorf("dpkg-deb -f %s: %w", filepath.Base(deb), err)
	}
	name, _, _ := strings.Cut(strings.TrimSpace(string(depends)), " ")
	if !strings.HasPrefix(name, "linux-image-") {
		return fmt.Errorf("%s depends on %q, want a kernel", meta, depends)
	}
	if err := apt("download", name+":"+goarch); err != nil {
		return err
	}
	if deb, err = onlyFile(scratch, name+"_*.deb"); err != nil {
		return err
	}
	return command(ctx, scratch, "dpkg-deb", "-x", deb, "root")
}

func onlyFile(dir, pattern string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("apt-get download left %d files %s, want 1", len(found), pattern)
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}

// command runs a command in dir, or if that is empty where we are. The error holds the last line of what it printed.
func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	output, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", name, context.Cause(ctx))
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("the %s command is missing: this needs Debian or one of its kin", name)
	}
	output = bytes.TrimSpace(output)
	return fmt.Errorf("%s: %w: %s", name, err, output[bytes.LastIndexByte(output, '\n')+1:])
}

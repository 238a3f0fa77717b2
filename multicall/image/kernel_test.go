package image

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFindKernel(t *testing.T) {
	modules := modulesDir(t)
	root := t.TempDir()
	for _, dir := range []string{"boot", "lib/modules"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	image := filepath.Join(root, "boot/vmlinuz-6.1.0-test")
	if err := os.WriteFile(image, []byte("kernel"), 0o644); err != nil {
		t.Fatal(err)
	}
	find := func(spec string) (*kernel, error) {
		return findKernel(t.Context(), &Options{Kernel: spec}, t.TempDir())
	}
	onlyModules := kernel{version: "6.1.0-test", modules: modules}
	if k, err := find(image); err != nil || *k != (kernel{image: image, version: "6.1.0-test"}) {
		t.Errorf("findKernel(no modules) = %+v, %v, want only the kernel", k, err)
	}
	if err := os.Symlink(modules, filepath.Join(root, "lib/modules/6.1.0-test")); err != nil {
		t.Fatal(err)
	}
	want := kernel{image, "6.1.0-test", filepath.Join(root, "lib/modules/6.1.0-test")}
	for _, spec := range []string{root, image} {
		if k, err := find(spec); err != nil || *k != want {
			t.Errorf("findKernel(%s) = %+v, %v, want %+v", spec, k, err, want)
		}
	}
	if err := os.WriteFile(filepath.Join(modules, "modules.order"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if k, err := find(modules); err != nil || *k != onlyModules {
		t.Errorf("findKernel(%s) = %+v, %v, want %+v", modules, k, err, onlyModules)
	}
	if err := os.Mkdir(filepath.Join(root, "lib/modules/6.2"), 0o755); err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]string{
		root:                          "several kernels",
		t.TempDir():                   "neither lib/modules nor modules.order",
		root + "/nosuch":              "no such file",
		modules + "/modules.order":    "want a file vmlinuz-VERSION",
		root + "/boot/vmlinuz-nosuch": "no such file",
	} {
		if k, err := find(spec); !fails(err, want) {
			t.Errorf("findKernel(%s) = %+v, %v, want an error with %q", spec, k, err, want)
		}
	}
}

// TestAddKernelErrors checks options that need a kernel or a kernel's file.
func TestAddKernelErrors(t *testing.T) {
	for _, opts := range []Options{{Modules: []string{"fuse"}}, {KernelOutput: "vmlinuz"}} {
		if err := addKernel(t.Context(), newTree(), &opts, ""); !fails(err, "no kernel named") {
			t.Errorf("addKernel(%+v) = %v, want an error", opts, err)
		}
	}
	opts := Options{Kernel: modulesDir(t), KernelOutput: "vmlinuz", Progress: func(string) {}}
	if err := os.WriteFile(filepath.Join(opts.Kernel, "modules.order"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := addKernel(t.Context(), newTree(), &opts, ""); !fails(err, "to copy") {
		t.Errorf("addKernel(only modules, with KernelOutput) = %v, want an error", err)
	}
}

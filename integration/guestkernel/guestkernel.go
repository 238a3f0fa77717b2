// Package guestkernel provides the Linux kernel of libkrun's guests, as a file for QEMU's -kernel,
// and the init program of libkrun, for comparison with krunbox.
//
// Both are parts of public npm packages. They are downloaded by the npm command when they are first
// needed, checked against the checksums in this package, and kept in a cache directory:
// $KRUNBOX_CACHE or, if that is not set, "krunbox" in the user's cache directory.
package guestkernel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/krunbox/krunbox/internal/cache"
)

// kernelMember is the path of the library with the kernel, within the packages in kernels.
const kernelMember = "package/lib/libkrunfw.so.5.6.1"

// kernels has the packages with a kernel, by GOARCH.
var kernels = map[string]npmPackage{
	"amd64": {
		name:    "@superradcompany/microsandbox-linux-x64-gnu",
		version: "0.7.2",
		sha256:  "7aacbb9ab86a152813d005c6ba12551b104997be9234a010a3473e4b2e9703e0",
		size:    42820523,
	},
	"arm64": {
		name:    "@superradcompany/microsandbox-linux-arm64-gnu",
		version: "0.6.8",
		sha256:  "604d5c9e26d6e024cc1d5b4d751cb70eb6e0af305020eee15e64216ad7c87cb4",
		size:    36972941,
	},
}

// peerPackage is the package with libkrun's init, an x86-64 program.
var peerPackage = npmPackage{
	name:    "@boxlite-ai/boxlite-linux-x64-gnu",
	version: "0.10.3",
	sha256:  "0eae47036263ad501bdcd9b8185a664f8cb92efa8dda14468d19c96dddc125a0",
	size:    38870668,
}

// Location of libkrun's init in peerPackage.
const (
	peerMember = "package/boxlite.linux-x64-gnu.node" // a library that contains the program
	peerOffset = 24182074                             // bytes
	peerSize   = 2153952                              // bytes
)

// Path returns the path of the guest kernel for arch, "amd64" or "arm64". The file is in the format
// for QEMU's -kernel: an ELF file with a PVH entry point for amd64, an Image for arm64. Path fails
// if the kernel is not cached and cannot be downloaded.
func Path(ctx context.Context, arch string) (string, error) {
	pkg, ok := kernels[arch]
	if !ok {
		return "", fmt.Errorf("guest kernel for architecture %q: want amd64 or arm64", arch)
	}
	return cache.File(ctx, pkg.entry("kernel-"+arch), func(scratch string) (string, error) {
		lib := filepath.Join(scratch, "libkrunfw.so")
		if err := pkg.fetchMember(ctx, "the guest kernel", kernelMember, lib); err != nil {
			return "", err
		}
		image, err := kernelBundle(lib)
		if err != nil {
			return "", err
		}
		if arch == "amd64" {
			image = pvhELF(image)
		}
		path := filepath.Join(scratch, "kernel")
		return path, os.WriteFile(path, image, 0o644)
	})
}

// PeerInit returns the path of libkrun's init program, the one written in C: a static x86-64
// executable. It fails if the program is not cached and cannot be downloaded.
func PeerInit(ctx context.Context) (string, error) {
	return cache.File(ctx, peerPackage.entry("peer-init"), func(scratch string) (string, error) {
		lib := filepath.Join(scratch, "library")
		if err := peerPackage.fetchMember(ctx, "libkrun's init", peerMember, lib); err != nil {
			return "", err
		}
		f, err := os.Open(lib)
		if err != nil {
			return "", err
		}
		defer f.Close()
		program := make([]byte, peerSize)
		if _, err := f.ReadAt(program, peerOffset); err != nil {
			return "", fmt.Errorf("%s: read init at offset %d: %w", peerMember, peerOffset, err)
		}
		if !bytes.HasPrefix(program, []byte(elf.ELFMAG)) {
			return "", fmt.Errorf("%s: no executable at offset %d", peerMember, peerOffset)
		}
		path := filepath.Join(scratch, "init")
		return path, os.WriteFile(path, program, 0o755)
	})
}

// checkSHA256 returns an error if the checksum of a file is not want, in hexadecimal.
func checkSHA256(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("%s: sha256 is %s, want %s", filepath.Base(path), got, want)
	}
	return nil
}

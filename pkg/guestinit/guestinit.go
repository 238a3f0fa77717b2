// Package guestinit is for programs that start guests with krunbox as init. It provides the init
// binary, converts typed parameters and configurations to what init reads, and lists the files that
// a host must show in the guest's root.
//
// Environ and EncodeConfig are the inverse of bootparam.Parse and guestconfig.Parse. What they
// return is parsed as the same values, byte for byte. If a value can't be expressed, they return an
// error that names the field.
package guestinit

import (
	"bytes"
	"debug/elf"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/krunbox/krunbox/pkg/guestconfig"
)

// Paths in a libkrun guest. KRUN_CONFIG can name another configuration.
const (
	InitPath   = "/init.krun"
	ConfigPath = "/.krun_config.json"
)

// EnvBinaryPath is the environment variable of the host that names a file to use as init; see Find.
// The build of libkrun uses the same variable.
const EnvBinaryPath = "KRUN_INIT_BINARY_PATH"

//go:generate go run ../../multicall/build -goos linux -goarch amd64 -version "$VERSION" -o binaries/init_amd64.krun ../../cmds/...
//go:generate go run ../../multicall/build -goos linux -goarch arm64 -version "$VERSION" -o binaries/init_arm64.krun ../../cmds/...
//go:generate go run ../../multicall/build -goos linux -goarch riscv64 -version "$VERSION" -o binaries/init_riscv64.krun ../../cmds/...

//go:embed binaries
var embedded embed.FS

// Binary returns the init for Linux guests of an architecture: "amd64", "arm64" or "riscv64". The
// caller may change the bytes.
//
// Binaries are embedded when this package is compiled. They are not in the repository, so a copy of
// the module from there has none. If the binary is missing, the error is fs.ErrNotExist, and its
// text tells how to build the binary.
func Binary(arch string) ([]byte, error) { return binaryIn(embedded, arch) }

// NewReader returns a reader of what Binary returns.
func NewReader(arch string) (*bytes.Reader, error) {
	data, err := Binary(arch)
	return bytes.NewReader(data), err
}

// Find returns the contents of the file that the variable EnvBinaryPath names, or, if the variable
// is empty, what Binary returns. It returns an error if the file is not a program for the
// architecture. getenv returns the value of a variable: os.Getenv lets the user of the host choose
// the file.
func Find(arch string, getenv func(name string) string) ([]byte, error) {
	path := getenv(EnvBinaryPath)
	if path == "" {
		return Binary(arch)
	}
	data, err := os.ReadFile(path)
	if err == nil {
		err = checkELF(path, data, arch)
	}
	if err != nil {
		return nil, fmt.Errorf("guestinit: %s: %w", EnvBinaryPath, err)
	}
	return data, nil
}

func binaryIn(fsys fs.FS, arch string) ([]byte, error) {
	if _, err := machine(arch); err != nil {
		return nil, fmt.Errorf("guestinit: %w", err)
	}
	name := "binaries/init_" + arch + ".krun"
	data, err := fs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("guestinit: init for %s is not embedded: build it with make guestinit "+
			"or go generate ./pkg/guestinit, or set %s: %w", arch, EnvBinaryPath, fs.ErrNotExist)
	}
	if err == nil {
		err = checkELF(name, data, arch)
	}
	if err != nil {
		return nil, fmt.Errorf("guestinit: %w", err)
	}
	return data, nil
}

// checkELF returns an error if data, the contents of the file name, is not a program for the
// architecture. Without this check, the guest's kernel would panic and not tell why.
func checkELF(name string, data []byte, arch string) error {
	want, err := machine(arch)
	if err != nil {
		return err
	}
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%s: not an ELF program: %w", name, err)
	}
	if file.Machine != want {
		return fmt.Errorf("%s: program for %v, want %v", name, file.Machine, want)
	}
	return nil
}

func machine(arch string) (elf.Machine, error) {
	switch arch {
	case "amd64":
		return elf.EM_X86_64, nil
	case "arm64":
		return elf.EM_AARCH64, nil
	case "riscv64":
		return elf.EM_RISCV, nil
	}
	return 0, fmt.Errorf("unknown architecture %q: want amd64, arm64 or riscv64", arch)
}

// File is a file that a host shows in the guest's root, in place of a file that may be there.
type File struct {
	Path string
	Mode fs.FileMode // permission bits; the owner is root
	Data []byte
	// OneShot says that the guest opens the file only once. The host may remove the name after the
	// first look-up, and the contents after the file is closed.
	OneShot bool
}

// Overlay returns the files that start a guest: the init binary, and the configuration unless
// config is nil. Its errors are those of EncodeConfig.
func Overlay(binary []byte, config *guestconfig.Config) ([]File, error) {
	files := []File{{Path: InitPath, Mode: 0o755, Data: binary, OneShot: true}}
	if config == nil {
		return files, nil
	}
	data, err := EncodeConfig(*config)
	if err != nil {
		return nil, err
	}
	return append(files, File{Path: ConfigPath, Mode: 0o444, Data: data, OneShot: true}), nil
}

// Package guestinit is for programs that start guests with krunbox as their init: it has the binary, the files that a host
// shows in the guest's root, and turns typed parameters and configurations into what init reads.
//
//	binary, err := guestinit.Find("amd64", os.Getenv)
//	p := guestinit.NewParams()
//	p.Workdir = "/srv"
//	cmdline, err := guestinit.KernelCmdline("reboot=k panic=-1 quiet", p)
//	files, err := guestinit.Overlay(binary, &guestconfig.Config{Args: []string{"/bin/app"}, Env: []string{"A=1"}})
//
// Environ and EncodeConfig are the inverse of bootparam.Parse and guestconfig.Parse: what they return is read as what they
// were given, byte for byte. For what can't be expressed so they return an error that names the field.
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

// Where a libkrun guest has its init and, unless KRUN_CONFIG says otherwise, its configuration.
const (
	InitPath   = "/init.krun"
	ConfigPath = "/.krun_config.json"
)

// EnvBinaryPath is the variable, of the host, that names a file to use as init; see Find. libkrun's build has it too.
const EnvBinaryPath = "KRUN_INIT_BINARY_PATH"

//go:generate go run ../../multicall/build -goos linux -goarch amd64 -version "$VERSION" -o binaries/init_amd64.krun ../../cmds/...
//go:generate go run ../../multicall/build -goos linux -goarch arm64 -version "$VERSION" -o binaries/init_arm64.krun ../../cmds/...
//go:generate go run ../../multicall/build -goos linux -goarch riscv64 -version "$VERSION" -o binaries/init_riscv64.krun ../../cmds/...

//go:embed binaries
var embedded embed.FS

// Binary returns the init for Linux guests of an architecture, "amd64", "arm64" or "riscv64", that was embedded when this
// package was built. The error for one that was not is fs.ErrNotExist, and says how to make it: binaries are not in the
// repository, so a copy of this module that was fetched from there has none. The caller may change the bytes.
func Binary(arch string) ([]byte, error) { return binaryIn(embedded, arch) }

// NewReader is Binary as a reader, which also seeks and knows its size.
func NewReader(arch string) (*bytes.Reader, error) {
	data, err := Binary(arch)
	return bytes.NewReader(data), err
}

// Find is Binary, unless the variable EnvBinaryPath is set and not empty: then it returns the contents of that file, which
// has to be a program for the architecture. getenv looks up variables: os.Getenv, if whoever starts the host is to choose.
func Find(arch string, getenv func(name string) string) ([]byte, error) {
	path := getenv(EnvBinaryPath)
	if path == "" {
		return Binary(arch)
	}
	data, err := os.ReadFile(path)
	if err == nil {
		err = check(data, arch)
	}
	if err != nil {
		return nil, fmt.Errorf("guestinit: %s: %w", EnvBinaryPath, named(err, path))
	}
	return data, nil
}

func binaryIn(fsys fs.FS, arch string) ([]byte, error) {
	name := "binaries/init_" + arch + ".krun"
	data, err := fs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) && machines[arch] != 0 {
		return nil, fmt.Errorf("guestinit: init for %s was not there to embed: make it with make guestinit or "+
			"go generate ./pkg/guestinit, or name a file in %s: %w", arch, EnvBinaryPath, fs.ErrNotExist)
	}
	if err == nil || machines[arch] == 0 {
		err = check(data, arch)
	}
	if err != nil {
		return nil, fmt.Errorf("guestinit: %w", named(err, name))
	}
	return data, nil
}

// named returns err with the path in front, unless it has it already.
func named(err error, path string) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "riscv64": elf.EM_RISCV}

// check reports data that is no program for an architecture: a guest's kernel would say no more than that it panics.
func check(data []byte, arch string) error {
	want := machines[arch]
	if want == 0 {
		return fmt.Errorf("unknown architecture %q: want amd64, arm64 or riscv64", arch)
	}
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("no ELF program: %w", err)
	}
	if file.Machine != want {
		return fmt.Errorf("a program for %v, want %v", file.Machine, want)
	}
	return nil
}

// File is a file that a host shows in the guest's root, over what is there.
type File struct {
	Path string
	Mode fs.FileMode // permission bits; owner is root
	Data []byte
	// OneShot says that the guest needs to find the file only once: after the first look-up its name may go, and after it was
	// closed its contents.
	OneShot bool
}

// Overlay returns the files that start a guest: init, and its configuration unless config is nil. Errors are those of
// EncodeConfig.
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

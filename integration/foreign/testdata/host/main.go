// Host writes the files that start a guest to the directory that is its argument, and prints the
// kernel command line. KRUN_INIT_BINARY_PATH names the init.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/guestinit"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir string) error {
	binary, err := guestinit.Find(runtime.GOARCH, os.Getenv)
	if err != nil {
		return err
	}
	config := guestconfig.Config{Process: specs.Process{Args: []string{"/bin/sh", "-c", "cat /note; exit 7"}}}
	files, err := guestinit.Overlay(binary, &config)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.Path), f.Data, f.Mode); err != nil {
			return err
		}
	}
	p := guestinit.NewParams()
	p.Hostname = "foreign"
	cmdline, err := guestinit.KernelCmdline("quiet", p)
	fmt.Println(cmdline)
	return err
}

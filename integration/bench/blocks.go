package bench

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/krunbox/krunbox/integration/vm"
)

// BuildPlugin builds the plugin of QEMU that counts blocks into dir, and returns its path. It needs
// a C compiler, cc. The working directory has to be this module's.
func BuildPlugin(ctx context.Context, dir string) (string, error) {
	plugin := filepath.Join(dir, "blocks.so")
	cmd := exec.CommandContext(ctx, "cc", "-O2", "-shared", "-fPIC", "-o", plugin,
		"bench/testdata/blocks/blocks.c")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build QEMU's plugin: %w\n%s", err, out)
	}
	return plugin, nil
}

// countBlocks is Start for the unit Blocks.
func (m *Machine) countBlocks(ctx context.Context, cfg vm.Config, init Init) (Start, error) {
	start, err := entry(m.Programs.Start)
	if err != nil {
		return Start{}, err
	}
	finish, err := entry(m.Programs.Finish)
	if err != nil {
		return Start{}, err
	}
	count := m.Plugin + ".count"
	if err := os.Remove(count); err != nil && !errors.Is(err, os.ErrNotExist) {
		return Start{}, err
	}
	cfg.Devices = append(cfg.Devices, vm.Device{Args: func([]int) []string {
		plugin := fmt.Sprintf("%s,start=%#x,stop=%#x,out=%s", m.Plugin, start, finish, count)
		return []string{"-plugin", plugin}
	}})
	result, err := vm.Run(ctx, cfg)
	if err != nil && !errors.Is(err, vm.ErrNoExitCode) {
		return Start{}, fmt.Errorf("%s: %w", init.Name, err)
	}
	text, err := os.ReadFile(count)
	if err != nil {
		return Start{}, fmt.Errorf("%s: the workload did not start: %w; console: %q",
			init.Name, err, result.Console)
	}
	blocks, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return Start{}, fmt.Errorf("%s: number of blocks: %w", init.Name, err)
	}
	return Start{Value: float64(blocks) / 1e3, Requests: requests(result)}, nil
}

// entry returns the address at which a program begins.
func entry(path string) (uint64, error) {
	f, err := elf.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Entry, nil
}

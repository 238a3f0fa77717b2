// Mount-root makes a block device the root and runs a command in it.
//
// Synopsis:
//
//	mount-root [-device D] [-fstype T] [-o OPTS] [-overlay tmpfs|D] [-timeout D] [--force] [--] CMD [ARG...]
//	mount-root -n [OPTION...] [--] [CMD [ARG...]]
//
// Description:
//
// The root file system is found, mounted, and takes the place of the one there is, which is unmounted. An initramfs, which can't
// be, is deleted instead where this is the machine's process 1: it would keep its memory. The base file systems are mounted in
// the new root (/dev, /proc, /sys and what belongs to them), and CMD is executed there in the place of mount-root: it can be the
// last command of an initramfs. With -n nothing changes: the block devices are listed with what they hold, and what would be
// done.
//
// What no option says is taken from the environment: KRUN_BLOCK_ROOT_DEVICE, KRUN_BLOCK_ROOT_FSTYPE, KRUN_BLOCK_ROOT_OPTIONS,
// KRUN_BLOCK_ROOT_TIMEOUT_MS and KRUN_ROOT_OVERLAY.
//
// The exit code is CMD's; 127 if it is not found, 126 if it can't be executed, 125 if there is no root to run it in.
package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/krunbox/krunbox/multicall/os"
	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/exec"
	"github.com/krunbox/krunbox/pkg/guard"
	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/option"
	"github.com/krunbox/krunbox/pkg/rootfs"
)

const usage = `usage: mount-root [OPTION...] [--] CMD [ARG...]   make a block device the root and execute CMD in it
       mount-root -n [OPTION...]                  list the block devices and what would be done
  -device D     the device: /dev/vda, UUID=..., LABEL=..., PARTUUID=... or PARTLABEL=...
  -fstype T     type of the file system (default: the one found on it)
  -o OPTS       mount options, as in fstab: ro,noatime,...
  -overlay O    leave the root as it is; changes go to O: "tmpfs", or a device
  -timeout T    how long to wait for a device that is not there yet (default 5s)
  -n            change nothing
  --force       act on the machine's own root; needed inside a guest, where it is the guest's
Examples:
  mount-root -n
  mount-root --force -device LABEL=root -o ro -- /bin/sh
  exec mount-root -device /dev/vda -overlay tmpfs -- /sbin/init     # at the end of an initramfs
`

func main() { os.Exit(run(os.Args, os.Environ(), os.Stdout, os.Stderr)) }

// command is what options and environment say.
type command struct {
	root      rootfs.Config
	args, env []string
	printOnly bool
	force     bool
	first     rootfs.First
	fresh     bool
}

func run(args, env []string, stdout, stderr io.Writer) int {
	warn := func(err error) { io.WriteString(stderr, "mount-root: warning: "+boot.Line(err)+"\n") }
	c := command{env: env}
	err := c.parse(args[min(1, len(args)):])
	if errors.Is(err, option.ErrHelp) {
		io.WriteString(stdout, usage)
		return 0
	}
	if err == nil && !c.printOnly && !c.force {
		err = guard.Check()
	}
	switch {
	case err != nil:
	case c.printOnly:
		err = c.print(stdout)
	default:
		runner := boot.Runner{Warn: warn}
		err = boot.Run(&runner, order, &c)
	}
	if err != nil {
		io.WriteString(stderr, "mount-root: "+boot.Line(err)+"\n")
		return exec.ExitCode(err)
	}
	return 0
}

// parse takes the options over the environment.
func (c *command) parse(args []string) (err error) {
	p := bootparam.Parse(nil, c.env)
	device, fsType, options, overlay, timeout := p.BlockRoot.Device, p.BlockRoot.FSType, p.BlockRoot.Options, p.RootOverlay, ""
	c.args, err = option.Parse(args,
		option.Text("device", &device), option.Text("fstype", &fsType), option.Text("o", &options),
		option.Text("overlay", &overlay), option.Text("timeout", &timeout),
		option.Flag("n", &c.printOnly), option.Flag("force", &c.force))
	if err != nil {
		return err
	}
	limit := p.BlockRoot.Timeout
	if timeout != "" {
		if limit, err = option.Duration(timeout); err != nil {
			return fmt.Errorf("-timeout: %w", err)
		}
	}
	if !c.printOnly && device == "" && overlay == "" {
		return errors.New("which device? -device names it, and -n lists those there are")
	}
	if !c.printOnly && len(c.args) == 0 {
		return errors.New("no command to execute in the new root")
	}
	flags, data := mount.ParseOptions(0, strings.Split(options, ","))
	c.root = rootfs.Config{Device: device, Type: fsType, Flags: flags, Data: data, Options: options, Overlay: overlay, Timeout: limit}
	return nil
}

// order is what is done.
var order = []boot.Stage[*command]{
	{Name: "root", OnError: boot.Fatal, Plan: (*command).planRoot},
	{Name: "devices and processes", OnError: boot.Fatal, Plan: (*command).planEssential},
	{Name: "file systems", OnError: boot.Warn, Plan: (*command).planFileSystems},
	{Name: "initramfs", OnError: boot.Warn, Plan: (*command).planFree},
	{Name: "command", OnError: boot.Fatal, Plan: (*command).planCommand},
}

func (c *command) planRoot() ([]op.Op, error) {
	return append([]op.Op{rootfs.Keep{First: &c.first}}, rootfs.Plan(c.root, &c.first)...), nil
}

func (c *command) planEssential() ([]op.Op, error)   { return mount.Essential(&c.fresh), nil }
func (c *command) planFileSystems() ([]op.Op, error) { return mount.Optional(&c.fresh), nil }

// planFree gives the memory of an initramfs back. An overlay over it needs it.
func (c *command) planFree() ([]op.Op, error) {
	if c.root.Device == "" {
		return nil, nil
	}
	return []op.Op{rootfs.Free{First: &c.first}}, nil
}

// planCommand executes the command. One that prints need not have one.
func (c *command) planCommand() ([]op.Op, error) {
	if len(c.args) == 0 {
		return nil, nil
	}
	return []op.Op{exec.Exec{Spec: exec.Spec{Args: c.args, Env: c.env, Streams: [3]int{0, 1, 2}}}}, nil
}

// print shows the devices, and what would be done with the one that is asked for.
func (c *command) print(w io.Writer) error {
	devices, err := rootfs.Devices()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, table(devices)); err != nil {
		return err
	}
	if c.root.Device == "" && c.root.Overlay == "" {
		return nil
	}
	return boot.WriteText(w, order, c)
}

// table has a line for each device.
func table(devices []rootfs.Device) string {
	if len(devices) == 0 {
		return "no block devices\n"
	}
	rows := [][]string{{"DEVICE", "MIB", "TYPE", "LABEL", "UUID", "PARTUUID", "PARTLABEL"}}
	for _, d := range devices {
		rows = append(rows, []string{d.Path, strconv.FormatUint(d.Size>>20, 10), d.Type, d.Superblock.Label, d.Superblock.UUID,
			d.Partition.UUID, d.Partition.Label})
	}
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i := range row {
			if row[i] == "" {
				row[i] = "-"
			}
			row[i] = boot.Line(errors.New(row[i])) // a label can have anything in it
			width[i] = max(width[i], len(row[i]))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i := range row {
			row[i] += strings.Repeat(" ", width[i]-len(row[i])+2)
		}
		b.WriteString(strings.TrimRight(strings.Join(row, ""), " ") + "\n")
	}
	return b.String()
}

// Mount-root makes a block device the root and executes a command in it.
//
// Synopsis:
//
//	mount-root [OPTION...] [--] CMD [ARG...]
//	mount-root -n [OPTION...] [--] [CMD [ARG...]]
//
// Description:
//
// Mount-root finds and mounts the root file system, makes it the root, and unmounts the current
// root. An initramfs cannot be unmounted; as process 1 of the machine, mount-root deletes its files
// to free its memory. Then it mounts the base file systems in the new root (/dev, /proc, /sys and
// those below them), and executes CMD in its own place. So it can be the last command of an
// initramfs. With -n it changes nothing: it lists the block devices and their contents, and the
// operations it would carry out.
//
// Options that are not given are taken from the environment: KRUN_BLOCK_ROOT_DEVICE,
// KRUN_BLOCK_ROOT_FSTYPE, KRUN_BLOCK_ROOT_OPTIONS, KRUN_BLOCK_ROOT_TIMEOUT_MS and
// KRUN_ROOT_OVERLAY.
//
// The exit code is that of CMD; 127 if it is not found, 126 if it cannot be executed, 125 if the
// root cannot be changed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/exec"
	"github.com/krunbox/krunbox/pkg/guard"
	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/rootfs"
)

const usage = `usage: mount-root [OPTION...] [--] CMD [ARG...]
       mount-root -n [OPTION...] [--] [CMD [ARG...]]
Make a block device the root and execute CMD in it. With -n, list the block devices, and what would
be done.
  -device D     the device: /dev/vda, UUID=..., LABEL=..., PARTUUID=... or PARTLABEL=...
  -fstype T     type of the file system (default: the one found on the device)
  -o OPTS       mount options, as in fstab: ro,noatime,...
  -overlay O    do not change the root; store changes on O: "tmpfs", or a device
  -timeout T    how long to wait for a device to appear (default 5s)
  -n            change nothing
  --force       change this machine's root although process 1 is not krunbox
Examples:
  mount-root -n
  mount-root -device LABEL=root -o ro -- /bin/sh
  exec mount-root -device /dev/vda -overlay tmpfs -- /sbin/init     # at the end of an initramfs
`

func main() { os.Exit(run(os.Args, os.Environ(), os.Stdout, os.Stderr)) }

func run(args, env []string, stdout, stderr io.Writer) int {
	c := command{env: env}
	err := c.parse(args[min(1, len(args)):])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
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
		runner := boot.Runner{Warn: func(err error) {
			fmt.Fprintln(stderr, "mount-root: warning:", boot.Line(err))
		}}
		err = boot.Run(&runner, stages(), &c)
	}
	if err != nil {
		fmt.Fprintln(stderr, "mount-root:", boot.Line(err))
		return exec.ExitCode(err)
	}
	return 0
}

// command holds what options and environment ask for, and the original root.
type command struct {
	root             rootfs.Config
	args, env        []string
	printOnly, force bool

	original rootfs.OriginalRoot // opened by the stage root
}

// stages returns the stages of mount-root, in order.
func stages() []boot.Stage[*command] {
	onDevice := func(c *command) bool { return c.root.Device != "" }
	hasCommand := func(c *command) bool { return len(c.args) > 0 }
	return []boot.Stage[*command]{
		{Name: "root", OnError: boot.Fatal, Plan: (*command).planRoot},
		{Name: "devices and processes", OnError: boot.Fatal, Plan: (*command).planEssential},
		{Name: "file systems", OnError: boot.Warn, Plan: (*command).planOptional},
		{Name: "initramfs", OnError: boot.Warn, Plan: (*command).planInitramfs,
			If: boot.If("the root is a device", onDevice)}, // an overlay needs the original files
		{Name: "command", OnError: boot.Fatal, Plan: (*command).planCommand,
			If: boot.If("there is a command", hasCommand)},
	}
}

func (c *command) planRoot() ([]op.Op, error) {
	open := rootfs.OpenOriginalRoot{Original: &c.original}
	return append([]op.Op{open}, rootfs.Plan(c.root, &c.original)...), nil
}

func (c *command) planEssential() ([]op.Op, error) { return mount.Essential(), nil }
func (c *command) planOptional() ([]op.Op, error)  { return mount.Optional(), nil }

func (c *command) planInitramfs() ([]op.Op, error) {
	return []op.Op{rootfs.FreeInitramfs{Original: &c.original}}, nil
}

func (c *command) planCommand() ([]op.Op, error) {
	spec := exec.Spec{Process: specs.Process{Args: c.args, Env: c.env}}
	return []op.Op{exec.Exec{Spec: spec}}, nil
}

// parse sets c from the environment and the arguments. Options take precedence over the environment.
func (c *command) parse(args []string) error {
	p := bootparam.Parse(nil, c.env)
	root := &c.root
	flags := flag.NewFlagSet("mount-root", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&root.Device, "device", p.BlockRoot.Device, "")
	flags.StringVar(&root.Type, "fstype", p.BlockRoot.FSType, "")
	flags.StringVar(&root.Options, "o", p.BlockRoot.Options, "")
	flags.StringVar(&root.Overlay, "overlay", p.RootOverlay, "")
	flags.DurationVar(&root.Timeout, "timeout", p.BlockRoot.Timeout, "")
	flags.BoolVar(&c.printOnly, "n", false, "")
	flags.BoolVar(&c.force, "force", false, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	root.Flags, root.Data = mount.ParseOptions(root.Options)
	c.args = flags.Args()
	switch {
	case root.Timeout < 0:
		return fmt.Errorf("-timeout: %v is negative", root.Timeout)
	case c.printOnly:
	case root.Device == "" && root.Overlay == "":
		return errors.New("no device: -device names one, and -n lists those that exist")
	case len(c.args) == 0:
		return errors.New("no command to execute in the new root")
	}
	return nil
}

// print lists the devices and, if a root is configured, the operations that would be carried out.
func (c *command) print(w io.Writer) error {
	devices, err := rootfs.Devices()
	if err != nil {
		return err
	}
	if err := printDevices(w, devices); err != nil {
		return err
	}
	if c.root.Device == "" && c.root.Overlay == "" {
		return nil
	}
	return boot.WriteText(w, stages(), c)
}

// printDevices prints a table with a line for each device.
func printDevices(w io.Writer, devices []rootfs.Device) error {
	if len(devices) == 0 {
		_, err := fmt.Fprintln(w, "no block devices")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DEVICE\tMIB\tTYPE\tLABEL\tUUID\tPARTUUID\tPARTLABEL")
	for _, d := range devices {
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", cell(d.Path), d.Size>>20, cell(d.Type),
			cell(d.Superblock.Label), cell(d.Superblock.UUID),
			cell(d.Partition.UUID), cell(d.Partition.Label))
	}
	return table.Flush()
}

// cell returns text for a table: "-" if it is empty, and without control characters.
func cell(text string) string {
	if text == "" {
		return "-"
	}
	return boot.Line(errors.New(text))
}

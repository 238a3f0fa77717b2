package main

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/exec"
	"github.com/krunbox/krunbox/pkg/mount"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/rootfs"
)

// command is what options and environment ask for, and the state of the stages.
type command struct {
	root             rootfs.Config
	args, env        []string
	printOnly, force bool

	original rootfs.OriginalRoot
	pristine bool // nothing was mounted before
}

// stages returns what mount-root does, in order.
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

func (c *command) planEssential() ([]op.Op, error) { return mount.Essential(&c.pristine), nil }
func (c *command) planOptional() ([]op.Op, error)  { return mount.Optional(&c.pristine), nil }

func (c *command) planInitramfs() ([]op.Op, error) {
	return []op.Op{rootfs.FreeInitramfs{Original: &c.original}}, nil
}

func (c *command) planCommand() ([]op.Op, error) {
	spec := exec.Spec{Process: specs.Process{Args: c.args, Env: c.env}}
	return []op.Op{exec.Exec{Spec: spec}}, nil
}

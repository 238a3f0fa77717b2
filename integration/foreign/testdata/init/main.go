// Init is krunbox's init with a stage of its own, which leaves a note before the workload starts.
package main

import (
	"os"
	"slices"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/guestboot"
	"github.com/krunbox/krunbox/pkg/netif"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/stdio"
	"github.com/krunbox/krunbox/pkg/timesync"
)

// note is the operation that writes a file.
type note struct{ path, text string }

func (n note) Describe() op.Description { return op.Describe("write", n.path) }
func (n note) Do() error                { return os.WriteFile(n.path, []byte(n.text), 0o644) }

type guest = *guestboot.Guest

func planNote(guest) ([]op.Op, error) {
	// From packages that only this program uses directly.
	text := "A DHCP client begins in " + dhcp4.Init.String() + ", the clock is that of " + timesync.LastFile + ".\n"
	return []op.Op{netif.Up{Name: "lo"}, note{"/note", text}}, nil
}

func main() {
	up, down := guestboot.Stages()
	workload := slices.IndexFunc(up, func(s boot.Stage[guest]) bool { return s.Name == "workload" })
	up = slices.Insert(up, workload, boot.Stage[guest]{Name: "note", OnError: boot.Fatal, Plan: planNote})
	o := guestboot.Options{
		Name:   os.Args[0],
		Params: bootparam.Parse(os.Args, os.Environ()),
		Print:  new(stdio.Printer).Print,
	}
	os.Exit(guestboot.Run(guestboot.New(o), up, down))
}

package guestboot_test

import (
	"fmt"
	"slices"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/guestboot"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/system"
)

// Another init takes the stages, and adds one before the workload.
func ExampleStages() {
	up, down := guestboot.Stages()
	workload := slices.IndexFunc(up, func(s boot.Stage[*guestboot.Guest]) bool { return s.Name == "workload" })
	up = slices.Insert(up, workload, boot.Stage[*guestboot.Guest]{
		Name:    "overcommit",
		OnError: boot.Warn,
		Plan: func(*guestboot.Guest) ([]op.Op, error) {
			return []op.Op{system.Sysctl{Name: "vm.overcommit_memory", Value: "1"}}, nil
		},
	})
	g := guestboot.New(guestboot.Options{Params: bootparam.Parse([]string{"/init.krun"}, nil)})

	// As PID 1 of a guest, this init would now call guestboot.Run(g, up, down).
	ops, _ := up[workload].Plan(g)
	fmt.Println(up[workload].Name, ops[0].Describe(), len(down) > 0)
	// Output:
	// overcommit sysctl vm.overcommit_memory value=1 true
}

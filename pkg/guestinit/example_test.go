package guestinit_test

import (
	"fmt"

	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/guestinit"
	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func ExampleKernelCmdline() {
	rlimits, err := guestinit.FormatRlimits([]specs.POSIXRlimit{
		{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: oci.Unlimited},
	})
	if err != nil {
		fmt.Println(err)
	}
	p := guestinit.NewParams()
	p.Init = "/bin/echo"
	p.Rlimits = rlimits
	p.Hostname = "box"
	p.DHCP = []string{"eth0"}
	p.Args = []string{"two words", ""}
	fmt.Println(guestinit.KernelCmdline("reboot=k panic=-1 quiet", p))

	p.Args = []string{`"quoted"`}
	_, err = guestinit.KernelCmdline("", p)
	fmt.Println(err)
	// Output:
	// reboot=k panic=-1 quiet init=/init.krun KRUN_INIT=/bin/echo KRUN_RLIMITS=7=1024:18446744073709551615 KRUN_DHCP=1 HOSTNAME=box -- "two words" "" <nil>
	// guestinit: kernel command line: argument 0, "\"quoted\"": a kernel command line can't express a double quote
}

func ExampleOverlay() {
	files, err := guestinit.Overlay([]byte("the binary"), &guestconfig.Config{
		HasUser: true,
		Process: specs.Process{
			User: specs.User{UID: 1000},
			Args: []string{"/bin/app", "-v"},
			Env:  []string{"A=b c"},
		},
	})
	for _, f := range files {
		fmt.Printf("%s %v %s\n", f.Path, f.Mode, f.Data)
	}
	fmt.Println(err)
	// Output:
	// /init.krun -rwxr-xr-x the binary
	// /.krun_config.json -r--r--r-- {"process":{"user":{"uid":1000},"args":["/bin/app","-v"],"env":["A=b c"]}}
	// <nil>
}

package boot_test

import (
	"fmt"
	"os"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/op"
)

// machine is the state of this boot.
type machine struct {
	hostname string
	debug    bool
}

// setHostname is an operation. This one only prints.
type setHostname struct{ name string }

func (s setHostname) Describe() op.Description { return op.Describe("set hostname", s.name) }

func (s setHostname) Do() error {
	fmt.Println("the host name is now", s.name)
	return nil
}

func (m *machine) planHostname() ([]op.Op, error) { return []op.Op{setHostname{m.hostname}}, nil }
func (m *machine) planReport() ([]op.Op, error)   { return nil, nil }
func (m *machine) wantsReport() bool              { return m.debug }

// A boot is a list of stages. It can be printed, and it can be run.
func Example() {
	stages := []boot.Stage[*machine]{
		{Name: "hostname", OnError: boot.Warn, Plan: (*machine).planHostname},
		{Name: "report", OnError: boot.Silent,
			If:   boot.If("debugging is on", (*machine).wantsReport),
			Plan: (*machine).planReport},
	}
	m := &machine{hostname: "box"}
	if err := boot.WriteText(os.Stdout, stages, m); err != nil {
		fmt.Println(err)
	}
	runner := boot.Runner{Warn: func(err error) { fmt.Println("warning:", err) }}
	if err := boot.Run(&runner, stages, m); err != nil {
		fmt.Println(err)
	}
	// Output:
	// hostname (warn)
	//     set hostname box
	// report: left out, only if debugging is on
	// the host name is now box
}

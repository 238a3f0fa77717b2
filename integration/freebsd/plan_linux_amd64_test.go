package freebsd

import (
	"flag"
	"os"
	"testing"

	"github.com/krunbox/krunbox/internal/nstest"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// TestFreeBSDPlan tests the plan that `init -n` prints.
func TestFreeBSDPlan(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		config := `{"Cmd": ["app", "a b"], "Env": ["A=1"], "Hostname": "image"}`
		write(t, dir+"/config.json", config)
		output, err := os.Create(dir + "/plan")
		if err != nil {
			t.Fatal(err)
		}
		defer output.Close()
		args := []string{"init", "-n", "-root", dir, "-config", dir + "/config.json"}
		status, err := new(Machine).Run(buildForFreeBSD(t), args, &os.ProcAttr{
			Env:   []string{"KRUN_TERM=vt100", "KRUN_RLIMITS=8=1:2", "KRUN_DHCP=1", "KRUN_NEW=1"},
			Files: []*os.File{nil, output, os.Stderr},
		})
		if err != nil || status.ExitStatus() != 0 {
			t.Fatalf("Run(%q) = %v, %v", args, status, err)
		}
		got, err := os.ReadFile(dir + "/plan")
		if err != nil {
			t.Fatal(err)
		}
		const golden = "testdata/freebsd.plan"
		if *update {
			write(t, golden, string(got))
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("the plan is\n%s\nwant (%s; -update to accept)\n%s", got, golden, want)
		}
	})
}

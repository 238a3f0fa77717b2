package bootparam

import (
	"slices"
	"testing"
)

func TestKenv(t *testing.T) {
	kernel := map[string]string{
		"KRUN_INIT": "/bin/app", "HOSTNAME": "box", "KRUN_TERM": "", "KRUN_RLIMITS": `"8=1:2"`, "KRUN_INIT_PID1": "1",
		"kern.maxusers": "4", "KRUN_DHCP": "1", // not for a FreeBSD guest
	}
	got := Kenv(func(name string) (string, bool) {
		value, ok := kernel[name]
		return value, ok
	})
	slices.Sort(got)
	want := []string{"HOSTNAME=box", "KRUN_INIT=/bin/app", "KRUN_INIT_PID1=1", `KRUN_RLIMITS="8=1:2"`, "KRUN_TERM="}
	if !slices.Equal(got, want) {
		t.Errorf("Kenv() = %q, want %q", got, want)
	}
	p := Parse([]string{"/init.krun"}, got)
	if p.Init != "/bin/app" || p.Hostname != "box" || !p.InitPID1 || p.Rlimits != `"8=1:2"` || p.Term != "" {
		t.Errorf("Parse(Kenv()) = %+v", p)
	}
}

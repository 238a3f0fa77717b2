package oci

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestParseRlimits(t *testing.T) {
	nofile := specs.POSIXRlimit{Type: ResourceName(7), Soft: 1024, Hard: 4096}
	core := specs.POSIXRlimit{Type: "RLIMIT_CORE", Hard: Unlimited}
	for _, test := range []struct {
		in   string
		want []specs.POSIXRlimit
	}{
		{"", nil},
		{`""`, nil},
		{" , ,", nil},
		{"7=1024:4096", []specs.POSIXRlimit{nofile}},
		{"7:1024:4096", []specs.POSIXRlimit{nofile}},
		{"7=1024:4096,4=0:18446744073709551615", []specs.POSIXRlimit{nofile, core}},
		{`"7=1024:4096,4:0:18446744073709551615"`, []specs.POSIXRlimit{nofile, core}},
		{`"7=1024:4096`, []specs.POSIXRlimit{nofile}},
		{`7=1024:4096"`, []specs.POSIXRlimit{nofile}},
		{`""7=1024:4096" "`, []specs.POSIXRlimit{nofile}},
		{"\t7=1024:4096 ,, 4=0:18446744073709551615\n,", []specs.POSIXRlimit{nofile, core}},
		{"007=01024:04096", []specs.POSIXRlimit{nofile}},
		{"7=1:1,4=0:18446744073709551615,7:1024:4096", []specs.POSIXRlimit{nofile, core}},
		{"15=0:0", []specs.POSIXRlimit{{Type: ResourceName(15)}}},
	} {
		got, err := ParseRlimits(test.in)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("ParseRlimits(%q) = %v, %v, want %v", test.in, got, err, test.want)
		}
	}
}

func TestParseRlimitsErrors(t *testing.T) {
	const prefix = "KRUN_RLIMITS: item "
	for _, test := range []struct{ in, want string }{
		{"7", `1 "7": expected ID=SOFT:HARD`},
		{"7=5", `1 "7=5": expected ID=SOFT:HARD`},
		{"7:5", `1 "7:5": expected ID=SOFT:HARD`},
		{"=", `1 "=": expected ID=SOFT:HARD`},
		{"7=1:2,7=x:y", `2 "7=x:y": soft limit "x" is not a decimal number`},
		{",,7=1:y", `3 "7=1:y": hard limit "y" is not a decimal number`},
		{"=1:2", `1 "=1:2": resource "" is not a decimal number`},
		{"NOFILE=1:2", `1 "NOFILE=1:2": resource "NOFILE" is not a decimal number`},
		{"7=:2", `1 "7=:2": soft limit "" is not a decimal number`},
		{"7=1:", `1 "7=1:": hard limit "" is not a decimal number`},
		{"7=1:2:3", `1 "7=1:2:3": hard limit "2:3" is not a decimal number`},
		{"7=1=2", `1 "7=1=2": expected ID=SOFT:HARD`},
		{"7=-1:2", `1 "7=-1:2": soft limit "-1" is not a decimal number`},
		{"7=+1:2", `1 "7=+1:2": soft limit "+1" is not a decimal number`},
		{"7=0x1:2", `1 "7=0x1:2": soft limit "0x1" is not a decimal number`},
		{"7=1_0:20", `1 "7=1_0:20": soft limit "1_0" is not a decimal number`},
		{"7=1 :2", `1 "7=1 :2": soft limit "1 " is not a decimal number`},
		{`7=1:2","4=1:2`, `1 "7=1:2\"": hard limit "2\"" is not a decimal number`},
		{"7=1:18446744073709551616", `1 "7=1:18446744073709551616": hard limit` +
			` 18446744073709551616 is above 18446744073709551615`},
		{"18446744073709551616x=1:2", `1 "18446744073709551616x=1:2": resource "18446744073709551616x" is not a decimal number`},
		{"7=5:4", `1 "7=5:4": soft limit 5 is above hard limit 4`},
		{"7=18446744073709551615:4", `1 "7=18446744073709551615:4": ` +
			`soft limit unlimited is above hard limit 4`},
		{"16=1:2", `1 "16=1:2": resource 16 is not one of ` + system + `, 0 to 15`},
		{"4294967303=1:2", `1 "4294967303=1:2": ` +
			`resource 4294967303 is not one of ` + system + `, 0 to 15`},
	} {
		got, err := ParseRlimits(test.in)
		if got != nil || err == nil || err.Error() != prefix+test.want {
			t.Errorf("ParseRlimits(%q) = %v, %v, want error %s%s", test.in, got, err, prefix, test.want)
		}
	}
}

func TestResources(t *testing.T) {
	for resource := range 16 {
		name := ResourceName(resource)
		if got, ok := ParseResource(name); !strings.HasPrefix(name, "RLIMIT_") || got != resource || !ok {
			t.Errorf("ParseResource(%q) = %d, %v, want %d, true", name, got, ok, resource)
		}
	}
	for _, name := range []string{"", "NOFILE", "rlimit_nofile", "RLIMIT_NOFILE ", "RLIMIT_16"} {
		if got, ok := ParseResource(name); ok {
			t.Errorf("ParseResource(%q) = %d, true, want false", name, got)
		}
	}
	for resource, want := range map[int]string{-1: "-1", 4: "RLIMIT_CORE", 16: "16"} {
		if got := ResourceName(resource); got != want {
			t.Errorf("ResourceName(%d) = %q, want %q", resource, got, want)
		}
	}
}

func TestFormatRlimit(t *testing.T) {
	for _, test := range []struct {
		limit specs.POSIXRlimit
		want  string
	}{
		{specs.POSIXRlimit{Type: "RLIMIT_CORE", Soft: 1024, Hard: 4096}, "RLIMIT_CORE=1024:4096"},
		{specs.POSIXRlimit{Type: "RLIMIT_CPU", Hard: Unlimited}, "RLIMIT_CPU=0:unlimited"},
		{specs.POSIXRlimit{Type: "RLIMIT_X", Soft: Unlimited, Hard: Unlimited},
			"RLIMIT_X=unlimited:unlimited"},
	} {
		if got := FormatRlimit(test.limit); got != test.want {
			t.Errorf("FormatRlimit(%v) = %q, want %q", test.limit, got, test.want)
		}
	}
}

func FuzzParseRlimits(f *testing.F) {
	for _, seed := range []string{
		"", `"7=1024:4096,4:0:18446744073709551615"`, " 7=1:2 ,, 7:3:4", `""7=1:2"`, "16=1:2",
		"7=2:1", "7=x:y", "7=1:18446744073709551616", "=::", ",", "7", "\"", "7=1:2\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		limits, err := ParseRlimits(in)
		if err != nil {
			message := err.Error()
			if !strings.HasPrefix(message, "KRUN_RLIMITS: item ") || strings.Contains(message, "\n") {
				t.Errorf("ParseRlimits(%q) = %q, want one line that names the item", in, message)
			}
			return
		}
		var again []string
		seen := map[string]bool{}
		for _, limit := range limits {
			if err := ValidateRlimit(limit); err != nil || seen[limit.Type] {
				t.Errorf("ParseRlimits(%q) = %v, with a limit twice or invalid: %v", in, limits, err)
			}
			seen[limit.Type] = true
			number, _ := ParseResource(limit.Type)
			again = append(again, fmt.Sprintf("%d=%d:%d", number, limit.Soft, limit.Hard))
		}
		got, err := ParseRlimits(strings.Join(again, ","))
		if err != nil || !slices.Equal(got, limits) {
			t.Errorf("ParseRlimits(%q) = %v, %v, want %v", again, got, err, limits)
		}
	})
}

func TestValidateRlimit(t *testing.T) {
	for _, test := range []struct {
		limit specs.POSIXRlimit
		want  string
	}{
		{specs.POSIXRlimit{Type: "RLIMIT_CPU", Soft: 1, Hard: Unlimited}, ""},
		{specs.POSIXRlimit{Type: "RLIMIT_CPU", Soft: 1}, "soft limit 1 is above hard limit 0"},
		{specs.POSIXRlimit{Type: "NOFILE"}, system + ` has no resource "NOFILE"`},
	} {
		got := ""
		if err := ValidateRlimit(test.limit); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("ValidateRlimit(%v) = %q, want %q", test.limit, got, test.want)
		}
	}
}

package rlimit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	nofile := Limit{Resource: 7, Soft: 1024, Hard: 4096}
	core := Limit{Resource: 4, Soft: 0, Hard: Infinity}
	for _, test := range []struct {
		in   string
		want []Limit
	}{
		{"", nil},
		{`""`, nil},
		{" , ,", nil},
		{"7=1024:4096", []Limit{nofile}},
		{"7:1024:4096", []Limit{nofile}},
		{"7=1024:4096,4=0:18446744073709551615", []Limit{nofile, core}},
		{`"7=1024:4096,4:0:18446744073709551615"`, []Limit{nofile, core}},
		{`"7=1024:4096`, []Limit{nofile}},
		{`7=1024:4096"`, []Limit{nofile}},
		{`""7=1024:4096" "`, []Limit{nofile}},
		{"\t7=1024:4096 ,, 4=0:18446744073709551615\n,", []Limit{nofile, core}},
		{"007=01024:04096", []Limit{nofile}},
		{"7=1:1,4=0:18446744073709551615,7:1024:4096", []Limit{nofile, core}},
		{"15=0:0", []Limit{{Resource: 15}}},
	} {
		got, err := Parse(test.in)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("Parse(%q) = %v, %v, want %v", test.in, got, err, test.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
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
		{"7=1:18446744073709551616", `1 "7=1:18446744073709551616": hard limit 18446744073709551616 is above 18446744073709551615`},
		{"7=5:4", `1 "7=5:4": soft limit 5 is above hard limit 4`},
		{"7=18446744073709551615:4", `1 "7=18446744073709551615:4": soft limit unlimited is above hard limit 4`},
		{"16=1:2", `1 "16=1:2": resource 16 is not one of ` + system + `, 0 to 15`},
		{"4294967303=1:2", `1 "4294967303=1:2": resource 4294967303 is not one of ` + system + `, 0 to 15`},
	} {
		got, err := Parse(test.in)
		if got != nil || err == nil || err.Error() != prefix+test.want {
			t.Errorf("Parse(%q) = %v, %v, want error %s%s", test.in, got, err, prefix, test.want)
		}
	}
}

func TestNames(t *testing.T) {
	for resource := range 16 {
		name := Name(resource)
		if got, ok := Resource(name); !strings.HasPrefix(name, "RLIMIT_") || got != resource || !ok {
			t.Errorf("Resource(Name(%d)) = Resource(%q) = %d, %v, want %[1]d, true", resource, name, got, ok)
		}
	}
	for _, name := range []string{"", "NOFILE", "rlimit_nofile", "RLIMIT_NOFILE ", "RLIMIT_16"} {
		if got, ok := Resource(name); ok {
			t.Errorf("Resource(%q) = %d, true, want false", name, got)
		}
	}
	for resource, want := range map[int]string{-1: "-1", 4: "RLIMIT_CORE", 16: "16"} {
		if got := Name(resource); got != want {
			t.Errorf("Name(%d) = %q, want %q", resource, got, want)
		}
	}
}

func TestLimitString(t *testing.T) {
	for _, test := range []struct {
		limit Limit
		want  string
	}{
		{Limit{4, 1024, 4096}, "RLIMIT_CORE=1024:4096"},
		{Limit{0, 0, Infinity}, "RLIMIT_CPU=0:unlimited"},
		{Limit{99, Infinity, Infinity}, "99=unlimited:unlimited"},
	} {
		if got := test.limit.String(); got != test.want {
			t.Errorf("Limit.String() = %q, want %q", got, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", `"7=1024:4096,4:0:18446744073709551615"`, " 7=1:2 ,, 7:3:4", `""7=1:2"`, "16=1:2", "7=2:1",
		"7=x:y", "7=1:18446744073709551616", "=::", ",", "7", "\"", "7=1:2\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		limits, err := Parse(in)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "KRUN_RLIMITS: item ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("Parse(%q) = %q, want one line that names the item", in, err)
			}
			return
		}
		var again []string
		seen := map[int]bool{}
		for _, limit := range limits {
			if err := limit.Validate(); err != nil || seen[limit.Resource] {
				t.Errorf("Parse(%q) has %v: %v, given before: %v", in, limit, err, seen[limit.Resource])
			}
			seen[limit.Resource] = true
			again = append(again, fmt.Sprintf("%d=%d:%d", limit.Resource, limit.Soft, limit.Hard))
		}
		if got, err := Parse(strings.Join(again, ",")); err != nil || !slices.Equal(got, limits) {
			t.Errorf("Parse(%q) = %v, %v, want %v", again, got, err, limits)
		}
	})
}

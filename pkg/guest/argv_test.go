package guest

import (
	"reflect"
	"testing"
)

func TestArgv(t *testing.T) {
	list := func(s ...string) []string { return s }
	for _, c := range []struct {
		program          string
		configured, args []string
		want             []string
	}{
		{"/bin/x", list("c"), list("a", ""), list("/bin/x", "a", "")},
		{"x", nil, nil, list("x")},
		{"", list("c", "d"), list("a"), list("c", "d")},
		{"", nil, list("a", "--"), list("a", "--")},
		{"", nil, list("-c", "exit 3"), list("/bin/sh", "-c", "exit 3")},
		{"", nil, nil, nil},
	} {
		if got := Argv(c.program, c.configured, c.args); !reflect.DeepEqual(got, c.want) {
			t.Errorf("Argv(%q, %q, %q) = %q, want %q", c.program, c.configured, c.args, got, c.want)
		}
	}
}

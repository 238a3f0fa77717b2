package guest

import (
	"reflect"
	"slices"
	"strconv"
	"testing"
)

func TestEnv(t *testing.T) {
	env := NewEnv([]string{"HOME=/", "TERM=linux", "A=1", "B=", "A=2", "none", "=x", "C=a=b"})
	env.Merge([]string{"A=config", "D=1", "D=2", "HOME=/root", "TERM=xterm", "E=\xff\n", "bad"})
	env.Set("F", "f")
	env.Unset("B")
	env.Unset("missing")
	env.Set("C", "c")
	want := []string{"HOME=/root", "TERM=xterm", "A=2", "C=c", "D=2", "E=\xff\n", "F=f"}
	if got := env.List(); !reflect.DeepEqual(got, want) {
		t.Errorf("List() = %q, want %q", got, want)
	}
	if v, ok := env.Get("D"); v != "2" || !ok {
		t.Errorf(`Get("D") = %q, %v, want "2", true`, v, ok)
	}
	if v, ok := env.Get("B"); v != "" || ok {
		t.Errorf(`Get("B") = %q, %v, want unset`, v, ok)
	}
}

// An environment may have many variables.
func TestEnvMany(t *testing.T) {
	var entries, want []string
	for i := range 500 {
		name := "V" + strconv.Itoa(i)
		entries = append(entries, name+"=first", "=none")
		want = append(want, name+"=last")
	}
	for i := range 500 {
		entries = append(entries, "V"+strconv.Itoa(i)+"=last")
	}
	env := NewEnv(entries)
	env.Merge([]string{"V7=config", "W=1"})
	env.Set("W", "2")
	env.Unset("V3")
	want = slices.Delete(append(want, "W=2"), 3, 4)
	if got := env.List(); !slices.Equal(got, want) {
		t.Errorf("List() = %q, want %q", got, want)
	}
	if v, ok := env.Get("V499"); v != "last" || !ok {
		t.Errorf(`Get("V499") = %q, %v, want "last", true`, v, ok)
	}
}

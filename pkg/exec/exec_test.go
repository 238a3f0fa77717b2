package exec

import (
	"reflect"
	"slices"
	"strconv"
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
		{"", nil, nil, list("/bin/sh")},
	} {
		if got := Argv(c.program, c.configured, c.args); !reflect.DeepEqual(got, c.want) {
			t.Errorf("Argv(%q, %q, %q) = %q, want %q", c.program, c.configured, c.args, got, c.want)
		}
	}
}

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

// Many names behave as few do.
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

func TestCandidates(t *testing.T) {
	for _, c := range []struct {
		name, path string
		want       []string
	}{
		{"/bin/ls", "/usr/bin", []string{"/bin/ls"}},
		{"./ls", "/usr/bin", []string{"./ls"}},
		{"ls", "/usr/bin:/bin", []string{"/usr/bin/ls", "/bin/ls"}},
		{"ls", ":/bin:", []string{"./ls", "/bin/ls", "./ls"}},
		{"", "/bin", []string{""}},
	} {
		if got := Candidates(c.name, c.path); !reflect.DeepEqual(got, c.want) {
			t.Errorf("Candidates(%q, %q) = %q, want %q", c.name, c.path, got, c.want)
		}
	}
}

func TestHomeOf(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken:x:7\nu:x:1000:1000:a,b:/home/u:\nv:x:1001:1001:::\nlast:x:5:5::/last:/bin/sh"
	for uid, want := range map[string]string{"0": "/root", "1000": "/home/u", "1001": "", "7": "", "99": "", "5": "/last", "": ""} {
		if got := HomeOf(passwd, uid); got != want {
			t.Errorf("HomeOf(%q) = %q, want %q", uid, got, want)
		}
	}
}

func FuzzHomeOf(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh\n", "0")
	f.Fuzz(func(t *testing.T, passwd, uid string) { HomeOf(passwd, uid) })
}

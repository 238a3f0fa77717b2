package guest

import (
	"flag"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/krunbox/krunbox/internal/readme"
	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/guestconfig"
)

// resolve parses and resolves the sources of a guest.
func resolve(t *testing.T, environ, args []string, config, leaseHostname string) (Settings, error) {
	t.Helper()
	s := Sources{
		Params:        bootparam.Parse(append([]string{"init.krun"}, args...), environ),
		Passwd:        []byte("root:x:0:0::/root:/bin/sh\nu:x:1000:100::/home/u:/bin/sh\n"),
		Group:         []byte("users:x:100:\nextra:x:7:u\n"),
		LeaseHostname: leaseHostname,
	}
	if config != "" {
		var err error
		if s.Config, err = guestconfig.Parse([]byte(config)); err != nil {
			t.Fatal(err)
		}
		s.HasConfig = true
	}
	return Resolve(s)
}

// The first source of each rule wins.
func TestResolve(t *testing.T) {
	kernel := []string{"HOME=/", "TERM=linux"}
	args := func(s Settings) any { return s.Process.Args }
	const defaultPath = " PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	env := func(s Settings) any {
		return strings.Replace(strings.Join(s.Process.Env, " "), defaultPath, " +PATH", 1)
	}
	cwd := func(s Settings) any { return s.Process.Cwd }
	hostname := func(s Settings) any { return s.Hostname }
	user := func(s Settings) any { return s.Process.User }
	setUser := func(s Settings) any { return s.SetUser }
	rlimits := func(s Settings) any { return s.Process.Rlimits }
	defaults := func(s Settings) any { return s.DefaultRlimits }
	for _, c := range []struct {
		name    string
		environ []string
		args    []string
		config  string
		lease   string
		setting func(Settings) any
		want    any
	}{
		{"program: host", []string{"KRUN_INIT=/p"}, []string{"a"}, `{"args": ["c"]}`, "", args, []string{"/p", "a"}},
		{"program: configuration", kernel, []string{"a"}, `{"Entrypoint": ["e"], "Cmd": ["c"]}`, "", args, []string{"e", "c"}},
		{"program: arguments", kernel, []string{"a", "b"}, `{"Env": ["X=1"]}`, "", args, []string{"a", "b"}},
		{"program: shell", kernel, nil, "", "", args, []string{"/bin/sh"}},

		{"directory: host", []string{"KRUN_WORKDIR=/h"}, nil, `{"args": ["p"], "cwd": "/c"}`, "", cwd, "/h"},
		{"directory: configuration", nil, nil, `{"args": ["p"], "WorkingDir": "/c"}`, "", cwd, "/c"},
		{"directory: none", nil, nil, "", "", cwd, ""},

		{"variable: host", append(kernel, "A=h", "KRUN_DEBUG=1"), nil, `{"args": ["p"], "env": ["A=c", "B=c"]}`, "", env, "TERM=linux A=h B=c HOME=/root +PATH"},
		{"HOME: host's parameter", append(kernel, "KRUN_HOME=/k"), nil, `{"args": ["p"], "env": ["HOME=/c"]}`, "", env, "TERM=linux HOME=/k +PATH"},
		{"HOME: configuration", []string{"HOME=/h"}, nil, `{"args": ["p"], "env": ["HOME=/c"]}`, "", env, "HOME=/c +PATH"},
		{"HOME: host", []string{"HOME=/h"}, nil, "", "", env, "HOME=/h +PATH"},
		{"HOME: passwd", kernel, nil, `{"args": ["p"], "process": {"user": {"uid": 1000}}}`, "", env, "TERM=linux HOME=/home/u +PATH"},
		{"HOME: none", kernel, nil, `{"args": ["p"], "process": {"user": {"uid": 5}}}`, "", env, "TERM=linux HOME=/ +PATH"},
		{"TERM: host's parameter", append(kernel, "KRUN_TERM=k"), nil, `{"args": ["p"], "env": ["TERM=c"]}`, "", env, "TERM=k HOME=/root +PATH"},
		{"TERM: configuration", kernel, nil, `{"args": ["p"], "env": ["TERM=c"]}`, "", env, "TERM=c HOME=/root +PATH"},

		{"PATH: configuration", nil, nil, `{"args": ["p"], "env": ["PATH="]}`, "", env, "PATH= HOME=/root"},
		{"PATH: host", []string{"PATH=/h"}, nil, `{"args": ["p"], "env": ["PATH=/c"]}`, "", env, "PATH=/h HOME=/root"},

		{"user: none", nil, nil, `{"args": ["x"]}`, "", setUser, false},
		{"user: root, but given", nil, nil, `{"args": ["p"], "process": {"user": {"uid": 0}}}`, "", setUser, true},
		{"user: numbers", nil, nil, `{"args": ["p"], "User": "u", "process": {"user": {"uid": 3, "gid": 4, "additionalGids": [5]}}}`, "", user,
			specs.User{UID: 3, GID: 4, AdditionalGids: []uint32{5}}},
		{"user: name", nil, nil, `{"args": ["p"], "User": "u"}`, "", user, specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{7}}},
		{"user: name and group", nil, nil, `{"args": ["p"], "User": "u:extra"}`, "", user, specs.User{UID: 1000, GID: 7}},

		{"limits", []string{"KRUN_RLIMITS=7=1:2"}, nil,
			`{"args": ["p"], "process": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 5, "hard": 6}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]}}`, "",
			rlimits, []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}, {Type: "RLIMIT_NOFILE", Soft: 1, Hard: 2}}},

		{"default limits", nil, nil, "", "", defaults, []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 65536, Hard: 1 << 20}}},
		{"no default limits", []string{"KRUN_MACHINE_DEFAULTS=0"}, nil, "", "", defaults, []specs.POSIXRlimit(nil)},

		{"host name: configuration", []string{"HOSTNAME=h"}, nil, `{"args": ["p"], "hostname": "c"}`, "l", hostname, "c"},
		{"host name: host", []string{"HOSTNAME=h"}, nil, "", "l", hostname, "h"},
		{"host name: lease", nil, nil, "", "l", hostname, "l"},
		{"host name: none", nil, nil, "", "", hostname, "localhost"},
	} {
		s, err := resolve(t, c.environ, c.args, c.config, c.lease)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := c.setting(s); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %#v, want %#v", c.name, got, c.want)
		}
	}
}

func TestResolveErrors(t *testing.T) {
	for want, c := range map[string]struct {
		environ []string
		config  string
	}{
		"KRUN_RLIMITS: item 1":                       {[]string{"KRUN_RLIMITS=7=many:1"}, ""},
		`user "nobody": not in the image's /etc/pas`: {nil, `{"args": ["p"], "User": "nobody"}`},
		`group "none": not in the image's /etc/grou`: {nil, `{"args": ["p"], "User": "u:none"}`},
		"no program to run: the configuration":       {nil, `{"env": ["A=1"], "Entrypoint": [], "config": {"Cmd": null}}`},
	} {
		if _, err := resolve(t, c.environ, nil, c.config, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Resolve() = %v, want %s", err, want)
		}
	}
}

var update = flag.Bool("update", false, "write the table in README anew")

// README's table of rules is the one that the package has.
func TestReadme(t *testing.T) {
	readme.Check(t, "../../README.md", "guest.Rules: go test ./pkg/guest -update", Markdown(), *update)
}

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
	}
	return Resolve(s)
}

// The first source of each rule wins.
func TestResolve(t *testing.T) {
	kernel := []string{"HOME=/", "TERM=linux"}
	args := func(s Settings) any { return s.Process.Args }
	env := func(s Settings) any { return strings.Join(s.Process.Env, " ") }
	cwd := func(s Settings) any { return s.Process.Cwd }
	hostname := func(s Settings) any { return s.Hostname }
	user := func(s Settings) any { return s.Process.User }
	setUser := func(s Settings) any { return s.SetUser }
	rlimits := func(s Settings) any { return s.Process.Rlimits }
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

		{"directory: host", []string{"KRUN_WORKDIR=/h"}, nil, `{"cwd": "/c"}`, "", cwd, "/h"},
		{"directory: configuration", nil, nil, `{"WorkingDir": "/c"}`, "", cwd, "/c"},
		{"directory: none", nil, nil, "", "", cwd, ""},

		{"variable: host", append(kernel, "A=h", "KRUN_DEBUG=1"), nil, `{"env": ["A=c", "B=c"]}`, "", env, "TERM=linux A=h B=c HOME=/root"},
		{"HOME: host's parameter", append(kernel, "KRUN_HOME=/k"), nil, `{"env": ["HOME=/c"]}`, "", env, "TERM=linux HOME=/k"},
		{"HOME: configuration", []string{"HOME=/h"}, nil, `{"env": ["HOME=/c"]}`, "", env, "HOME=/c"},
		{"HOME: host", []string{"HOME=/h"}, nil, "", "", env, "HOME=/h"},
		{"HOME: passwd", kernel, nil, `{"process": {"user": {"uid": 1000}}}`, "", env, "TERM=linux HOME=/home/u"},
		{"HOME: none", kernel, nil, `{"process": {"user": {"uid": 5}}}`, "", env, "TERM=linux HOME=/"},
		{"TERM: host's parameter", append(kernel, "KRUN_TERM=k"), nil, `{"env": ["TERM=c"]}`, "", env, "TERM=k HOME=/root"},
		{"TERM: configuration", kernel, nil, `{"env": ["TERM=c"]}`, "", env, "TERM=c HOME=/root"},

		{"user: none", nil, nil, `{"args": ["x"]}`, "", setUser, false},
		{"user: root, but given", nil, nil, `{"process": {"user": {"uid": 0}}}`, "", setUser, true},
		{"user: numbers", nil, nil, `{"User": "u", "process": {"user": {"uid": 3, "gid": 4, "additionalGids": [5]}}}`, "", user,
			specs.User{UID: 3, GID: 4, AdditionalGids: []uint32{5}}},
		{"user: name", nil, nil, `{"User": "u"}`, "", user, specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{7}}},
		{"user: name and group", nil, nil, `{"User": "u:extra"}`, "", user, specs.User{UID: 1000, GID: 7}},

		{"limits", []string{"KRUN_RLIMITS=7=1:2"}, nil,
			`{"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 5, "hard": 6}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]}}`, "",
			rlimits, []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}, {Type: "RLIMIT_NOFILE", Soft: 1, Hard: 2}}},

		{"host name: configuration", []string{"HOSTNAME=h"}, nil, `{"hostname": "c"}`, "l", hostname, "c"},
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
		`user "nobody": not in the image's /etc/pas`: {nil, `{"User": "nobody"}`},
		`group "none": not in the image's /etc/grou`: {nil, `{"User": "u:none"}`},
	} {
		if _, err := resolve(t, c.environ, nil, c.config, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Resolve() = %v, want %s", err, want)
		}
	}
}

func TestRunTmpfs(t *testing.T) {
	for _, c := range []struct {
		param       string
		destination string
		want        bool
	}{
		{"", "/data", true},
		{"1", "/runner", true},
		{"0", "/data", false},
		{"", "/run", false},
		{"", "/run/lock", false},
		{"1", "run/", false},
	} {
		p := bootparam.Parse(nil, []string{"KRUN_RUN_TMPFS=" + c.param})
		config := guestconfig.Config{Mounts: []specs.Mount{{Destination: c.destination}}}
		if got := RunTmpfs(p, config); got != c.want {
			t.Errorf("RunTmpfs(%q, mount on %s) = %v, want %v", c.param, c.destination, got, c.want)
		}
	}
}

var update = flag.Bool("update", false, "write the table in README anew")

// README's table of rules is the one that the package has.
func TestReadme(t *testing.T) {
	readme.Check(t, "../../README.md", "guest.Rules: go test ./pkg/guest -update", Markdown(), *update)
}

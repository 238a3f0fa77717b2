package cases

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// oddStrings are strings that shells, JSON encoders and command lines often corrupt. The workload
// must receive all of them unchanged.
var oddStrings = []string{
	"", " ", "two words", "  blanks  ", `"quoted"`, `"`, "it's", "tab\there", "line\nfeed\n", "\r\n", "a && b", "a; b | c > d",
	"--", "-", "-n", "$HOME ${HOME} $(id) `id`", `\`, `\n`, "%s%n", "*?[a]", "~", "#", "!", "a=b", "=", "à é ü ß", "日本語", "e\u0301",
	"\xff\xfe", "half a character: \xc3", "\x01\x1b[31m\x7f", "\u00a0\u2028", "🙂",
}

// jsonList returns list as a JSON array. It copies bytes that are not valid UTF-8 unchanged, which
// package encoding/json would not do.
func jsonList(list []string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, s := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		for _, c := range []byte(s) {
			if c < ' ' || c == '"' || c == '\\' {
				fmt.Fprintf(&b, `\u%04x`, c)
			} else {
				b.WriteByte(c)
			}
		}
		b.WriteByte('"')
	}
	b.WriteByte(']')
	return b.String()
}

// TestArgumentsAndEnvironment passes arguments and variables with unusual contents, and more data
// than fits on a kernel command line, and checks that the workload receives them unchanged.
func TestArgumentsAndEnvironment(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		var env []string
		for i, s := range oddStrings {
			env = append(env, fmt.Sprintf("ODD_%d=%s", i, s))
		}
		for len(env) < 200 {
			env = append(env, fmt.Sprintf("VARIABLE_%d=%s", len(env), strings.Repeat("x", len(env))))
		}
		env = append(env, "LONG="+strings.Repeat("long ", 20000), "dotted.name=1", "dashed-name=1", "à=1", "PATH=/bin")
		given := append([]string{"TWICE=first", "GIVEN_TO_KERNEL=config", "HOME=/config", "TERM=config"}, env...)
		given = append(given, "TWICE=last", "no equals sign", "=no name")

		cfg := withObserver(t, arch)
		cfg.GuestConfig = fmt.Appendf(nil, `{"args": %s, "env": %s}`, jsonList(append(cfg.Args, oddStrings...)), jsonList(given))
		cfg.Args = nil
		cfg.Env = []string{"GIVEN_TO_KERNEL=kernel", "EMPTY=", "BLANKS= a  b ", "HOSTNAME=box", "KRUN_HOME=/host", "KRUN_UNKNOWN=x"}
		s := observe(t, cfg)
		s.wantArgs(t, oddStrings...)
		s.wantEnv(t, append(env, "TWICE=last", "GIVEN_TO_KERNEL=kernel", "EMPTY=", "BLANKS= a  b ", "HOSTNAME=box",
			"HOME=/host", "TERM=config")...)
	})
}

// TestDashesOnCommandLine passes arguments after a second "--". The kernel does not pass these to
// init, so init has to read them from the command line.
func TestDashesOnCommandLine(t *testing.T) {
	t.Parallel()
	cfg := withObserver(t, "amd64")
	cfg.Args = nil
	// Package vm appends another init= to the command line, which becomes the last argument.
	cfg.KernelArgs = `init=/init.krun A=1 -- ` + observer + ` "first one" -- -x -- "" --`
	s := observe(t, cfg)
	s.wantArgs(t, "first one", "--", "-x", "--", "", "--", "init=/init.krun")
	s.wantEnv(t, "A=1", "HOME=/root", "TERM=linux")
}

// TestArgv0 checks that a program is executed under the name that KRUN_INIT gives.
func TestArgv0(t *testing.T) {
	for _, name := range []string{"sh", "/bin/sh", "bin/../bin/sh"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := withBusybox(t, "amd64")
			cfg.Env = []string{"KRUN_INIT=" + name}
			cfg.Args = []string{"-c", "tr '\\0' '\\n' </proc/$$/cmdline | head -n 1"}
			wantConsole(t, run(t, cfg, 0), name+"\n")
		})
	}
}

func TestHomeAndTerm(t *testing.T) {
	for _, tt := range []struct {
		name, config string
		env          []string
		want         []string // the whole environment
	}{
		{"not given", `{}`, nil, []string{"HOME=/root", "TERM=linux"}},
		{"of the user", `{"process": {"user": {"uid": 65534, "gid": 65534}}}`, nil, []string{"HOME=/nonexistent", "TERM=linux"}},
		{"of a user without a name", `{"process": {"user": {"uid": 4242, "gid": 0}}}`, nil, []string{"HOME=/", "TERM=linux"}},
		{"from the configuration", `{"env": ["HOME=/config", "TERM=vt220"]}`, []string{"HOME=/kernel", "TERM=dumb"},
			[]string{"HOME=/config", "TERM=vt220"}},
		{"from the command line", `{}`, []string{"HOME=/kernel", "TERM=dumb"}, []string{"HOME=/kernel", "TERM=dumb"}},
		{"from the host", `{"env": ["HOME=/config", "TERM=vt220"]}`, []string{"KRUN_HOME=/host", "KRUN_TERM=xterm"},
			[]string{"HOME=/host", "TERM=xterm"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := withObserver(t, "amd64")
			cfg.GuestConfig, cfg.Env = []byte(tt.config), tt.env
			observe(t, cfg).wantEnv(t, tt.want...)
		})
	}
}

// TestVariablesOfGo checks that variables for Go's runtime reach the workload, and do nothing to
// the one of init: neither lines on the console nor a limit of its memory.
func TestVariablesOfGo(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		cfg := script(t, arch, "env | grep ^GO | sort; sleep 1; exit 7\n")
		cfg.Env = []string{"GODEBUG=schedtrace=100,inittrace=1,gctrace=1", "GOGC=1", "GOMEMLIMIT=1MiB", "GOTRACEBACK=crash", "GOAL=7"}
		want := slices.Sorted(slices.Values(cfg.Env))
		wantConsole(t, run(t, cfg, 7), strings.Join(want, "\n")+"\n")
	})
}

package guestinit

import (
	"math/rand"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/rlimit"
)

// boot is what Linux makes of a command line: the environment and the arguments of init, as init/main.c and lib/cmdline.c
// do, without the parameters that the kernel knows. The second result is false where it would panic.
func boot(line string) (environ, args []string, ok bool) {
	environ = []string{"HOME=/", "TERM=linux"}
	dashes := false
	for {
		for line != "" && isBlank(line[0]) {
			line = line[1:]
		}
		if line == "" {
			return environ, args, true
		}
		i, equals, quotes := 0, 0, false
		quoted := line[0] == '"'
		if quoted {
			line = line[1:]
			quotes = true
		}
		for ; i < len(line) && (quotes || !isBlank(line[i])); i++ {
			if line[i] == '=' && equals == 0 {
				equals = i
			}
			if line[i] == '"' {
				quotes = !quotes
			}
		}
		param, value := line[:i], ""
		line = line[i:]
		if equals > 0 {
			param, value = param[:equals], param[equals+1:]
			if strings.HasPrefix(value, `"`) {
				value = strings.TrimSuffix(value[1:], `"`)
			} else if quoted {
				value = strings.TrimSuffix(value, `"`)
			}
		} else if quoted {
			param = strings.TrimSuffix(param, `"`)
		}
		switch whole := param + "=" + value; {
		case param == "--" && equals == 0:
			if dashes {
				return environ, args, true
			}
			dashes = true
		case dashes && equals == 0:
			args = append(args, param)
		case dashes:
			args = append(args, whole)
		case param == "init", strings.Contains(param, "."), equals == 0:
		default:
			if at := slices.IndexFunc(environ, func(e string) bool { return strings.HasPrefix(e, param+"=") }); at >= 0 {
				environ[at] = whole
			} else if environ = append(environ, whole); len(environ) > 33 {
				return nil, nil, false
			}
		}
		if len(args) > 32 {
			return nil, nil, false
		}
	}
}

// isBlank is isspace of the kernel's lib/ctype.c.
func isBlank(c byte) bool { return strings.IndexByte(" \t\n\v\f\r\xa0", c) >= 0 }

// checkParams reports parameters that do not come back from a list, or not from a kernel.
func checkParams(t *testing.T, p bootparam.Params) bool {
	t.Helper()
	environ, err := Environ(p)
	if err != nil {
		t.Errorf("Environ(%+v) = %v, want no error", p, err)
		return false
	}
	if p.Hostname != "" && !slices.Contains(p.Environ, "HOSTNAME="+p.Hostname) {
		p.Environ = append(slices.Clip(p.Environ), "HOSTNAME="+p.Hostname)
	}
	if got := bootparam.Parse(append([]string{"x"}, p.Args...), environ); !equal(p, got) {
		t.Errorf("%+v, as %q, is read as %+v", p, environ, got)
		return false
	}
	const host = `reboot=k quiet dyndbg="file a"`
	line, err := KernelCmdline(host, p)
	if err != nil {
		return true // TestKernelCmdlineErrors has the reasons
	}
	environ, args, ok := boot(line)
	if !ok || !strings.HasPrefix(line, host+" init=/init.krun") {
		t.Errorf("KernelCmdline(%+v) = %q, which the kernel does not boot", p, line)
		return false
	}
	args = bootparam.RestoreArgs(args, line+"\n")
	// Variables that are the kernel's own come first; the host's are among the others.
	kernel := []string{"HOME=/", "TERM=linux"}
	for _, entry := range p.Environ {
		switch {
		case strings.HasPrefix(entry, "HOME="):
			kernel[0] = entry
		case strings.HasPrefix(entry, "TERM="):
			kernel[1] = entry
		default:
			kernel = append(kernel, entry)
		}
	}
	p.Environ = slices.Insert(kernel, 2, "reboot=k", "dyndbg=file a")
	if got := bootparam.Parse(append([]string{"x"}, args...), environ); !equal(p, got) {
		t.Errorf("%+v, by %q, is read as %+v", p, line, got)
		return false
	}
	return true
}

// anyParams are any parameters that a host can hand over on a kernel command line.
type anyParams struct{ bootparam.Params }

func (anyParams) Generate(r *rand.Rand, _ int) reflect.Value {
	some := func() bool { return r.Intn(3) == 0 }
	word := func() string {
		if some() {
			return ""
		}
		return strings.ReplaceAll(anyString(r), `"`, "'")
	}
	p := NewParams()
	for _, s := range []*string{&p.Init, &p.Workdir, &p.Config, &p.Rlimits, &p.Home, &p.Term, &p.Hostname, &p.RootOverlay,
		&p.BlockRoot.Device, &p.BlockRoot.FSType, &p.BlockRoot.Options} {
		*s = word()
	}
	p.DHCP = [][]string{nil, {"eth0"}, {"all"}, {"0"}, {"1"}, {"eth0", "eth1"}, {"br\xff-1"}}[r.Intn(7)]
	if some() {
		p.DHCPTimeout = time.Duration(r.Intn(600001)) * time.Millisecond
		p.BlockRoot.Timeout = time.Duration(r.Intn(600001)) * time.Millisecond
		p.StopTimeout = time.Duration(r.Intn(86401)) * time.Second
	}
	p.InitPID1, p.NoRunTmpfs, p.SignalGroup, p.Debug, p.NoTimesync = some(), some(), some(), some(), some()
	p.Slew = !p.NoTimesync && some()
	for _, name := range []string{"HOME", "TERM", "A", "KRUN", "a_b", "é", "{}"} {
		if some() {
			p.Environ = append(p.Environ, name+"="+word())
		}
	}
	r.Shuffle(len(p.Environ), func(i, j int) { p.Environ[i], p.Environ[j] = p.Environ[j], p.Environ[i] })
	for range r.Intn(6) {
		p.Args = append(p.Args, []string{"--", "", word(), word(), "-- a"}[r.Intn(5)])
	}
	return reflect.ValueOf(anyParams{p})
}

func TestKernelCmdlineAny(t *testing.T) {
	check := func(p anyParams) bool {
		if _, err := KernelCmdline("quiet", p.Params); err != nil {
			t.Errorf("KernelCmdline(%+v) = %v, want no error", p, err)
			return false
		}
		return checkParams(t, p.Params)
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

// Whatever init can read, Environ can write.
func FuzzEnviron(f *testing.F) {
	f.Add("x\x00--\x00a b", "HOME=/\x00KRUN_INIT=/bin/sh\x00A=1\x00HOSTNAME=h\x00B=2\x00HOSTNAME=\x00KRUN_DHCP=1 ,0")
	f.Add("", "KRUN_DHCP_TIMEOUT_MS=0\x00KRUN_STOP_TIMEOUT=7\x00KRUN_TIMESYNC=slew\x00KRUN_RLIMITS=\"7=1:2\x00KRUN_INIT_PID1=1x\x00a.b=1")
	f.Fuzz(func(t *testing.T, argv, environ string) {
		p := bootparam.Parse(strings.Split(argv, "\x00"), strings.Split(environ, "\x00"))
		p.Malformed, p.Unsupported = nil, nil
		checkParams(t, p)
	})
}

func TestEnviron(t *testing.T) {
	for _, test := range []struct {
		change func(*bootparam.Params)
		want   string
	}{
		{func(*bootparam.Params) {}, ""},
		{func(p *bootparam.Params) { p.Hostname = "box"; p.Environ = []string{"A=1"} }, "A=1 HOSTNAME=box"},
		{func(p *bootparam.Params) { p.Hostname = "box"; p.Environ = []string{"HOSTNAME=box", "A=1"} }, "HOSTNAME=box A=1"},
		{func(p *bootparam.Params) { p.DHCP = []string{"eth0"} }, "KRUN_DHCP=1"},
		{func(p *bootparam.Params) { p.DHCP = []string{"1"} }, "KRUN_DHCP=1,"},
		{func(p *bootparam.Params) { p.DHCP = []string{"all"} }, "KRUN_DHCP=all"},
		{func(p *bootparam.Params) { p.DHCPTimeout, p.StopTimeout = 0, time.Minute }, "KRUN_DHCP_TIMEOUT_MS=0 KRUN_STOP_TIMEOUT=60"},
		{func(p *bootparam.Params) { p.BlockRoot = bootparam.BlockRoot{Device: "LABEL=r", Timeout: time.Second} },
			"KRUN_BLOCK_ROOT_DEVICE=LABEL=r KRUN_BLOCK_ROOT_TIMEOUT_MS=1000"},
		{func(p *bootparam.Params) { p.NoTimesync, p.NoRunTmpfs, p.Debug = true, true, true },
			"KRUN_TIMESYNC=0 KRUN_RUN_TMPFS=0 KRUN_DEBUG=1"},
	} {
		p := NewParams()
		test.change(&p)
		if got, err := Environ(p); strings.Join(got, " ") != test.want || err != nil {
			t.Errorf("Environ(%+v) = %q, %v, want %s", p, got, err, test.want)
		}
		checkParams(t, p)
	}
}

// Environ must not write behind the list that it was given.
func TestEnvironLeavesInputAlone(t *testing.T) {
	given := []string{"A=1", "kept"}
	p := NewParams()
	p.Hostname, p.Environ = "box", given[:1]
	if _, err := Environ(p); err != nil || given[1] != "kept" {
		t.Errorf("Environ: %v, behind its list is %q, want %q", err, given[1], "kept")
	}
}

func TestEnvironErrors(t *testing.T) {
	for _, test := range []struct {
		change func(*bootparam.Params)
		want   string
	}{
		{func(p *bootparam.Params) { p.Home = "a\x00" }, `"KRUN_HOME=a\x00": NUL byte`},
		{func(p *bootparam.Params) { p.Args = []string{"\x00"} }, "NUL byte"},
		{func(p *bootparam.Params) { p.Environ = []string{"A=1", "quiet"} }, `Environ[1] = "quiet" can't be expressed`},
		{func(p *bootparam.Params) { p.Environ = []string{"=1"} }, "Environ[0]"},
		{func(p *bootparam.Params) { p.Environ = []string{"A=1", "A=2"} }, "Environ[0]"},
		{func(p *bootparam.Params) { p.Environ = []string{"KRUN_INIT=x"} }, `Init = "" can't be expressed: init would read "x"`},
		{func(p *bootparam.Params) { p.Environ = []string{"KRUN_X=x"} }, "Environ[0]"},
		{func(p *bootparam.Params) { p.Hostname, p.Environ = "a", []string{"HOSTNAME=b"} }, `Hostname = "a" can't be expressed: init would read "b"`},
		{func(p *bootparam.Params) { p.DHCP = []string{"a", "a"} }, "DHCP[1]"},
		{func(p *bootparam.Params) { p.DHCP = []string{"a", "all"} }, "DHCP[0]"},
		{func(p *bootparam.Params) { p.DHCP = []string{"a,b"} }, "DHCP[0]"},
		{func(p *bootparam.Params) { p.DHCP = []string{""} }, "DHCP[0]"},
		{func(p *bootparam.Params) { p.DHCPTimeout = time.Microsecond }, "DHCPTimeout"},
		{func(p *bootparam.Params) { p.DHCPTimeout = time.Hour }, "DHCPTimeout"},
		{func(p *bootparam.Params) { p.StopTimeout = -time.Second }, "StopTimeout"},
		{func(p *bootparam.Params) { p.BlockRoot.Timeout = 1 }, "BlockRoot.Timeout"},
		{func(p *bootparam.Params) { p.NoTimesync, p.Slew = true, true }, "NoTimesync"},
		{func(p *bootparam.Params) { p.Malformed = []string{"KRUN_DEBUG=2"} }, "Malformed[0]"},
		{func(p *bootparam.Params) { p.Unsupported = []string{"KRUN_X"} }, "Unsupported[0]"},
	} {
		p := NewParams()
		test.change(&p)
		if got, err := Environ(p); got != nil || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Environ(%+v) = %q, %v, want %s", p, got, err, test.want)
		}
		if _, err := KernelCmdline("", p); err == nil {
			t.Errorf("KernelCmdline(%+v) succeeds, Environ does not", p)
		}
	}
}

func TestKernelCmdlineErrors(t *testing.T) {
	variables := func(n int) (list []string) {
		for i := range n {
			list = append(list, "V"+strconv.Itoa(i)+"=")
		}
		return list
	}
	for _, test := range []struct {
		host          string
		environ, args []string
		want          string // empty: none
	}{
		{environ: append(variables(31), "HOME=/h", "TERM=t")},
		{environ: variables(32), want: "32 variables, at most 31 are possible"},
		{args: slices.Repeat([]string{""}, 32)},
		{args: slices.Repeat([]string{""}, 33), want: "33 arguments, at most 32 are possible"},
		{args: append(slices.Repeat([]string{""}, 32), "--", "a", "b")},
		{host: strings.Repeat("x", MaxCmdline-len(" init=/init.krun"))},
		{host: strings.Repeat("x", MaxCmdline-len(" init=/init.krun")+1), want: "2048 bytes, at most 2047 are possible"},
		{environ: []string{"a.b=1"}, want: `variable "a.b": the kernel takes a name with a dot`},
		{environ: []string{"a b=1"}, want: `variable "a b": blank or double quote`},
		{environ: []string{"a\xa0=1"}, want: "blank or double quote"},
		{environ: []string{`"a=1`}, want: "blank or double quote"},
		{environ: []string{"--=1"}, want: "the kernel takes it for the end"},
		{environ: []string{`A=b"c`}, want: "variable A: double quote"},
		{environ: []string{"A=b -- c"}, args: []string{"x y"}},
		{args: []string{"a", `"`}, want: `argument 1, "\"": double quote`},
		{host: `a="b`, want: "end within quotes"},
		{host: `a -- b`, want: "end within quotes, or have --"},
		{host: `--`, want: "end within quotes, or have --"},
		{host: `x "--" x`, want: "end within quotes, or have --"},
		{host: "a\x00", want: "NUL byte"},
		{host: ` a="b -- c" "d e" `},
	} {
		p := NewParams()
		p.Environ, p.Args = test.environ, test.args
		line, err := KernelCmdline(test.host, p)
		if test.want == "" && err != nil || test.want != "" && (err == nil || line != "" || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("KernelCmdline(%q, %q, %q) = %q, %v, want %q", test.host, test.environ, test.args, line, err, test.want)
		}
		if _, _, ok := boot(line); !ok {
			t.Errorf("KernelCmdline(%q, %q, %q) = %q, of which the kernel panics", test.host, test.environ, test.args, line)
		}
	}
}

func TestFormatRlimits(t *testing.T) {
	limits := []rlimit.Limit{{Resource: 7, Soft: 1, Hard: 2}, {Resource: 0, Soft: rlimit.Infinity, Hard: rlimit.Infinity}}
	const want = "7=1:2,0=18446744073709551615:18446744073709551615"
	if got, err := FormatRlimits(limits); got != want || err != nil {
		t.Errorf("FormatRlimits(%v) = %q, %v, want %q", limits, got, err, want)
	}
	if got, err := FormatRlimits(nil); got != "" || err != nil {
		t.Errorf("FormatRlimits(nil) = %q, %v, want nothing", got, err)
	}
	for _, limits := range [][]rlimit.Limit{
		{{Resource: 99}}, {{Resource: -1}}, {{Resource: 1, Soft: 2, Hard: 1}}, {{Resource: 1}, {Resource: 1}},
	} {
		if got, err := FormatRlimits(limits); err == nil {
			t.Errorf("FormatRlimits(%v) = %q, want an error", limits, got)
		}
	}
}

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
	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// checkParams reports an error if Environ can't express p, or if bootparam.Parse reads something
// else, from Environ or by way of a kernel.
func checkParams(t *testing.T, p bootparam.Params) bool {
	t.Helper()
	environ, err := Environ(p)
	if err != nil {
		t.Errorf("Environ(%+v) = %v, want no error", p, err)
		return false
	}
	hostname := "HOSTNAME=" + p.Hostname
	if p.Hostname != "" && !slices.Contains(p.Environ, hostname) {
		p.Environ = append(slices.Clip(p.Environ), hostname)
	}
	if got := bootparam.Parse(append([]string{"x"}, p.Args...), environ); !equal(p, got) {
		t.Errorf("Parse(Environ()) = Parse(%q) = %+v, want %+v", environ, got, p)
		return false
	}
	return checkCmdline(t, p)
}

// checkCmdline reports an error if bootparam.Parse reads something else than p after a kernel has
// booted with KernelCmdline's line.
func checkCmdline(t *testing.T, p bootparam.Params) bool {
	t.Helper()
	const host = `reboot=k quiet dyndbg="file a"`
	line, err := KernelCmdline(host, p)
	if err != nil {
		return true // TestKernelCmdlineErrors tests errors
	}
	environ, args, ok := boot(line)
	if !ok || !strings.HasPrefix(line, host+" init=/init.krun") {
		t.Errorf("KernelCmdline(%+v) = %q, which the kernel does not boot", p, line)
		return false
	}
	args = bootparam.RestoreArgs(args, line+"\n")
	// The kernel's own variables come first, then the host's.
	kernel := []string{"HOME=/", "TERM=linux", "reboot=k", "dyndbg=file a"}
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
	p.Environ = kernel
	if got := bootparam.Parse(append([]string{"x"}, args...), environ); !equal(p, got) {
		t.Errorf("Parse after a boot with %q = %+v, want %+v", line, got, p)
		return false
	}
	return true
}

// anyParams are random parameters that a host can hand over on a kernel command line.
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
	for _, s := range []*string{
		&p.Init, &p.Workdir, &p.Config, &p.Rlimits, &p.Home, &p.Term, &p.Hostname, &p.RootOverlay,
		&p.BlockRoot.Device, &p.BlockRoot.FSType, &p.BlockRoot.Options,
	} {
		*s = word()
	}
	for _, b := range []*bool{&p.InitPID1, &p.SignalGroup, &p.Debug,
		&p.MachineDefaults, &p.BlockRoot.Grow} {
		*b = some()
	}
	p.Timesync, p.RunTmpfs = bootparam.Timesync(r.Intn(3)), bootparam.RunTmpfs(r.Intn(3))
	p.DHCP = [][]string{
		nil, {"eth0"}, {"all"}, {"0"}, {"1"}, {"eth0", "eth1"}, {"br\xff-1"},
	}[r.Intn(7)]
	if some() {
		p.DHCPTimeout = time.Duration(r.Intn(600001)) * time.Millisecond
		p.BlockRoot.Timeout = time.Duration(r.Intn(600001)) * time.Millisecond
		p.StopTimeout = time.Duration(r.Intn(86401)) * time.Second
	}
	for _, i := range r.Perm(7) {
		if some() {
			name := []string{"HOME", "TERM", "A", "KRUN", "a_b", "é", "{}"}[i]
			p.Environ = append(p.Environ, name+"="+word())
		}
	}
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

// Environ can express whatever Parse returns.
func FuzzEnviron(f *testing.F) {
	f.Add("x\x00--\x00a b",
		"HOME=/\x00KRUN_INIT=/bin/sh\x00A=1\x00HOSTNAME=h\x00B=2\x00HOSTNAME=\x00KRUN_DHCP=1 ,0")
	f.Add("", "KRUN_DHCP_TIMEOUT_MS=0\x00KRUN_STOP_TIMEOUT=7\x00KRUN_TIMESYNC=slew\x00"+
		"KRUN_RLIMITS=\"7=1:2\x00KRUN_INIT_PID1=1x\x00a.b=1")
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
		{
			func(p *bootparam.Params) { p.Hostname, p.Environ = "box", []string{"A=1"} },
			"A=1 HOSTNAME=box",
		},
		{
			func(p *bootparam.Params) {
				p.Hostname, p.Environ = "box", []string{"HOSTNAME=box", "A=1"}
			},
			"HOSTNAME=box A=1",
		},
		{func(p *bootparam.Params) { p.DHCP = []string{"eth0"} }, "KRUN_DHCP=1"},
		{func(p *bootparam.Params) { p.DHCP = []string{"1"} }, "KRUN_DHCP=1,"},
		{func(p *bootparam.Params) { p.DHCP = []string{"all"} }, "KRUN_DHCP=all"},
		{
			func(p *bootparam.Params) { p.DHCPTimeout, p.StopTimeout = 0, time.Minute },
			"KRUN_DHCP_TIMEOUT_MS=0 KRUN_STOP_TIMEOUT=60",
		},
		{
			func(p *bootparam.Params) {
				p.BlockRoot = bootparam.BlockRoot{Device: "LABEL=r", Timeout: time.Second}
			},
			"KRUN_BLOCK_ROOT_DEVICE=LABEL=r KRUN_BLOCK_ROOT_TIMEOUT_MS=1000",
		},
		{
			func(p *bootparam.Params) {
				p.Timesync, p.RunTmpfs, p.Debug = bootparam.TimesyncOff, bootparam.RunTmpfsNever, true
			},
			"KRUN_TIMESYNC=0 KRUN_RUN_TMPFS=0 KRUN_DEBUG=1",
		},
	} {
		p := NewParams()
		test.change(&p)
		if got, err := Environ(p); strings.Join(got, " ") != test.want || err != nil {
			t.Errorf("Environ(%+v) = %q, %v, want %s", p, got, err, test.want)
		}
		checkParams(t, p)
	}
}

// Environ must not write behind the end of its input.
func TestEnvironLeavesInputAlone(t *testing.T) {
	given := []string{"A=1", "kept"}
	p := NewParams()
	p.Hostname, p.Environ = "box", given[:1]
	if _, err := Environ(p); err != nil || given[1] != "kept" {
		t.Errorf("Environ = %v and overwrote %q, want %q", err, given[1], "kept")
	}
}

func TestEnvironErrors(t *testing.T) {
	environ := func(entries ...string) func(p *bootparam.Params) {
		return func(p *bootparam.Params) { p.Environ = entries }
	}
	dhcp := func(names ...string) func(p *bootparam.Params) {
		return func(p *bootparam.Params) { p.DHCP = names }
	}
	for _, test := range []struct {
		change func(*bootparam.Params)
		want   string
	}{
		{func(p *bootparam.Params) { p.Home = "a\x00" }, `"KRUN_HOME=a\x00": contains a NUL byte`},
		{func(p *bootparam.Params) { p.Args = []string{"\x00"} }, "NUL byte"},
		{environ("A=1", "quiet"), `Environ[1] = "quiet" can't be expressed`},
		{environ("=1"), "Environ[0]"},
		{environ("A=1", "A=2"), "Environ[0]"},
		{environ("KRUN_INIT=x"), `Init = "" can't be expressed: init would read "x"`},
		{environ("KRUN_X=x"), "Environ[0]"},
		{
			func(p *bootparam.Params) { p.Hostname, p.Environ = "a", []string{"HOSTNAME=b"} },
			`Hostname = "a" can't be expressed: init would read "b"`,
		},
		{dhcp("a", "a"), "DHCP[1]"},
		{dhcp("a", "all"), "DHCP[0]"},
		{dhcp("a,b"), "DHCP[0]"},
		{dhcp(""), "DHCP[0]"},
		{func(p *bootparam.Params) { p.DHCPTimeout = time.Microsecond }, "DHCPTimeout = 1µs"},
		{func(p *bootparam.Params) { p.DHCPTimeout = time.Hour }, "DHCPTimeout"},
		{func(p *bootparam.Params) { p.StopTimeout = -time.Second }, "StopTimeout"},
		{func(p *bootparam.Params) { p.BlockRoot.Timeout = 1 }, "BlockRoot.Timeout"},
		{func(p *bootparam.Params) { p.Timesync = 9 }, "Timesync = 9"},
		{func(p *bootparam.Params) { p.Malformed = []string{"KRUN_DEBUG=2"} }, "Malformed[0]"},
		{func(p *bootparam.Params) { p.Unsupported = []string{"KRUN_X"} }, "Unsupported[0]"},
	} {
		p := NewParams()
		test.change(&p)
		got, err := Environ(p)
		if got != nil || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Environ(%+v) = %q, %v, want the error %s", p, got, err, test.want)
		}
		if _, err := KernelCmdline("", p); err == nil {
			t.Errorf("KernelCmdline(%+v) = nil, want the error of Environ", p)
		}
	}
}

func TestKernelCmdlineErrors(t *testing.T) {
	for _, test := range []struct {
		host          string
		environ, args []string
		want          string // empty: no error
	}{
		{environ: append(manyVariables(31), "HOME=/h", "TERM=t")},
		{environ: manyVariables(32), want: "32 variables, at most 31 are possible"},
		{args: slices.Repeat([]string{""}, 32)},
		{args: slices.Repeat([]string{""}, 33), want: "33 arguments, at most 32 are possible"},
		{args: append(slices.Repeat([]string{""}, 32), "--", "a", "b")},
		{host: strings.Repeat("x", MaxCmdline-len(" init=/init.krun"))},
		{
			host: strings.Repeat("x", MaxCmdline-len(" init=/init.krun")+1),
			want: "2048 bytes, at most 2047 are possible",
		},
		{environ: []string{"a.b=1"}, want: `variable "a.b": the kernel takes a name with a dot`},
		{environ: []string{"a b=1"}, want: `variable "a b": blank or double quote`},
		{environ: []string{"a\xa0=1"}, want: "blank or double quote"},
		{environ: []string{`"a=1`}, want: "blank or double quote"},
		{environ: []string{"--=1"}, want: "the kernel takes it for the end"},
		{
			environ: []string{`A=b"c`},
			want:    "variable A: a kernel command line can't express a double quote",
		},
		{environ: []string{"A=b -- c"}, args: []string{"x y"}},
		{args: []string{"a", `"`}, want: `argument 1, "\"": a kernel command line can't express`},
		{host: `a="b`, want: "end within quotes"},
		{host: `a -- b`, want: "end within quotes, or contain --"},
		{host: `--`, want: "end within quotes, or contain --"},
		{host: `x "--" x`, want: "end within quotes, or contain --"},
		{host: "a\x00", want: "NUL byte"},
		{host: ` a="b -- c" "d e" `},
	} {
		p := NewParams()
		p.Environ, p.Args = test.environ, test.args
		line, err := KernelCmdline(test.host, p)
		isWanted := test.want == "" && err == nil || test.want != "" && line == "" && err != nil &&
			strings.Contains(err.Error(), test.want)
		if !isWanted {
			t.Errorf("KernelCmdline(%q, %q, %q) = %q, %v, want the error %q",
				test.host, test.environ, test.args, line, err, test.want)
		}
		if _, _, ok := boot(line); !ok {
			t.Errorf("KernelCmdline(%q, %q, %q) = %q, with which the kernel panics",
				test.host, test.environ, test.args, line)
		}
	}
}

func manyVariables(count int) (environ []string) {
	for i := range count {
		environ = append(environ, "V"+strconv.Itoa(i)+"=")
	}
	return environ
}

func TestFormatRlimits(t *testing.T) {
	limits := []specs.POSIXRlimit{
		{Type: "RLIMIT_NOFILE", Soft: 1, Hard: 2},
		{Type: "RLIMIT_CPU", Soft: oci.Unlimited, Hard: oci.Unlimited},
	}
	const want = "7=1:2,0=18446744073709551615:18446744073709551615"
	if got, err := FormatRlimits(limits); got != want || err != nil {
		t.Errorf("FormatRlimits(%v) = %q, %v, want %q", limits, got, err, want)
	}
	if got, err := FormatRlimits(nil); got != "" || err != nil {
		t.Errorf(`FormatRlimits(nil) = %q, %v, want ""`, got, err)
	}
	as := specs.POSIXRlimit{Type: "RLIMIT_AS"}
	for want, limits := range map[string][]specs.POSIXRlimit{
		`limits[0]: Linux has no resource "RLIMIT_X"`: {{Type: "RLIMIT_X"}},
		`limits[0]: Linux has no resource ""`:         {{}},
		"limits[1]: soft limit 2 is above hard limit 1": {
			as, {Type: "RLIMIT_CPU", Soft: 2, Hard: 1},
		},
		`limits[1] = specs.POSIXRlimit{Type:"RLIMIT_AS", Ha`: {as, as},
	} {
		got, err := FormatRlimits(limits)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("FormatRlimits(%v) = %q, %v, want the error %s", limits, got, err, want)
		}
	}
}

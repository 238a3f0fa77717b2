package bootparam

import (
	"flag"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/krunbox/krunbox/internal/readme"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name          string
		argv, environ []string
		want          Params
	}{
		{name: "nothing at all"},
		{name: "no arguments", argv: []string{"/init.krun"}},
		{
			name: "arguments, byte for byte",
			argv: []string{"/init.krun", "--", "", "-v", "KRUN_INIT=x", "a b\t\"c\"\xff"},
			want: Params{Args: []string{"--", "", "-v", "KRUN_INIT=x", "a b\t\"c\"\xff"}},
		},
		{
			name: "everything a host can set",
			environ: []string{
				"HOME=/", "TERM=linux", "KRUN_INIT=/bin/sh", "KRUN_WORKDIR=/srv", "KRUN_CONFIG=/c.json",
				`KRUN_RLIMITS="7=1:2`, "KRUN_HOME=/root", "KRUN_TERM=xterm", "HOSTNAME=box", "KRUN_DHCP=1",
				"KRUN_INIT_PID1=1", "KRUN_BLOCK_ROOT_DEVICE=/dev/vda", "KRUN_BLOCK_ROOT_FSTYPE=ext4",
				"KRUN_BLOCK_ROOT_OPTIONS=ro,noatime", "A=1",
			},
			want: Params{
				Init: "/bin/sh", Workdir: "/srv", Config: "/c.json", Rlimits: `"7=1:2`, Home: "/root",
				Term: "xterm", Hostname: "box", DHCP: []string{"eth0"}, InitPID1: true,
				BlockRoot: BlockRoot{Device: "/dev/vda", FSType: "ext4", Options: "ro,noatime"},
				Environ:   []string{"HOME=/", "TERM=linux", "HOSTNAME=box", "A=1"},
			},
		},
		{
			name: "empty is not set",
			environ: []string{
				"KRUN_INIT=", "KRUN_WORKDIR=", "KRUN_CONFIG=", "KRUN_RLIMITS=", "KRUN_HOME=", "KRUN_TERM=",
				"KRUN_DHCP=", "KRUN_INIT_PID1=", "KRUN_BLOCK_ROOT_DEVICE=", "KRUN_NEW=", "HOSTNAME=", "A=",
			},
			want: Params{Environ: []string{"HOSTNAME=", "A="}},
		},
		{
			name:    "the last one wins, in the place of the first",
			environ: []string{"A=1", "KRUN_INIT=x", "B=2", "A=3", "KRUN_INIT=y", "AB=4", "HOSTNAME=a", "HOSTNAME=b"},
			want: Params{
				Init: "y", Hostname: "b",
				Environ: []string{"A=3", "B=2", "AB=4", "HOSTNAME=b"},
			},
		},
		{
			name:    "no variables",
			environ: []string{"", "=", "=x", "quiet", "KRUN_INIT"},
		},
		{
			name:    "values, byte for byte",
			environ: []string{`KRUN_INIT="a b"`, `A="a=b" `, "B=\xff\n"},
			want:    Params{Init: `"a b"`, Environ: []string{`A="a=b" `, "B=\xff\n"}},
		},
		{
			name:    "names that only look like init's",
			environ: []string{"KRUN=1", "KRUNX_INIT=1", "krun_init=1", "XKRUN_INIT=1"},
			want:    Params{Environ: []string{"KRUN=1", "KRUNX_INIT=1", "krun_init=1", "XKRUN_INIT=1"}},
		},
		{
			name:    "variables of another version",
			environ: []string{"KRUN_LATER=1", "KRUN_=2", "KRUN_INIT_PID10=1"},
			want:    Params{Unsupported: []string{"KRUN_LATER", "KRUN_", "KRUN_INIT_PID10"}},
		},
	} {
		test.want.setDefaults()
		if got := Parse(test.argv, test.environ); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: Parse(%q, %q) = %+v, want %+v", test.name, test.argv, test.environ, got, test.want)
		}
	}
}

func TestParseInitPID1(t *testing.T) {
	for value, want := range map[string]bool{"1": true, "1yes": true, "0": false, "true": false, " 1": false, "01": false} {
		if got := Parse(nil, []string{"KRUN_INIT_PID1=" + value}).InitPID1; got != want {
			t.Errorf("Parse(KRUN_INIT_PID1=%q).InitPID1 = %v, want %v", value, got, want)
		}
	}
}

func TestParseDHCP(t *testing.T) {
	for value, want := range map[string]string{"": "", "0": "", "1": "eth0", "eth1": "eth1", "eth0,eth1": "eth0 eth1", "all": "all",
		"eth0,all": "all", " eth0 ,,eth0": "eth0"} {
		if got := strings.Join(Parse(nil, []string{"KRUN_DHCP=" + value}).DHCP, " "); got != want {
			t.Errorf("Parse(KRUN_DHCP=%q).DHCP = %q, want %q", value, got, want)
		}
	}
}

// setDefaults sets the fields whose default is not the zero value.
func (p *Params) setDefaults() {
	p.DHCPTimeout, p.BlockRoot.Timeout, p.StopTimeout = 500*time.Millisecond, 5*time.Second, 10*time.Second
	p.MachineDefaults = true
}

func TestParseTimes(t *testing.T) {
	for _, v := range []struct {
		name     string
		field    func(Params) time.Duration
		unit     time.Duration
		most     uint64
		standard time.Duration
	}{
		{"KRUN_DHCP_TIMEOUT_MS", func(p Params) time.Duration { return p.DHCPTimeout }, time.Millisecond, 600000, DefaultDHCPTimeout},
		{"KRUN_BLOCK_ROOT_TIMEOUT_MS", func(p Params) time.Duration { return p.BlockRoot.Timeout }, time.Millisecond, 600000, DefaultBlockRootTimeout},
		{"KRUN_STOP_TIMEOUT", func(p Params) time.Duration { return p.StopTimeout }, time.Second, 86400, DefaultStopTimeout},
	} {
		most := time.Duration(v.most)
		for value, want := range map[string]time.Duration{"": v.standard, "0": 0, "2500": 2500 * v.unit,
			strconv.FormatUint(v.most, 10): most * v.unit, strconv.FormatUint(v.most+1, 10): -1, "-1": -1, "1s": -1, "99999999999": -1} {
			malformed := ""
			if want < 0 {
				want, malformed = v.standard, v.name+"="+value
			}
			p := Parse(nil, []string{v.name + "=" + value})
			if got := strings.Join(p.Malformed, " "); v.field(p) != want || got != malformed {
				t.Errorf("%s=%q: %v, malformed %q, want %v, %q", v.name, value, v.field(p), got, want, malformed)
			}
		}
	}
}

// Variables that have few values.
func TestParseChoices(t *testing.T) {
	for entry, want := range map[string]Params{
		"KRUN_TIMESYNC=":      {},
		"KRUN_TIMESYNC=1":     {},
		"KRUN_TIMESYNC=0":     {Timesync: TimesyncOff},
		"KRUN_TIMESYNC=slew":  {Timesync: TimesyncSlew},
		"KRUN_TIMESYNC=fast":  {Malformed: []string{"KRUN_TIMESYNC=fast"}},
		"KRUN_RUN_TMPFS=":     {},
		"KRUN_RUN_TMPFS=no":   {Malformed: []string{"KRUN_RUN_TMPFS=no"}},
		"KRUN_ROOT_OVERLAY=x": {RootOverlay: "x"},
		"KRUN_SIGNAL_GROUP=1": {SignalGroup: true},
		"KRUN_SIGNAL_GROUP=0": {},
		"KRUN_SIGNAL_GROUP=2": {Malformed: []string{"KRUN_SIGNAL_GROUP=2"}},
		"KRUN_DEBUG=1":        {Debug: true},
		"KRUN_DEBUG=0":        {},
		"KRUN_DEBUG=yes":      {Malformed: []string{"KRUN_DEBUG=yes"}},
	} {
		got := Parse(nil, []string{entry})
		want.setDefaults()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Parse(%s) = %+v, want %+v", entry, got, want)
		}
	}
}

func TestParseRunTmpfs(t *testing.T) {
	for value, want := range map[string]RunTmpfs{"": RunTmpfsIfNeeded, "1": RunTmpfsAlways, "0": RunTmpfsNever, "yes": RunTmpfsIfNeeded} {
		p := Parse(nil, []string{"KRUN_RUN_TMPFS=" + value})
		if malformed := len(p.Malformed) > 0; p.RunTmpfs != want || malformed != (value == "yes") {
			t.Errorf("Parse(KRUN_RUN_TMPFS=%s) = %v, malformed %q, want %v", value, p.RunTmpfs, p.Malformed, want)
		}
	}
	if Parse(nil, []string{"KRUN_MACHINE_DEFAULTS=0"}).MachineDefaults {
		t.Error("Parse().MachineDefaults is true with KRUN_MACHINE_DEFAULTS=0")
	}
}

// Format is the inverse of Parse, for defaults and for other values.
func TestFormat(t *testing.T) {
	for name, values := range map[string][]string{
		"KRUN_INIT": {"", "/bin/sh"}, "KRUN_WORKDIR": {"", "/w"}, "KRUN_CONFIG": {"", "/c"}, "KRUN_RLIMITS": {"", "7=1:2"},
		"KRUN_HOME": {"", "/h"}, "KRUN_TERM": {"", "vt100"}, "HOSTNAME": {"", "h"}, "KRUN_DHCP": {"", "1", "eth1,eth2", "all", "1,"},
		"KRUN_DHCP_TIMEOUT_MS": {"", "0", "600000"}, "KRUN_TIMESYNC": {"", "slew", "0"}, "KRUN_INIT_PID1": {"", "1"},
		"KRUN_BLOCK_ROOT_DEVICE": {"", "LABEL=x"}, "KRUN_BLOCK_ROOT_FSTYPE": {"", "ext4"}, "KRUN_BLOCK_ROOT_OPTIONS": {"", "ro"},
		"KRUN_BLOCK_ROOT_TIMEOUT_MS": {"", "7"}, "KRUN_ROOT_OVERLAY": {"", "tmpfs"}, "KRUN_RUN_TMPFS": {"", "0", "1"}, "KRUN_MACHINE_DEFAULTS": {"", "0"}, "KRUN_BLOCK_ROOT_GROW": {"", "1"},
		"KRUN_STOP_TIMEOUT": {"", "3"}, "KRUN_SIGNAL_GROUP": {"", "1"}, "KRUN_DEBUG": {"", "1"},
	} {
		row := find(name)
		if row == nil {
			t.Errorf("the table lacks %s", name)
			continue
		}
		for _, value := range values {
			if got := row.Format(Parse(nil, []string{name + "=" + value})); got != value {
				t.Errorf("Format(Parse(%s=%s)) = %q, want %q", name, value, got, value)
			}
		}
	}
}

var update = flag.Bool("update", false, "write the table in README anew")

// README's table of variables is the one that the package has.
func TestReadme(t *testing.T) {
	readme.Check(t, "../../README.md", "bootparam.Table: go test ./pkg/bootparam -update", Markdown(), *update)
}

func TestHelp(t *testing.T) {
	help := Help()
	for line := range strings.Lines(help) {
		if len(strings.TrimSuffix(line, "\n")) > 100 {
			t.Errorf("Help() has a line of more than 100 columns: %s", line)
		}
	}
	for _, row := range Table() {
		if !strings.Contains(help, "\n  "+row.Name+" ") && !strings.HasPrefix(help, "  "+row.Name+" ") {
			t.Errorf("Help() lacks %s", row.Name)
		}
	}
}

// Parse must not write to what it was given, which os.Args and the like share.
func TestParseLeavesInputAlone(t *testing.T) {
	environ := []string{"A=1", "B=2", "A=3"}
	given := slices.Clone(environ)
	if Parse(nil, environ); !slices.Equal(environ, given) {
		t.Errorf("Parse changed its environ to %q, want %q", environ, given)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("/init.krun\x00--\x00a b", "HOME=/\x00KRUN_INIT=/bin/sh\x00A=1\x00A=2\x00HOSTNAME=h")
	f.Add("", "=\x00=x\x00quiet\x00KRUN_\x00KRUN_=1\x00KRUN_INIT_PID1=1\x00KRUN_BLOCK_ROOT_DEVICE=/dev/vda")
	f.Fuzz(func(t *testing.T, argv, environ string) {
		given := strings.Split(environ, "\x00")
		p := Parse(strings.Split(argv, "\x00"), given)
		last := map[string]string{}
		for _, entry := range given {
			if name, _, ok := strings.Cut(entry, "="); ok && name != "" && !strings.HasPrefix(name, "KRUN_") {
				last[name] = entry
			}
		}
		for _, entry := range p.Environ {
			name, _, _ := strings.Cut(entry, "=")
			if last[name] != entry {
				t.Errorf("Parse(%q).Environ has %q, want %q, once", given, entry, last[name])
			}
			delete(last, name)
		}
		if len(last) > 0 {
			t.Errorf("Parse(%q).Environ = %q, lacks %q", given, p.Environ, last)
		}
	})
}

package guestinit

import (
	"math/rand"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/quick"

	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/krunbox/krunbox/pkg/rlimit"
)

// checkConfig reports a configuration that does not come back.
func checkConfig(t *testing.T, c guestconfig.Config) bool {
	t.Helper()
	data, err := EncodeConfig(c)
	if err != nil {
		t.Errorf("EncodeConfig(%+v) = %v, want no error", c, err)
		return false
	}
	got, err := guestconfig.Parse(data)
	if err != nil || !equal(c, got) {
		t.Errorf("%+v, as %q, is read as %+v, %v", c, data, got, err)
		return false
	}
	return true
}

// equal is reflect.DeepEqual, but an empty list is as good as none. It is not that of the package.
func equal(a, b any) bool {
	return reflect.DeepEqual(withoutEmpty(reflect.ValueOf(a)).Interface(), withoutEmpty(reflect.ValueOf(b)).Interface())
}

func withoutEmpty(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch {
	case v.Kind() == reflect.Slice && v.Len() > 0:
		for i := range v.Len() {
			out = reflect.Append(out, withoutEmpty(v.Index(i)))
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		out.Set(reflect.New(v.Type().Elem()))
		out.Elem().Set(withoutEmpty(v.Elem()))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(withoutEmpty(v.Field(i)))
		}
	case v.Kind() != reflect.Slice:
		out.Set(v)
	}
	return out
}

// anyConfig is any configuration that a file can have.
type anyConfig struct{ guestconfig.Config }

func (anyConfig) Generate(r *rand.Rand, _ int) reflect.Value {
	var c guestconfig.Config
	id := func() uint32 { return r.Uint32() &^ 1 } // all but the one that is nobody's
	some := func() bool { return r.Intn(2) == 0 }
	c.Args, c.Cwd, c.Hostname, c.Domainname = anyStrings(r), anyString(r), anyString(r), anyString(r)
	for _, s := range anyStrings(r) {
		c.Env = append(c.Env, strings.ReplaceAll("N"+s, "=", "_")+"="+anyString(r))
	}
	if some() {
		c.User = &guestconfig.User{UID: id() * uint32(r.Intn(2)), GID: id()}
		for range r.Intn(3) {
			c.User.AdditionalGIDs = append(c.User.AdditionalGIDs, id())
		}
		if some() {
			c.User.Umask = new(r.Uint32())
		}
	}
	if c.User == nil || c.User.UID == 0 {
		c.Username = "u" + anyString(r)
	}
	for _, i := range r.Perm(16)[:r.Intn(17)] {
		soft := r.Uint64() >> r.Intn(64)
		c.Rlimits = append(c.Rlimits, rlimit.Limit{Resource: i, Soft: soft, Hard: max(soft, r.Uint64()|uint64(r.Intn(2))*rlimit.Infinity)})
	}
	if some() {
		set := func() oci.CapabilitySet { return oci.CapabilitySet(r.Uint64() & (1<<41 - 1)) }
		granted, _ := oci.Capabilities{Bounding: set(), Effective: set(), Inheritable: set(), Permitted: set(), Ambient: set()}.Grantable()
		c.Capabilities = &granted
	}
	c.NoNewPrivileges, c.Terminal, c.RootReadonly, c.MountNamespace = some(), some(), some(), some()
	if some() {
		c.OOMScoreAdj = new(r.Intn(2001) - 1000)
	}
	if some() {
		c.Scheduler = &oci.Scheduler{Policy: oci.Policy(r.Intn(7)), Nice: int32(r.Uint32()), Priority: int32(r.Uint32()),
			Flags: oci.SchedulerFlags(r.Intn(128)), Runtime: r.Uint64(), Deadline: r.Uint64(), Period: r.Uint64()}
	}
	if some() {
		c.IOPriority = &oci.IOPriority{Class: oci.IOClass(1 + r.Intn(3)), Priority: uint32(r.Intn(8))}
	}
	for i := range c.CPUs {
		c.CPUs[i] = r.Uint64() * uint64(r.Intn(2))
	}
	if c.Terminal {
		c.ConsoleSize = guestconfig.Size{Height: uint16(r.Uint32()), Width: uint16(r.Uint32())}
	}
	c.StopSignal = r.Intn(65)
	for range r.Intn(4) {
		c.Mounts = append(c.Mounts, guestconfig.Mount{Destination: anyString(r), Type: anyString(r), Source: anyString(r), Options: anyStrings(r)})
		c.Sysctls = append(c.Sysctls, guestconfig.Sysctl{Name: anyString(r), Value: anyString(r)})
		d := guestconfig.Device{Path: "/" + anyString(r), Type: "cubp"[r.Intn(4)], Major: r.Uint32() >> 20, Minor: r.Uint32() >> 12}
		if some() {
			d.FileMode, d.UID, d.GID = new(r.Uint32()), new(id()), new(id())
		}
		c.Devices = append(c.Devices, d)
	}
	c.RootfsPropagation = []string{"", "shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"}[r.Intn(9)]
	c.MaskedPaths, c.ReadonlyPaths = anyStrings(r), anyStrings(r)
	return reflect.ValueOf(anyConfig{c})
}

// anyString returns a string of any bytes but NUL, many of which are special.
func anyString(r *rand.Rand) string {
	const special = "\"\\\n\t\r\x01\x1f\x7f\xff\xc3\xa9\xa0 =,.-{}[]:\u2028<&u0"
	b := make([]byte, r.Intn(10))
	for i := range b {
		if b[i] = special[r.Intn(len(special))]; r.Intn(2) == 0 {
			b[i] = byte(1 + r.Intn(255))
		}
	}
	return string(b)
}

func anyStrings(r *rand.Rand) []string {
	list := make([]string, r.Intn(4))
	for i := range list {
		list[i] = anyString(r)
	}
	return list
}

func TestEncodeConfigAny(t *testing.T) {
	if err := quick.Check(func(c anyConfig) bool { return checkConfig(t, c.Config) }, &quick.Config{MaxCount: 500}); err != nil {
		t.Error(err)
	}
}

func TestEncodeConfig(t *testing.T) {
	for _, test := range []struct {
		in   guestconfig.Config
		want string
	}{
		{guestconfig.Config{}, `{}`},
		{guestconfig.Config{Args: []string{}}, `{}`},
		{guestconfig.Config{Args: []string{"", "a\"\\\n\x01/é\xff\u2028"}},
			"{\"process\":{\"args\":[\"\",\"a\\\"\\\\\\n\\u0001/é\xff\u2028\"]}}"},
		{guestconfig.Config{User: &guestconfig.User{}}, `{"process":{"user":{}}}`},
		{guestconfig.Config{Username: "app:1"}, `{"User":"app:1"}`},
		{guestconfig.Config{User: &guestconfig.User{GID: 7}, Username: "app"}, `{"process":{"user":{"gid":7,"username":"app"}}}`},
		{guestconfig.Config{Rlimits: []rlimit.Limit{{Resource: 7, Hard: rlimit.Infinity}}},
			`{"process":{"rlimits":[{"type":"RLIMIT_NOFILE","soft":0,"hard":18446744073709551615}]}}`},
		{guestconfig.Config{OOMScoreAdj: new(0), CPUs: oci.CPUs{7}, StopSignal: 15},
			`{"process":{"oomScoreAdj":0,"execCPUAffinity":{"final":"0-2"}},"StopSignal":"15"}`},
		{guestconfig.Config{Mounts: []guestconfig.Mount{{Destination: "/a", Type: "tmpfs", Options: []string{"ro"}}, {}}},
			`{"mounts":[{"destination":"/a","type":"tmpfs","options":["ro"]},{}]}`},
		{guestconfig.Config{RootReadonly: true, MountNamespace: true, Sysctls: []guestconfig.Sysctl{{Name: "b", Value: "1"}, {Name: "a"}}},
			`{"root":{"readonly":true},"linux":{"namespaces":[{"type":"mount"}],"sysctl":{"b":"1","a":""}}}`},
		{guestconfig.Config{Devices: []guestconfig.Device{{Path: "/d", Type: 'c', Minor: 1, UID: new(uint32(0))}}},
			`{"linux":{"devices":[{"path":"/d","type":"c","minor":1,"uid":0}]}}`},
	} {
		if got, err := EncodeConfig(test.in); string(got) != test.want || err != nil {
			t.Errorf("EncodeConfig(%+v) = %s, %v, want %s", test.in, got, err, test.want)
		}
		checkConfig(t, test.in)
	}
}

// What no file can have is an error, which names it.
func TestEncodeConfigErrors(t *testing.T) {
	for _, test := range []struct {
		in   guestconfig.Config
		want string
	}{
		{guestconfig.Config{Args: []string{"a", "b\x00"}}, "process.args[1]: contains a NUL byte"},
		{guestconfig.Config{Env: []string{"A=1", "quiet"}}, `Env[1] = "quiet" can't be expressed: init would leave it out`},
		{guestconfig.Config{Env: []string{"=x", "A=1"}}, `Env[0] = "=x" can't be expressed: init would read "A=1"`},
		{guestconfig.Config{User: &guestconfig.User{UID: 1<<32 - 1}}, "process.user.uid: expected an integer from 0 to 4294967294"},
		{guestconfig.Config{User: &guestconfig.User{UID: 5}, Username: "x"}, `Username = "x" can't be expressed`},
		{guestconfig.Config{User: &guestconfig.User{}, Username: "root"}, `Username = "root" can't be expressed`},
		{guestconfig.Config{Rlimits: []rlimit.Limit{{Resource: 99}}}, "unknown resource"},
		{guestconfig.Config{Rlimits: []rlimit.Limit{{Resource: 1}, {Resource: 1}}}, "RLIMIT_FSIZE is limited twice"},
		{guestconfig.Config{Rlimits: []rlimit.Limit{{Soft: 1}}}, "soft limit 1 is above hard limit 0"},
		{guestconfig.Config{Capabilities: &oci.Capabilities{Effective: 1}}, "Capabilities.Effective = 0x1 can't be expressed"},
		{guestconfig.Config{Capabilities: &oci.Capabilities{Bounding: 1 << 50}}, "Capabilities.Bounding"},
		{guestconfig.Config{OOMScoreAdj: new(1001)}, "process.oomScoreAdj: expected an integer from -1000 to 1000"},
		{guestconfig.Config{Scheduler: &oci.Scheduler{Policy: 9}}, "unknown policy"},
		{guestconfig.Config{Scheduler: &oci.Scheduler{Flags: 1 << 20}}, "unknown flag"},
		{guestconfig.Config{IOPriority: &oci.IOPriority{}}, "unknown class"},
		{guestconfig.Config{IOPriority: &oci.IOPriority{Class: 1, Priority: 8}}, "process.ioPriority.priority"},
		{guestconfig.Config{ConsoleSize: guestconfig.Size{Width: 80}}, "ConsoleSize.Width = 0x50 can't be expressed"},
		{guestconfig.Config{StopSignal: 65}, "StopSignal = 65 can't be expressed"},
		{guestconfig.Config{RootfsPropagation: "odd"}, `unknown propagation "odd"`},
		{guestconfig.Config{Devices: []guestconfig.Device{{Type: 'c'}}}, "a device without path or type"},
		{guestconfig.Config{Devices: []guestconfig.Device{{Path: "/d", Type: 'x'}}}, "unknown type of device"},
		{guestconfig.Config{Devices: []guestconfig.Device{{Path: "/d", Type: 'c', Major: 4096}}}, "linux.devices[0].major"},
		{guestconfig.Config{Unsupported: []string{"linux.seccomp"}}, `Unsupported[0] = "linux.seccomp" can't be expressed`},
		{guestconfig.Config{Cwd: strings.Repeat("x", guestconfig.MaxSize)}, "larger than 8388608 bytes"},
	} {
		if got, err := EncodeConfig(test.in); got != nil || err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("EncodeConfig = %.100q, %v, want the error %s", got, err, test.want)
		}
	}
}

// Whatever init can read, EncodeConfig can write.
func FuzzEncodeConfig(f *testing.F) {
	oci, err := os.ReadFile("../guestconfig/testdata/oci.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(oci)
	for _, seed := range []string{
		`{"Entrypoint": ["e"], "Cmd": ["a\u0001\ud800\/"], "Env": ["A=1", "=", "A=2"], "WorkingDir": "/", "User": "u:g", "StopSignal": "rtmin+3"}`,
		`{"process": {"user": {"uid": 1, "umask": 18, "additionalGids": [0], "username": "x"}, "terminal": true, "consoleSize": {"width": 7}}}`,
		`{"process": {"user": {"username": "a:b"}, "rlimits": [{"type": "RLIMIT_AS"}], "oomScoreAdj": 0, "capabilities": {"ambient": ["X"]}}}`,
		`{"process": {"scheduler": {"policy": "SCHED_OTHER"}, "ioPriority": {"class": "IOPRIO_CLASS_RT"}, "execCPUAffinity": {"final": "3,1-2"}}}`,
		`{"mounts": [{}], "linux": {"sysctl": {"": "", "a": "1", "a": "2"}, "devices": [{"path": "/d", "type": "u", "gid": 0}], "seccomp": {"a": 1}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := guestconfig.Parse(data)
		c.Unsupported = nil
		if err == nil {
			checkConfig(t, c)
		}
	})
}

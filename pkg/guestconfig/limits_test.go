package guestconfig

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// ociFile returns a file as a container engine writes it for the krun handler of crun.
func ociFile(t testing.TB) []byte {
	data, err := os.ReadFile("testdata/oci.json")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParseOCIFile(t *testing.T) {
	want := Config{
		Process: specs.Process{
			Args: []string{
				"/usr/bin/server", "--title", `Café "Zur Post"`, "", "--", "a\tb\nc && d",
			},
			Env: []string{
				"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
				"TERM=xterm-256color", "container=podman", "GREETING=grüß dich 👋", "EMPTY=",
				"HOSTNAME=orchard", "HOME=/home/app",
			},
			Cwd: "/srv/app",
			User: specs.User{
				UID: 1000, GID: 984, Umask: new(uint32(0o22)),
				AdditionalGids: []uint32{10, 984, 65534},
			},
			Rlimits: []specs.POSIXRlimit{
				{Type: "RLIMIT_NOFILE", Soft: 524288, Hard: 1048576},
				{Type: "RLIMIT_CORE", Hard: 1<<64 - 1},
			},
			Capabilities: &specs.LinuxCapabilities{
				Bounding:  []string{"CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"},
				Effective: []string{"CAP_CHOWN"},
				Permitted: []string{"CAP_CHOWN"},
			},
			OOMScoreAdj: new(0),
			Terminal:    true,
			ConsoleSize: &specs.Box{Height: 50, Width: 132},
		},
		HasUser:  true,
		Hostname: "orchard",
		Mounts: []specs.Mount{
			{
				Destination: "/proc", Type: "proc", Source: "proc",
				Options: []string{"nosuid", "noexec", "nodev"},
			},
			{
				Destination: "/dev/shm", Type: "tmpfs", Source: "tmpfs",
				Options: []string{"nosuid", "nodev", "mode=1777", "size=65536000"},
			},
			{Destination: "/run/lock", Type: "tmpfs", Source: "tmpfs"},
			{
				Destination: "/etc/resolv.conf", Type: "bind",
				Source:  "/run/containers/8d4e/resolv.conf",
				Options: []string{"bind", "rprivate"},
			},
		},
		RootReadonly: true,
		Linux: specs.Linux{
			MaskedPaths:   []string{"/proc/kcore", "/sys/firmware"},
			ReadonlyPaths: []string{"/proc/sys"},
			Sysctl:        map[string]string{"net.ipv4.ping_group_range": "0 0"},
			Namespaces: []specs.LinuxNamespace{
				{Type: "pid"}, {Type: "network", Path: "/run/netns/orchard"}, {Type: "mount"},
			},
		},
	}
	if got, err := Parse(ociFile(t)); err != nil || !equal(got, want) {
		t.Errorf("Parse(oci.json) = %+v, %v, want %+v", got, err, want)
	}
}

// TestParseTruncated cuts a file everywhere, which is an error with a position.
func TestParseTruncated(t *testing.T) {
	data := bytes.TrimSpace(ociFile(t))
	for end := range data {
		_, err := Parse(data[:end])
		if err == nil || !strings.HasPrefix(err.Error(), "line ") {
			t.Fatalf("Parse(oci.json up to byte %d) = %v, want an error with a place", end, err)
		}
	}
}

// TestParseDamaged changes every byte of a file. That may be an error, but never a panic.
func TestParseDamaged(t *testing.T) {
	data := ociFile(t)
	for i, original := range data {
		for _, c := range []byte("\x00\"\\{}[],:0n\xff") {
			data[i] = c
			if _, err := Parse(data); err != nil && strings.Contains(err.Error(), "\n") {
				t.Fatalf("Parse(oci.json with byte %d = %q) = %q, want one line", i, c, err)
			}
		}
		data[i] = original
	}
}

func TestParseSize(t *testing.T) {
	const start, end = `{"args": ["`, `"]}`
	room := MaxSize - len(start) - len(end)
	got, err := Parse([]byte(start + strings.Repeat("x", room) + end))
	args := got.Process.Args
	if err != nil || len(args) != 1 || len(args[0]) != room {
		t.Errorf("Parse of %d bytes = %d arguments, %v, want 1 of %d bytes",
			MaxSize, len(args), err, room)
	}
	for _, size := range []int{room + 1, 10_000_000} {
		const want = "larger than 8388608 bytes"
		_, err := Parse([]byte(start + strings.Repeat("x", size) + end))
		if err == nil || err.Error() != want {
			t.Errorf("Parse of %d bytes = %v, want %s", size+len(start)+len(end), err, want)
		}
	}
}

func TestParseDepth(t *testing.T) {
	nested := func(open, inner, closing string, depth int) string {
		return strings.Repeat(open, depth) + inner + strings.Repeat(closing, depth)
	}
	for _, in := range []string{
		nested(`{"a":`, "1", "}", maxDepth),
		`{"a":` + nested("[", "", "]", maxDepth-1) +
			`,"b":` + nested("[", "", "]", maxDepth-1) + "}",
		`{"process":{"args":["a"]},"linux":{"seccomp":` + nested("[", "", "]", maxDepth-2) + "}}",
	} {
		if _, err := Parse([]byte(in)); err != nil {
			t.Errorf("Parse(%.40s...), %d deep = %v, want no error", in, maxDepth, err)
		}
	}
	for _, test := range []struct{ in, place, field string }{
		{nested(`{"a":`, "1", "}", maxDepth+1), "line 1, column 641: ", "a.a.a.a.a."},
		{`{"a":` + nested("[", "", "]", maxDepth), "line 1, column 133: ", "a[0][0][0]"},
		{`{"a":` + nested("[", "", "", 1_000_000), "line 1, column 133: ", "a[0][0][0]"},
		{
			`{"mounts":[{"gidMappings":` + nested(`{"a":[`, "", "", 500_000),
			"line 1, column 404: ", "mounts[0].gidMappings.a[0].a[0].a",
		},
		{nested("[", "", "", 1_000_000), "line 1, column 129: ", "[0][0][0]"},
	} {
		const problem = "...: nested more than 128 deep"
		_, err := Parse([]byte(test.in))
		if err == nil || !strings.HasPrefix(err.Error(), test.place+test.field) ||
			!strings.HasSuffix(err.Error(), problem) {
			t.Errorf("Parse(%.40s...) = %v, want %s%s%s",
				test.in, err, test.place, test.field, problem)
		}
	}
}

// TestParseElements checks the limit on list elements, which take more room in memory than in the
// file.
func TestParseElements(t *testing.T) {
	list := func(name, element string, n int) string {
		return `"` + name + `":[` + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]"
	}
	for _, in := range []string{
		"{" + list("args", `""`, maxElements) + "}",
		"{" + list("args", `""`, maxElements/2) + "," + list("mounts", "{}", maxElements/2) + "}",
		"{" + list("args", `""`, maxElements-1) + `,"linux":{"sysctl":{"a":"b"}}}`,
		"{" + list("skipped", `""`, 2*maxElements) + "}",
	} {
		if _, err := Parse([]byte(in)); err != nil {
			t.Errorf("Parse(%.40s...) = %v, want no error", in, err)
		}
	}
	for _, test := range []struct{ in, want string }{
		{
			"{" + list("args", `""`, maxElements+1) + "}",
			"line 1, column 786442: args[262144]: more than 262144 list elements",
		},
		{
			"{" + list("args", `""`, maxElements) + "," + list("mounts", "{}", 1) + "}",
			"line 1, column 786453: mounts[0]: more than 262144 list elements",
		},
		{
			"{" + list("args", `""`, maxElements) + `,"linux":{"sysctl":{"a":"b"}}}`,
			"line 1, column 786466: linux.sysctl.a: more than 262144 list elements",
		},
	} {
		if _, err := Parse([]byte(test.in)); err == nil || err.Error() != test.want {
			t.Errorf("Parse(%.40s...) = %v, want %s", test.in, err, test.want)
		}
	}
}

// TestParseHostile parses files that take far more room in memory than on disk, or that could make
// the search for the position of an error slow.
func TestParseHostile(t *testing.T) {
	const limit = 384 << 20 // bytes allocated in total, most of which can be freed meanwhile
	fill := func(start, repeat, end string, n int) string {
		n = min(n, (MaxSize-len(start)-len(end))/len(repeat))
		return start + strings.TrimSuffix(strings.Repeat(repeat, n), ",") + end
	}
	wrong := `,"linux": {"rootfsPropagation": "x"}}`
	sysctls := strings.Builder{}
	for i := range maxElements {
		fmt.Fprintf(&sysctls, `"%x":"",`, i)
	}
	for _, test := range []struct{ name, in string }{
		{"arguments", fill(`{"args":[`, `"",`, `]}`, maxElements)},
		{"long argument", fill(`{"args":["`, `\n`, `"]}`, MaxSize)},
		{"odd argument", fill(`{"args":["`, "\xff\\n", `"]}`, MaxSize)},
		{"mounts", fill(`{"mounts":[`, `{},`, `]}`, maxElements)},
		{"mappings", fill(`{"mounts":[`, `{"uidMappings":[1]},`, `]}`, maxElements)},
		{"devices", fill(`{"linux":{"devices":[`, `{"path":"a","type":"x"},`, `]}}`, maxElements)},
		{"sysctls", `{"linux":{"sysctl":{` + strings.TrimSuffix(sysctls.String(), ",") + `}}}`},
		{"groups", fill(`{"process":{"user":{"additionalGids":[`, `1,`, `]}}}`, maxElements)},
		{"limits", fill(`{"process":{"rlimits":[`, `{"type":"RLIMIT_AS"},`, `]}}`, maxElements)},
		{"names", fill(`{"process":{"capabilities":{"bounding":[`, `"a",`, `]}}}`, maxElements)},
		{"flags", fill(`{"process":{"scheduler":{"flags":[`, `"a",`, `]}}}`, maxElements)},
		{"unknown", fill(`{`, `"a":1,`, `}`, MaxSize)},
		{"unknown objects", fill(`{"a":[`, `{},`, `]}`, MaxSize)},
		{"deep", fill(`{"a":`, `[`, ``, MaxSize)},
		{"long name", fill(`{"a`, `\n`, `":1}`, MaxSize)},
		{"long name of many", fill(fill(`{"a`, `a`, `":[`, MaxSize/2), `1,`, `]`+wrong, MaxSize)},
		{"objects", fill(`{`, `"process":{},`, `}`, MaxSize)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err := Parse([]byte(test.in))
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d bytes of JSON, %d MB, %v, error %v",
			test.name, len(test.in), allocated>>20, took, err)
		if allocated > limit {
			t.Errorf("Parse(%.40s...) allocates %d MB, want at most %d",
				test.in, allocated>>20, limit>>20)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("Parse(%.40s...) returns an error of %d bytes", test.in, len(err.Error()))
		}
	}
}

func BenchmarkParse(b *testing.B) {
	// A real file has some 10 kB, most of which is a seccomp profile.
	const rule = `{"names": ["accept", "read", "write"], "action": "SCMP_ACT_ALLOW"},`
	padding := strings.Repeat(rule, 100)
	data := bytes.Replace(ociFile(b), []byte(`"syscalls": [`), []byte(`"syscalls": [`+padding), 1)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

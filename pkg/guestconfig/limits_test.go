package guestconfig

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/krunbox/krunbox/pkg/rlimit"
)

// ociFile is what a container engine writes for the krun handler of crun.
func ociFile(t testing.TB) []byte {
	data, err := os.ReadFile("testdata/oci.json")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParseOCIFile(t *testing.T) {
	want := Config{
		Args: []string{"/usr/bin/server", "--title", `Café "Zur Post"`, "", "--", "a\tb\nc && d"},
		Env: []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm-256color",
			"container=podman", "GREETING=grüß dich 👋", "EMPTY=", "HOSTNAME=orchard", "HOME=/home/app",
		},
		Cwd:      "/srv/app",
		Hostname: "orchard",
		User:     &User{UID: 1000, GID: 984, Umask: new(uint32(0o22)), AdditionalGIDs: []uint32{10, 984, 65534}},
		Rlimits:  []rlimit.Limit{{Resource: 7, Soft: 524288, Hard: 1048576}, {Resource: 4, Hard: rlimit.Infinity}},
		Mounts: []Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{
				Destination: "/dev/shm", Type: "tmpfs", Source: "tmpfs",
				Options: []string{"nosuid", "nodev", "mode=1777", "size=65536000"},
			},
			{Destination: "/run/lock", Type: "tmpfs", Source: "tmpfs"},
			{
				Destination: "/etc/resolv.conf", Type: "bind", Source: "/run/containers/8d4e/resolv.conf",
				Options: []string{"bind", "rprivate"},
			},
		},
		RootReadonly:   true,
		MaskedPaths:    []string{"/proc/kcore", "/sys/firmware"},
		ReadonlyPaths:  []string{"/proc/sys"},
		MountNamespace: true,
		Capabilities: &oci.Capabilities{
			Bounding: capability("CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"), Effective: capability("CAP_CHOWN"),
			Permitted: capability("CAP_CHOWN"),
		},
		OOMScoreAdj: new(0),
		Terminal:    true,
		ConsoleSize: Size{Height: 50, Width: 132},
		Sysctls:     []Sysctl{{"net.ipv4.ping_group_range", "0 0"}},
		Unsupported: []string{"linux.seccomp"},
	}
	if got, err := Parse(ociFile(t)); err != nil || !equal(got, want) {
		t.Errorf("Parse(oci.json) = %+v, %v, want %+v", got, err, want)
	}
}

// A file cut anywhere is an error, and says that it ended early.
func TestParseTruncated(t *testing.T) {
	data := bytes.TrimSpace(ociFile(t))
	for end := range data {
		_, err := Parse(data[:end])
		if err == nil || !strings.HasPrefix(err.Error(), "line ") {
			t.Fatalf("Parse(oci.json up to byte %d) = %v, want an error with a place", end, err)
		}
	}
}

// A byte that is wrong is an error or not, but no crash.
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
	if err != nil || len(got.Args) != 1 || len(got.Args[0]) != room {
		t.Errorf("Parse of %d bytes = %d arguments, %v, want 1 of %d bytes", MaxSize, len(got.Args), err, room)
	}
	for _, size := range []int{room + 1, 10_000_000} {
		const want = "larger than 8388608 bytes"
		if _, err := Parse([]byte(start + strings.Repeat("x", size) + end)); err == nil || err.Error() != want {
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
		`{"a":` + nested("[", "", "]", maxDepth-1) + `,"b":` + nested("[", "", "]", maxDepth-1) + "}",
		`{"process":{"args":["a"]},"linux":{"seccomp":` + nested("[", "", "]", maxDepth-2) + "}}",
	} {
		if _, err := Parse([]byte(in)); err != nil {
			t.Errorf("Parse(%.40s...), %d deep = %v, want no error", in, maxDepth, err)
		}
	}
	for _, test := range []struct{ in, want string }{
		{nested(`{"a":`, "1", "}", maxDepth+1), "line 1, column 641: nested more than 128 deep"},
		{`{"a":` + nested("[", "", "]", maxDepth), "line 1, column 133: nested more than 128 deep"},
		{`{"a":` + nested("[", "", "", 1_000_000), "line 1, column 133: nested more than 128 deep"},
		{`{"mounts":[{"gidMappings":` + nested(`{"a":[`, "", "", 500_000),
			"line 1, column 404: mounts[0].gidMappings: nested more than 128 deep"},
		{nested("[", "", "", 1_000_000), "line 1, column 1: expected an object, found a list"},
	} {
		if _, err := Parse([]byte(test.in)); err == nil || err.Error() != test.want {
			t.Errorf("Parse(%.40s...) = %v, want %s", test.in, err, test.want)
		}
	}
}

// Lists whose elements take more room in memory than in the file are bounded.
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
			"line 1, column 786442: args: more than 262144 list elements",
		},
		{
			"{" + list("args", `""`, maxElements) + "," + list("mounts", "{}", 1) + "}",
			"line 1, column 786453: mounts: more than 262144 list elements",
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

func TestSkipAllocatesNothing(t *testing.T) {
	data := []byte(`{"a": [1, -2.5e3, true, false, null, "\u0041\n", {"\u0062": {}, "c": []}]}`)
	allocs := testing.AllocsPerRun(10, func() {
		r := reader{data: data}
		if err := r.skip(); err != nil || r.pos != len(data) {
			t.Fatalf("skip() of %s = %v at byte %d, want no error at %d", data, err, r.pos, len(data))
		}
	})
	if allocs != 0 {
		t.Errorf("skip() of %s makes %v allocations, want 0", data, allocs)
	}
}

func BenchmarkParse(b *testing.B) {
	// Some 10 kB: most of a real file is a seccomp profile and the like.
	padding := strings.Repeat(`{"names": ["accept", "read", "write"], "action": "SCMP_ACT_ALLOW"},`, 100)
	data := bytes.Replace(ociFile(b), []byte(`"syscalls": [`), []byte(`"syscalls": [`+padding), 1)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

package bootchart

import (
	"bytes"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden draws the reports in testdata, and compares the pictures with those there.
func TestGolden(t *testing.T) {
	reports, err := filepath.Glob("testdata/*.report")
	if err != nil || len(reports) < 4 {
		t.Fatalf("reports = %q, %v, want some", reports, err)
	}
	for _, path := range reports {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for suffix, got := range map[string][]byte{".svg": SVG(r), ".txt": []byte(Text(r))} {
			checkGolden(t, strings.TrimSuffix(path, ".report")+suffix, got)
		}
		if path == "testdata/dhcp.report" {
			checkGolden(t, "../../docs/boot.svg", SVG(r)) // README shows it
		}
		checkSVG(t, path, SVG(r))
	}
}

// checkGolden checks the contents of a golden file, or writes it.
func checkGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs: go test ./bootchart -update writes it", path)
	}
}

// checkSVG checks that a picture is well-formed, small, and has nothing active in it.
func checkSVG(t *testing.T, name string, svg []byte) {
	t.Helper()
	if len(svg) > 50_000 {
		t.Errorf("%s: SVG of %d bytes, want at most 50000", name, len(svg))
	}
	decoder := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		element, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if element.Name.Local == "script" || element.Name.Local == "foreignObject" {
			t.Errorf("%s: has an element %s", name, element.Name.Local)
		}
		for _, a := range element.Attr {
			if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" {
				t.Errorf("%s: has an attribute %s", name, a.Name.Local)
			}
			if strings.HasPrefix(a.Value, "-") && a.Name.Local != "d" || strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
				t.Errorf("%s: %s has %s=%q", name, element.Name.Local, a.Name.Local, a.Value)
			}
		}
	}
}

// TestFormats checks that a console and /dev/.boot.json of the same boot give the same report.
func TestFormats(t *testing.T) {
	const console = "booting\r\nkrunbox: signals: at 0.500000 s, 1.250 ms, ok\r\n" +
		"krunbox: root: left out, only if a block root or an overlay is asked for\n" +
		"krunbox: warning: lease: eth0: no server has answered\n" +
		"krunbox: lease: at 0.600001 s, 500.000 ms, 498.500 ms of it waiting, warn: eth0: no server: at 1.0 s, 2.0 ms, ok\n" +
		"krunbox: memory: at 1.000000 s, 0.000 ms, silent: a; b\nkrunbox: lease: at x s, 0.000 ms, ok\n"
	const report = `[
	{"stage": "signals", "start": 0.5, "duration": 0.0012500000000000002, "ops": 2, "onError": "fatal", "errors": []},
	{"stage": "root", "start": 0.55, "duration": 0, "ops": 0, "onError": "fatal", "errors": [],
		"onlyIf": "a block root or an overlay is asked for"},
	{"stage": "lease", "start": 0.600001, "duration": 0.5, "waited": 0.4985, "ops": 1, "onError": "warn",
		"errors": ["eth0: no server: at 1.0 s, 2.0 ms, ok"]},
	{"stage": "memory", "start": 1, "duration": 0, "ops": 1, "onError": "silent", "errors": ["a", "b"]}]`
	want := Report{
		{Name: "signals", Start: 500 * time.Millisecond, Duration: 1250 * time.Microsecond},
		{Name: "root", Start: 550 * time.Millisecond, OnlyIf: "a block root or an overlay is asked for"},
		{Name: "lease", Start: 600001 * time.Microsecond, Duration: 500 * time.Millisecond, Waited: 498500 * time.Microsecond,
			OnError: "warn", Errors: []string{"eth0: no server: at 1.0 s, 2.0 ms, ok"}},
		{Name: "memory", Start: time.Second, OnError: "silent", Errors: []string{"a", "b"}},
	}
	got, err := Parse([]byte(report))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Parse() of JSON = %+v, %v, want %+v", got, err, want)
	}
	want[1].Start = 0                 // lines do not have it
	want[3].Errors = []string{"a; b"} // nor where an error ends
	if got, err = Parse([]byte(console)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Parse() of a console = %+v, %v, want %+v", got, err, want)
	}
	for _, text := range []string{"", "text\n", "[]", "{}", `[{"stage": 1}]`, "[broken"} {
		if got, err := Parse([]byte(text)); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", text, got)
		}
	}
}

// TestHostile draws reports that no guest of ours makes.
func TestHostile(t *testing.T) {
	long := strings.Repeat("é<&\x01", 10000)
	for name, r := range map[string]Report{
		"nothing":      nil,
		"only skipped": {{Name: "a", OnlyIf: "b"}},
		"no time":      {{Name: "a"}, {Name: "workload"}},
		"backwards":    {{Name: "a", Start: 5 * time.Second, Duration: time.Second}, {Name: "b", Start: time.Second, Waited: time.Hour}},
		"years":        {{Name: "a", Start: time.Millisecond}, {Name: "b", Start: maxTime, Duration: maxTime}},
		"markup":       {{Name: "<script>", Errors: []string{long}, OnError: "warn"}, {Name: "a\"b", OnlyIf: long}},
	} {
		checkSVG(t, name, SVG(r))
		for line := range strings.Lines(Text(r)) {
			if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x01\n\r") {
				t.Errorf("%s: line %.100q has control characters", name, line)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("krunbox: a: at 1.0 s, 2.0 ms, 1.0 ms of it waiting, warn: b\nkrunbox: c: left out, only if d\n"))
	f.Add([]byte(`[{"stage": "a", "start": 1e300, "duration": -1, "waited": 1e-300, "errors": ["b"]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err != nil {
			return
		}
		Text(r)
		if svg := SVG(r); xml.Unmarshal(svg, new(struct{})) != nil {
			t.Errorf("SVG is not well-formed: %s", svg)
		}
	})
}

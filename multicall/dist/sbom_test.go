package dist

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The bill names the modules that the go command says are linked, their versions as go.mod has them.
func TestBill(t *testing.T) {
	opts := testOptions()
	for _, p := range Platforms() {
		s, err := load(t.Context(), moduleRoot, p)
		if err != nil {
			t.Fatal(err)
		}
		text, err := s.bill(&opts, []byte("abc"))
		if err != nil {
			t.Fatal(err)
		}
		var got bill
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		const format = "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}"
		cmd := exec.Command("go", "list", "-deps", "-f", format, "./cmds/...", ownMain)
		cmd.Dir, cmd.Env = moduleRoot, append(os.Environ(), "GOOS="+p.GOOS, "GOARCH="+p.GOARCH, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Split(strings.TrimSpace(string(out)), "\n")
		slices.Sort(want)
		want = slices.Compact(want)
		var modules []string
		for _, c := range got.Components {
			if c.Name == "std" {
				continue
			}
			modules = append(modules, c.Name+" "+c.Version)
			if len(c.Hashes) != 1 || len(c.Hashes[0].Content) != 64 {
				t.Errorf("%s: hashes of %s are %v, want one", p, c.Name, c.Hashes)
			}
		}
		if !slices.Equal(modules, want) {
			t.Errorf("%s: modules are %q, want %q", p, modules, want)
		}
		product := got.Metadata.Component
		const digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // of abc, FIPS 180-2
		if product.Version != opts.Version || len(product.Hashes) != 1 || product.Hashes[0].Content != digest {
			t.Errorf("%s: product is %+v, want version %s, hash %s", p, product, opts.Version, digest)
		}
		if got.Metadata.Timestamp != "2026-11-25T12:00:00Z" {
			t.Errorf("%s: time is %s", p, got.Metadata.Timestamp)
		}
	}
}

// Dependencies are those of modules, as their packages import each other.
func TestBillDependencies(t *testing.T) {
	dir := t.TempDir()
	sum := base64.StdEncoding.EncodeToString(make([]byte, 32))
	s := source{dir: dir, release: "go1.26.8", packages: []goPackage{
		{ImportPath: "io", Imports: []string{"unsafe"}},
		{ImportPath: "b/x", Imports: []string{"io"}, Module: &goModule{Path: "b", Version: "v2.0.0+incompatible"}},
		{ImportPath: "a/z", Imports: []string{"io"}, Module: &goModule{Path: "a", Version: "v1.0.0"}},
		{ImportPath: "a/y", Imports: []string{"b/x", "a/z"}, Module: &goModule{Path: "a", Version: "v1.0.0"}},
		{ImportPath: "main", Imports: []string{"a/y"}, Module: &goModule{Path: "main", Main: true}},
	}}
	opts := Options{Version: "v1"}
	for _, tt := range []struct{ sums, want string }{
		{"a v1.0.0 h1:" + sum + "\n", "go.sum: no hash of b v2.0.0+incompatible"},
		{"a v1.0.0 h1:" + sum[1:] + "\n", "go.sum: \"a v1.0.0 h1:"},
		{"a v1.0.0\n", "go.sum: \"a v1.0.0"},
		{"a v1.0.0 h1:" + sum + "\na v1.0.0/go.mod h1:" + sum + "\nb v2.0.0+incompatible h1:" + sum + "\n", ""},
	} {
		if err := os.WriteFile(filepath.Join(dir, "go.sum"), []byte(tt.sums), 0o666); err != nil {
			t.Fatal(err)
		}
		text, err := s.bill(&opts, nil)
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("bill() with go.sum %q = %v, want an error with %q", tt.sums, err, tt.want)
			}
			continue
		}
		var got bill
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		const a, b, std = "pkg:golang/a@v1.0.0", "pkg:golang/b@v2.0.0%2Bincompatible", "pkg:golang/std@1.26.8"
		want := []dependency{
			{"pkg:golang/github.com/krunbox/krunbox@v1", []string{a}}, {std, []string{}}, {a, []string{b, std}}, {b, []string{std}},
		}
		if !reflect.DeepEqual(got.Depend, want) {
			t.Errorf("dependencies are %q, want %q", got.Depend, want)
		}
	}
}

package debian

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// aptGet stands in for apt-get: it prints its options and downloads, unless FAIL names the
// operation.
const aptGet = `#!/bin/sh
[ "$1" != "$FAIL" ] || { echo "E: no $1" >&2; exit 100; }
[ -d state/lists/partial ] && [ -d cache/archives/partial ] || exit 1
case "$*" in *APT::Architecture=arm64*Dir::State=$PWD/state*) ;; *) exit 2 ;; esac
case "$1 $2" in
"download one:arm64") : >one_1.0_arm64.deb ;;
"download two:arm64") : >two_1.0_arm64.deb; : >two_1.1_arm64.deb ;;
"install --yes")
	case "$*" in
	*" one two --download-only "*) : >cache/archives/downloaded ;;
	*" one two --print-uris -o Dir::Cache::archives=none/"*)
		[ -e cache/archives/downloaded ] || exit 3
		echo "'http://host/libc.deb' libc_1%3a2_all.deb 5 SHA256:ab"
		echo "'http://host/one.deb' one_1.0_arm64.deb 6 SHA256:cd" ;;
	esac ;;
esac
`

func TestDownload(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "apt-get"), []byte(aptGet), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	for _, tt := range []struct{ fail, name, err string }{
		{"", "one", ""},
		{"update", "one", ""}, // a source that fails does not matter if another one has the package
		{"download", "one", "apt-get download: exit status 100\nE: no download"},
		{"", "none", "apt-get download none left 0 files, want 1"},
		{"", "two", "apt-get download two left 2 files, want 1"},
	} {
		t.Setenv("FAIL", tt.fail)
		dir := t.TempDir()
		p, err := Open(t.Context(), "arm64", dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Download(t.Context(), tt.name)
		switch {
		case tt.err != "":
			if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
				t.Errorf("Download(%s), failing %q = %v, want %s", tt.name, tt.fail, err, tt.err)
			}
		case err != nil || got != filepath.Join(dir, "one_1.0_arm64.deb"):
			t.Errorf("Download(%s), failing %q = %q, %v", tt.name, tt.fail, got, err)
		}
	}
	t.Setenv("PATH", t.TempDir())
	p, err := Open(t.Context(), "arm64", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Download(t.Context(), "one")
	if err == nil || !strings.Contains(err.Error(), "apt-get") {
		t.Errorf("Download() without apt-get = %v, want an error that names it", err)
	}
}

func TestFetch(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "apt-get"), []byte(aptGet), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	dir := t.TempDir()
	p, err := Open(t.Context(), "arm64", dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Fetch(t.Context(), "one", "two")
	archives := filepath.Join(dir, "cache/archives")
	want := []string{filepath.Join(archives, "libc_1%3a2_all.deb"), filepath.Join(archives, "one_1.0_arm64.deb")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("Fetch() = %q, %v, want %q", got, err, want)
	}
	t.Setenv("FAIL", "install")
	if _, err := p.Fetch(t.Context(), "one"); err == nil || !strings.Contains(err.Error(), "E: no install") {
		t.Errorf("Fetch() = %v, want the error of apt-get", err)
	}
}

// TestInstall makes two packages and a root of them.
func TestInstall(t *testing.T) {
	dir, root := t.TempDir(), t.TempDir()
	var files []string
	for name, contents := range map[string][]string{
		"one": {"DEBIAN/control", "bin/one", "usr/bin/two", "usr/share/doc/one/copyright"},
		"lib": {"DEBIAN/control", "lib/arch/lib.so", "etc/.hidden"},
	} {
		for _, file := range contents {
			path := filepath.Join(dir, name, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			text := "Package: " + name + "\nVersion: 1\nArchitecture: arm64\nMulti-Arch: same\n" +
				"Maintainer: nobody <nobody@example.org>\nDescription: a test\n"
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(dir, name+".deb")
		output, err := exec.Command("dpkg-deb", "--root-owner-group", "-b", filepath.Join(dir, name), file).CombinedOutput()
		if err != nil {
			t.Fatalf("dpkg-deb: %v\n%s", err, output)
		}
		files = append(files, file)
	}
	if err := Install(t.Context(), files, root); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"usr/bin/one", "bin/one", "usr/bin/two", "usr/lib/arch/lib.so", "etc/.hidden"} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "usr/share/doc/one/copyright")); err == nil {
		t.Error("documentation was installed")
	}
	list, err := os.ReadFile(filepath.Join(root, "var/lib/dpkg/info/lib:arm64.list"))
	if want := "/.\n/etc\n/etc/.hidden\n/lib\n/lib/arch\n/lib/arch/lib.so\n"; string(list) != want {
		t.Errorf("list of files = %q, %v, want %q", list, err, want)
	}
	status, err := os.ReadFile(filepath.Join(root, "var/lib/dpkg/status"))
	if n := strings.Count(string(status), "\nStatus: install ok installed\n\n"); n != 2 {
		t.Errorf("status = %q, %v, want two packages", status, err)
	}
}

package debian

import (
	"os"
	"path/filepath"
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

package image

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestPaths(t *testing.T) {
	got := tree{"a-b": nil, "a": nil, ".": nil, "a/b": nil, ".x": nil}.paths()
	if want := []string{".", ".x", "a", "a/b", "a-b"}; !slices.Equal(got, want) {
		t.Errorf("paths() = %q, want %q", got, want)
	}
}

func TestAdd(t *testing.T) {
	for _, tt := range []struct {
		path string
		n    *node
		want string // path in the tree
		err  string
	}{
		{"/etc/motd", file(nil), "etc/motd", ""},
		{"a/b/c", file(nil), "a/b/c", ""},
		{"/usr/bin/app", file(nil), "bin/app", ""}, // /usr/bin is a link to /bin
		{"usr/sbin/../x", file(nil), "usr/x", ""},  // .. removes a name, as in path.Clean
		{"../../up", file(nil), "up", ""},
		{"sbin", &node{mode: fs.ModeDir}, "bin", ""}, // a directory follows the link
		{"loop/x", file(nil), "", "too many symbolic links"},
		{"etc/passwd/x", file(nil), "", "/etc/passwd is not a directory"},
		{"etc", file(nil), "", "/etc: both a directory and another file"},
		{"etc/passwd", &node{mode: fs.ModeDir}, "", "/etc/passwd: both"},
		{"sbin", symlink("elsewhere"), "sbin", ""}, // a link replaces the link
	} {
		tr := newTree()
		tr["loop"] = symlink("/loop")
		err := tr.add(tt.path, tt.n)
		switch {
		case tt.err != "":
			if !fails(err, tt.err) {
				t.Errorf("add(%q) = %v, want an error with %q", tt.path, err, tt.err)
			}
		case err != nil:
			t.Errorf("add(%q) = %v", tt.path, err)
		case tr[tt.want] != tt.n:
			t.Errorf("add(%q) did not add %s", tt.path, tt.want)
		}
		for path := range tr {
			if dir := filepath.Dir(path); tr[dir] == nil || !tr[dir].mode.IsDir() {
				t.Errorf("add(%q) left %s without a directory %s", tt.path, path, dir)
			}
		}
	}
}

func TestCopy(t *testing.T) {
	dir := t.TempDir()
	modes := map[string]fs.FileMode{"private": 0o600, "tool": 0o755 | fs.ModeSetuid}
	for name, mode := range modes {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	tr := newTree()
	for _, f := range []File{{dir, "/"}, {dir, "opt/x"}, {dir + "/tool", "/usr/bin/renamed"}} {
		if err := tr.copy(f); err != nil {
			t.Errorf("copy(%v) = %v", f, err)
		}
	}
	if mode := tr["."].mode; mode != fs.ModeDir|0o755 {
		t.Errorf("mode of the root = %v, want drwxr-xr-x", mode)
	}
	for path, want := range map[string]uint32{
		"private": 0o100600, "opt/x": 0o040700, "opt/x/tool": 0o104755, "bin/renamed": 0o104755,
		"link": 0o120777, "tmp": 0o041777, "dev/console": 0o020600,
	} {
		if n := tr[path]; n == nil || n.sysMode() != want {
			t.Errorf("%s = %+v, want mode %o", path, n, want)
		}
	}
	if target := tr["link"].target; target != "nowhere" {
		t.Errorf("target of link = %q, want nowhere", target)
	}
	if err := tr.copy(File{Source: dir + "/missing"}); !fails(err, dir+"/missing") {
		t.Errorf("copy(missing) = %v, want an error that names it", err)
	}
}

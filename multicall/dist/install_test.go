package dist

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestInstall(t *testing.T) {
	destdir := t.TempDir()
	binary := filepath.Join(destdir, "built")
	prefix := filepath.Join(destdir, "usr", "local")
	install := func(prefix string) error {
		p := Platform{"linux", "amd64"}
		return Install(t.Context(), testOptions(), p, binary, destdir, prefix)
	}
	err := install("/usr/local")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), binary) {
		t.Errorf("Install(no binary) = %v, want an error that names it", err)
	}
	for _, content := range []string{"old", "new"} {
		if err := os.WriteFile(binary, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := install("/usr/local"); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{
			"sbin/krunbox", "lib/krunbox/init.krun", "sbin/init", "sbin/redirect-stdio",
		} {
			got, err := os.ReadFile(filepath.Join(prefix, name))
			if err != nil || string(got) != content {
				t.Errorf("%s has %q (%v), want %q", name, got, err, content)
			}
			info, err := os.Stat(filepath.Join(prefix, name))
			if err != nil || info.Mode() != 0o755 {
				t.Errorf("%s has mode %v, %v, want 755", name, info.Mode(), err)
			}
		}
	}
	for _, name := range []string{
		"share/man/man8/krunbox-init.8", "share/man/man1/krunhost.1", "share/doc/krunbox/LICENSE", "share/doc/krunbox/README.md",
		"share/doc/krunbox/MODULES",
	} {
		info, err := os.Lstat(filepath.Join(prefix, name))
		if err != nil || info.Mode() != 0o644 || info.Size() == 0 {
			t.Errorf("%s: %v, %v, want a file that everybody can read", name, info, err)
		}
	}
	if err := install("usr"); err == nil || !strings.Contains(err.Error(), `"usr"`) {
		t.Errorf("Install(prefix usr) = %v, want an error", err)
	}
}

// TestInstallRefuses checks that Install changes nothing if it would replace a file that does not
// belong to krunbox.
func TestInstallRefuses(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "built")
	if err := os.WriteFile(binary, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(target string) error{
		"sbin/init": func(target string) error {
			return os.Symlink("../lib/systemd/systemd", target)
		},
		"sbin/mount-root": func(target string) error {
			return os.WriteFile(target, []byte("other"), 0o777)
		},
		"lib/krunbox/init.krun": func(target string) error {
			return os.Symlink("elsewhere", target)
		},
		"sbin/krunbox": func(target string) error {
			return os.Mkdir(target, 0o777)
		},
	} {
		destdir := t.TempDir()
		target := filepath.Join(destdir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o777), put(target)); err != nil {
			t.Fatal(err)
		}
		p := Platform{"linux", "amd64"}
		err := Install(t.Context(), testOptions(), p, binary, destdir, "/")
		if err == nil || !strings.Contains(err.Error(), target) {
			t.Errorf("Install(another %s exists) = %v, want an error that names it", name, err)
		}
		var found []string
		err = filepath.WalkDir(destdir, func(path string, d fs.DirEntry, err error) error {
			if !d.IsDir() || path == target {
				found = append(found, path)
			}
			return err
		})
		if err != nil || !slices.Equal(found, []string{target}) {
			t.Errorf("a refused Install() left %q (%v), want only %s", found, err, target)
		}
	}
}

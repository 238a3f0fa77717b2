package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/op"
)

// TestRemoveContentsInNamespace checks that mounts below the directory and the targets of links
// stay.
func TestRemoveContentsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		outside := t.TempDir()
		for _, path := range []string{outside + "/file",
			dir + "/a/b/c/file", dir + "/a/mounted/below", dir + "/kept/x"} {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("x"), 0o400); err != nil {
				t.Fatal(err)
			}
		}
		for _, err := range []error{
			unix.Mount("tmpfs", dir+"/a/mounted", "tmpfs", 0, ""),
			unix.Mount(outside+"/file", dir+"/kept/x", "", unix.MS_BIND, ""),
			os.WriteFile(dir+"/a/mounted/file", nil, 0o600),
			os.Symlink(outside, dir+"/link"),
			unix.Mkfifo(dir+"/a/fifo", 0o600),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := removeContents(fd, "."); err != nil {
			t.Errorf("removeContents() = %v", err)
		}
		var left []string
		err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			left = append(left, strings.TrimPrefix(path, dir))
			return err
		})
		want := []string{"", "/a", "/a/mounted", "/a/mounted/file", "/kept", "/kept/x"}
		if err != nil || !slices.Equal(left, want) {
			t.Errorf("removeContents() left %q, %v, want %q", left, err, want)
		}
		if _, err := os.Stat(outside + "/file"); err != nil {
			t.Errorf("file outside: %v", err)
		}
		if err := removeContents(fd, "none"); !errors.Is(err, unix.ENOENT) {
			t.Errorf("removeContents(none) = %v, want ENOENT", err)
		}
	})
}

// TestFreeInitramfsInNamespace checks that nothing is deleted in a container, even if its root is a
// tmpfs that cannot be moved.
func TestFreeInitramfsInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		enterBare(t, dir)
		original := &OriginalRoot{}
		do(t, []op.Op{OpenOriginalRoot{original}})
		original.initramfs = true
		mountProc(t)
		if err := (FreeInitramfs{original}).Do(); err != nil {
			t.Errorf("FreeInitramfs.Do() = %v", err)
		}
		wantMarker(t, original)
	})
}

package mount

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

func TestProtectInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		put(t, dir+"/secret", "secret")
		put(t, dir+"/dir1/secret", "secret")
		put(t, dir+"/dir2/secret", "secret")
		do(t, Mask{"/proc/keys", "/proc/nosuchfile", dir + "/secret", dir + "/dir1", dir + "/dir2"})
		wantFile(t, dir+"/secret", "")
		wantFile(t, "/proc/keys", "")
		for _, masked := range []string{dir + "/dir1", dir + "/dir2"} {
			if entries, err := os.ReadDir(masked); err != nil || len(entries) != 0 {
				t.Errorf("ReadDir(masked directory) = %v, %v, want nothing", entries, err)
			}
			wantReadOnly(t, masked)
		}
		err := Mask{dir + "/secret/x", dir + "/secret"}.Do()
		want := "mask " + dir + "/secret/x: not a directory"
		if !errors.Is(err, unix.ENOTDIR) || err.Error() != want {
			t.Errorf("mask of a path below a file = %v, want %s", err, want)
		}

		put(t, dir+"/ro/file", "text")
		do(t, tmpfs(dir+"/ro/below", unix.MS_NOSUID, ""),
			ReadOnly{"/proc/sys", "/proc/nosuchfile", dir + "/ro", dir + "/nowhere"})
		wantMount(t, dir+"/ro", "tmpfs", "ro,relatime", "")
		wantMount(t, dir+"/ro/below", "tmpfs", "ro,nosuid,relatime", "")
		wantFile(t, dir+"/ro/file", "text")
		wantReadOnly(t, "/proc/sys/kernel/hostname")

		defer enterRoot(t, dir)()
		do(t, ReadOnlyRoot())
		wantReadOnly(t, "/")
		// Without /dev/null nothing is masked, which must be an error.
		if err := (Mask{"/secret"}).Do(); !errors.Is(err, unix.ENOENT) {
			t.Errorf("mask without /dev/null = %v, want ENOENT", err)
		}
	})
}

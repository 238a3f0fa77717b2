package diskimage

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// ReadFile returns the contents of a file in an image of type ext2, ext3, ext4, xfs or btrfs. name is its absolute path, without
// symbolic links in it. A journal that has not been recovered does not count.
func ReadFile(path, fsType, name string) ([]byte, error) {
	switch fsType {
	case "xfs":
		return readXFS(path, name)
	case "ext2", "ext3", "ext4", "btrfs":
	default:
		return nil, fmt.Errorf("%s: reading files of a %s is not implemented", path, fsType)
	}
	dir, err := os.MkdirTemp("", "krunbox-file-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "file")
	if fsType != "btrfs" {
		if _, err := run("debugfs", args{"-R", fmt.Sprintf("dump %q %s", name, file)}, path); err != nil {
			return nil, err
		}
		return os.ReadFile(file) // debugfs does not tell by its exit code
	}
	// The expression has to match each directory on the way: ^/(|etc(|/passwd))$
	parts := strings.Split(regexp.QuoteMeta(strings.TrimPrefix(name, "/")), "/")
	pattern := "^/(|" + strings.Join(parts, "(|/") + strings.Repeat(")", len(parts)) + "$"
	if _, err := run("btrfs", args{"restore", "--path-regex", pattern}, path, dir); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, name))
}

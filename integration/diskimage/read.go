package diskimage

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// ReadFile returns the contents of the file name in the image path, of type ext2, ext3, ext4, xfs
// or btrfs. name is an absolute path without symbolic links. ReadFile ignores a journal that was
// not recovered. It fails if the file does not exist.
func ReadFile(path, fsType, name string) ([]byte, error) {
	switch fsType {
	case "xfs":
		return readXFS(path, name)
	case "ext2", "ext3", "ext4", "btrfs":
	default:
		return nil, fmt.Errorf("%s: reading files of a file system of type %q is not supported",
			path, fsType)
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
		return os.ReadFile(file) // fails if debugfs failed, whose exit code is always 0
	}
	// The expression has to match the file and all of its parents, such as ^/(|etc(|/passwd))$.
	parts := strings.Split(regexp.QuoteMeta(strings.TrimPrefix(name, "/")), "/")
	pattern := "^/(|" + strings.Join(parts, "(|/") + strings.Repeat(")", len(parts)) + "$"
	if _, err := run("btrfs", args{"restore", "--path-regex", pattern}, path, dir); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, name))
}

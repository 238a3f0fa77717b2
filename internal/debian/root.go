package debian

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/krunbox/krunbox/internal/tool"
)

// extract is a shell script that extracts the package file $1 to the directory $2 and prints the
// paths in the package. It puts files of /bin, /lib and /sbin into the same directories of /usr, to
// which a root has links. It leaves out documentation and translations, as images do.
const extract = `dpkg-deb --fsys-tarfile "$1" |
	tar -xv -C "$2" --numeric-owner --preserve-permissions \
		--transform='flags=rhS;s,^\./(s?bin|lib|lib64)(/|$),./usr/\1\2,x' --exclude='./usr/share/doc/*' \
		--exclude='./usr/share/man/*' --exclude='./usr/share/locale/*'`

// Install unpacks package files to root, an empty directory, and records them in its database of
// dpkg. It runs none of the packages' scripts: what these would make of the files is left to the
// caller. It fails unless this process is root, because the files have their owners.
func Install(ctx context.Context, files []string, root string) error {
	for _, name := range []string{"bin", "lib", "lib64", "sbin"} {
		if err := os.MkdirAll(filepath.Join(root, "usr", name), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(filepath.Join("usr", name), filepath.Join(root, name)); err != nil {
			return err
		}
	}
	database := filepath.Join(root, "var/lib/dpkg")
	for _, sub := range []string{"info", "updates"} {
		if err := os.MkdirAll(filepath.Join(database, sub), 0o755); err != nil {
			return err
		}
	}
	var status strings.Builder
	for _, file := range files {
		paths, err := tool.Run(ctx, "", nil, "sh", "-c", extract, "sh", file, root)
		if err != nil {
			return err
		}
		control, err := tool.Run(ctx, "", nil, "dpkg-deb", "-f", file)
		if err != nil {
			return err
		}
		fmt.Fprintf(&status, "%s\nStatus: install ok installed\n\n", strings.TrimSpace(string(control)))
		list := filepath.Join(database, "info", identity(string(control))+".list")
		if err := os.WriteFile(list, installed(string(paths)), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(database, "status"), []byte(status.String()), 0o644)
}

// installed returns dpkg's list of the files with paths, the lines that tar prints.
func installed(paths string) []byte {
	var list []byte
	for line := range strings.Lines(paths) {
		path := strings.Trim(strings.TrimPrefix(line, "."), "/\n")
		if path == "" {
			path = "." // dpkg's name of the root
		}
		list = append(list, "/"+path+"\n"...)
	}
	return list
}

// identity returns the name that dpkg's database has for the package with the fields control.
func identity(control string) string {
	fields := map[string]string{}
	for line := range strings.Lines(control) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields[name] = strings.TrimSpace(value)
		}
	}
	if fields["Multi-Arch"] == "same" {
		return fields["Package"] + ":" + fields["Architecture"]
	}
	return fields["Package"]
}

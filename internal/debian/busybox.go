package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/krunbox/krunbox/internal/cache"
	"github.com/krunbox/krunbox/internal/progress"
)

// Busybox returns the path of a static BusyBox for arch, from Debian's package busybox-static. It
// downloads the package once, and keeps the program in the cache.
func Busybox(ctx context.Context, arch string) (string, error) {
	return cache.File(ctx, "busybox-"+arch, func(scratch string) (string, error) {
		defer progress.Start(ctx, "downloading Debian's busybox-static for "+arch).End()
		path, err := downloadBusybox(ctx, arch, scratch)
		if err != nil {
			return "", fmt.Errorf("busybox for %s: %w", arch, err)
		}
		return path, nil
	})
}

func downloadBusybox(ctx context.Context, arch, scratch string) (string, error) {
	packages, err := Open(ctx, arch, scratch)
	if err != nil {
		return "", err
	}
	file, err := packages.Download(ctx, "busybox-static")
	if err != nil {
		return "", err
	}
	root := filepath.Join(scratch, "root")
	if err := Unpack(ctx, file, root); err != nil {
		return "", err
	}
	for _, dir := range []string{"bin", "usr/bin"} { // it moves with Debian's releases
		if found, _ := filepath.Glob(filepath.Join(root, dir, "busybox")); len(found) == 1 {
			return found[0], nil
		}
	}
	return "", errors.New("the package busybox-static has no program busybox")
}

// BusyboxApplets returns the names of the applets in program, a BusyBox executable. It searches the
// executable for its table of names, because an executable for another architecture cannot be run.
// The table is sorted; each name ends with a zero byte, and an empty name ends the table.
func BusyboxApplets(program []byte) ([]string, error) {
	const start = "\x00[\x00[[\x00" // the end of the preceding string and the first two names
	at := bytes.Index(program, []byte(start))
	if at < 0 {
		return nil, errors.New("table of BusyBox applets not found")
	}
	var names []string
	for rest := program[at+1:]; ; {
		name, after, found := bytes.Cut(rest, []byte{0})
		if !found {
			return nil, errors.New("the table of BusyBox applets has no end")
		}
		if len(name) == 0 {
			return names, nil
		}
		if bytes.ContainsRune(name, '/') {
			return nil, fmt.Errorf("invalid name %q in the table of BusyBox applets", name)
		}
		names = append(names, string(name))
		rest = after
	}
}

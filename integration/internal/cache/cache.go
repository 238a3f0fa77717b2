// Package cache keeps files that are slow to get, such as a guest kernel, in a directory shared by all processes of a
// user.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockInterval is how often a process looks whether another one has finished with an entry.
const lockInterval = 50 * time.Millisecond

// Dir returns the cache directory: $KRUNBOX_CACHE, else "krunbox" in the user's cache directory. It may not exist yet.
func Dir() (string, error) {
	if dir := os.Getenv("KRUNBOX_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place for downloads (set KRUNBOX_CACHE to a directory): %w", err)
	}
	return filepath.Join(dir, "krunbox"), nil
}

// File returns the path of the file called name in the cache. If there is none yet, build makes it: build gets an
// empty scratch directory and returns the path of a file in it, which becomes the entry.
//
// An entry appears complete or not at all, and processes that want the same one at the same time build it once. As an
// entry is never made again, name should change with what the entry is made from.
func File(ctx context.Context, name string, build func(scratch string) (string, error)) (string, error) {
	dir, err := Dir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	if exists(path) {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cache directory: %w", err)
	}
	unlock, err := lock(ctx, path+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(path) { // another process was faster
		return path, nil
	}

	scratch, err := os.MkdirTemp(dir, name+".tmp-")
	if err != nil {
		return "", fmt.Errorf("cache entry %s: %w", name, err)
	}
	defer os.RemoveAll(scratch)
	built, err := build(scratch)
	if err != nil {
		return "", err
	}
	if err := os.Rename(built, path); err != nil {
		return "", fmt.Errorf("cache entry %s: %w", name, err)
	}
	return path, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// lock takes the lock file path, waiting for its holder until ctx ends. The kernel releases the lock of a process that
// dies. The file stays: removing it would let two processes hold locks of the same name.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cache lock: %w", err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { f.Close() }, nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			f.Close()
			return nil, fmt.Errorf("cache lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("waiting for another process that makes %s: %w", path, context.Cause(ctx))
		case <-time.After(lockInterval):
		}
	}
}

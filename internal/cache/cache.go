// Package cache keeps files that are slow to get, such as a guest kernel, in a directory that all
// processes of a user share.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/progress"
)

// lockInterval is the time between attempts to lock an entry that another process makes.
const lockInterval = 50 * time.Millisecond

// Dir returns the cache directory, which may not exist: $KRUNBOX_CACHE or, if that is not set,
// "krunbox" in the user's cache directory.
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

// File returns the path of the entry called name, a file or directory. If it does not exist, File
// calls build with an empty scratch directory. Build returns the path of a file or directory in it,
// which becomes the entry.
//
// A partial entry is never visible, and processes that need the same entry at the same time build
// it once. An entry is not built again, so name should change with its sources.
func File(
	ctx context.Context, name string, build func(scratch string) (string, error),
) (string, error) {
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

// Lock returns the path of the directory called name, which it creates if it does not exist, and
// keeps other callers waiting until unlock is called or this process ends. Unlike an entry, the
// directory can change.
func Lock(ctx context.Context, name string) (path string, unlock func(), err error) {
	dir, err := Dir()
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join(dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", nil, fmt.Errorf("cache directory: %w", err)
	}
	unlock, err = lock(ctx, path+".lock")
	return path, unlock, err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// lock locks the file path. It waits for the holder of the lock until ctx ends. The kernel releases
// the lock of a process that dies. The file is not removed: otherwise two processes could hold a
// lock of the same name.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cache lock: %w", err)
	}
	var step *progress.Step
	defer func() {
		if step != nil {
			step.End()
		}
	}()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { f.Close() }, nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			f.Close()
			return nil, fmt.Errorf("cache lock %s: %w", path, err)
		}
		if step == nil {
			step = progress.Start(ctx, "waiting for another process that makes "+filepath.Base(strings.TrimSuffix(path, ".lock")))
		}
		select {
		case <-ctx.Done():
			f.Close()
			err := context.Cause(ctx)
			return nil, fmt.Errorf("waiting for another process that makes %s: %w", path, err)
		case <-time.After(lockInterval):
		}
	}
}

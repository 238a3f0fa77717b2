package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// writer returns a build function that makes a file with the given contents and counts its calls.
func writer(contents string, calls *atomic.Int32) func(string) (string, error) {
	return func(scratch string) (string, error) {
		calls.Add(1)
		path := filepath.Join(scratch, "file")
		return path, os.WriteFile(path, []byte(contents), 0o644)
	}
}

func TestFileBuildsOnce(t *testing.T) {
	t.Setenv("KRUNBOX_CACHE", filepath.Join(t.TempDir(), "new"))
	var calls atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			path, err := File(t.Context(), "entry", writer("contents", &calls))
			if err != nil {
				t.Errorf("File() = %v", err)
				return
			}
			if got, err := os.ReadFile(path); string(got) != "contents" {
				t.Errorf("ReadFile(%s) = %q, %v, want %q", path, got, err, "contents")
			}
		})
	}
	wg.Wait()
	if got := calls.Load(); got != 1 {
		t.Errorf("build was called %d times, want 1", got)
	}
}

func TestFileFailureLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("KRUNBOX_CACHE", dir)
	boom := errors.New("boom")
	_, err := File(t.Context(), "entry", func(scratch string) (string, error) {
		return "", errors.Join(boom, os.WriteFile(filepath.Join(scratch, "part"), nil, 0o644))
	})
	if !errors.Is(err, boom) {
		t.Errorf("File() = %v, want %v", err, boom)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	if want := filepath.Join(dir, "entry.lock"); len(left) != 1 || left[0] != want {
		t.Errorf("left in the cache: %q, want only %q", left, want)
	}
	var calls atomic.Int32
	if _, err := File(t.Context(), "entry", writer("", &calls)); err != nil || calls.Load() != 1 {
		t.Errorf("File() after a failure = %v with %d builds, want a build", err, calls.Load())
	}
}

func TestFileWaitsForLock(t *testing.T) {
	t.Setenv("KRUNBOX_CACHE", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 2*lockInterval)
	defer cancel()
	_, err := File(t.Context(), "entry", func(string) (string, error) {
		var calls atomic.Int32
		_, err := File(ctx, "entry", writer("", &calls))
		if calls.Load() != 0 {
			t.Error("two builds of one entry at once")
		}
		return "", err
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("File() while another holds the lock = %v, want %v", err, context.DeadlineExceeded)
	}
}

func TestLockIsReleased(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		unlock, err := lock(ctx, path)
		if err != nil {
			t.Fatalf("lock() = %v", err)
		}
		unlock()
		cancel()
	}
}

func TestLock(t *testing.T) {
	t.Setenv("KRUNBOX_CACHE", filepath.Join(t.TempDir(), "new"))
	path, unlock, err := Lock(t.Context(), "directory")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		t.Errorf("Stat(%s) = %v, %v, want a directory", path, info, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*lockInterval)
	defer cancel()
	if _, _, err := Lock(ctx, "directory"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lock() of a locked directory = %v, want %v", err, context.DeadlineExceeded)
	}
	unlock()
	if _, unlock, err = Lock(t.Context(), "directory"); err != nil {
		t.Errorf("Lock() after unlock = %v", err)
	}
	unlock()
}

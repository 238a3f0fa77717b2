package timesync

import (
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLast(t *testing.T) {
	path := t.TempDir() + "/last"
	if _, err := ReadLast(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadLast() of no file = %v, want ErrNotExist", err)
	}
	now := time.Date(2026, 11, 30, 12, 0, 0, 5, time.UTC)
	for _, tt := range []struct {
		event Event
		want  Last
	}{
		{Event{Action: Step, Offset: -3 * time.Hour}, Last{now, -10800e9, "stepped", ""}},
		{Event{Action: Slew, Offset: 5, Err: errors.New("no \"right\"\n")}, Last{now, 5, "slewed", "no \"right\"\n"}},
	} {
		saveLast(path, now, tt.event)
		if got, err := ReadLast(path); err != nil || got != tt.want {
			t.Errorf("ReadLast() = %+v, %v, want %+v", got, err, tt.want)
		}
	}
	// What a workload may put there neither blocks nor leads elsewhere.
	for _, make := range []func() error{
		func() error { return unix.Mkfifo(path, 0o666) },
		func() error { return os.Symlink("other", path) },
	} {
		if err := errors.Join(os.Remove(path), make()); err != nil {
			t.Fatal(err)
		}
		saveLast(path, now, Event{Action: Keep})
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLast(path); err == nil {
		t.Error("ReadLast() of half an object succeeds, want an error")
	}
}

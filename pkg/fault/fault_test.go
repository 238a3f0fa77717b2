package fault

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"
)

func TestWrap(t *testing.T) {
	if err := Wrap(nil, "a"); err != nil {
		t.Errorf("Wrap(nil) = %v, want nil", err)
	}
	err := Wrap(Wrap(syscall.ENOENT, "open ", "/x"), "read the table")
	if got, want := err.Error(), "read the table: open /x: no such file or directory"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, syscall.ENOENT) {
		t.Errorf("%v does not wrap ENOENT", err)
	}
}

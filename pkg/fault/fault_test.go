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

func TestGuard(t *testing.T) {
	for _, c := range []struct {
		f    func() error
		want string
	}{
		{func() error { return nil }, ""},
		{func() error { return syscall.ENOENT }, "no such file or directory"},
		{func() error { panic("out of luck") }, "internal error: out of luck"},
		{func() error { panic(syscall.ENOENT) }, "internal error: no such file or directory"},
		{func() error { panic(7) }, "internal error"},
		{func() error { return []error{}[len(t.Name())] }, "internal error: runtime error: index out of range [9] with length 0"},
	} {
		if err := Guard(c.f); (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("Guard() = %v, want %q", err, c.want)
		}
	}
}

func TestErrno(t *testing.T) {
	for _, c := range []struct {
		err  error
		want syscall.Errno
	}{
		{nil, 0},
		{syscall.ENOENT, syscall.ENOENT},
		{Wrap(Wrap(syscall.EPERM, "a"), "b"), syscall.EPERM},
		{errors.New("a"), 0},
		{Wrap(errors.Join(syscall.EPERM), "a"), 0},
	} {
		if got := Errno(c.err); got != c.want {
			t.Errorf("Errno(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}

// What is wrapped is the caller's again, and costs no memory where there is no error.
func TestWrapKeepsNothing(t *testing.T) {
	parts := []string{"mount ", "proc"}
	err := Wrap(syscall.EPERM, parts...)
	parts[0] = "unmount "
	if got, want := err.Error(), "mount proc: operation not permitted"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if n := testing.AllocsPerRun(100, func() { _ = Wrap(nil, "mount ", t.Name()) }); n != 0 {
		t.Errorf("Wrap(nil) makes %v allocations, want 0", n)
	}
}

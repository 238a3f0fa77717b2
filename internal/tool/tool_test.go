package tool

import (
	"context"
	"errors"
	"os/exec"
	"testing"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	const script = `pwd; echo "$X"; echo warning >&2`
	out, err := Run(t.Context(), dir, []string{"X=1"}, "sh", "-c", script)
	if want := dir + "\n1\n"; err != nil || string(out) != want {
		t.Errorf("Run() = %q, %v, want %q", out, err, want)
	}
	for script, want := range map[string]string{
		"echo out; echo error >&2; exit 3": "sh -c: exit status 3\nerror\nout",
		"echo out; exit 3":                 "sh -c: exit status 3\nout",
		"exit 3":                           "sh -c: exit status 3",
	} {
		_, err := Run(t.Context(), "", nil, "sh", "-c", script)
		if err == nil || err.Error() != want {
			t.Errorf("Run(%q) = %v, want %q", script, err, want)
		}
	}
	if _, err := Run(t.Context(), "", nil, "nosuch", "x"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("Run(nosuch) = %v, want ErrNotFound", err)
	}
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	if _, err := Run(ctx, "", nil, "true", "x"); !errors.Is(err, stopped) {
		t.Errorf("Run() = %v, want the cause of the context's end", err)
	}
}

package vm

import (
	"bytes"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/guestkernel"
	"github.com/krunbox/krunbox/integration/guestroot"
)

func busyboxRoot(t *testing.T, arch string) string {
	t.Helper()
	dir := t.TempDir()
	if err := guestroot.Create(t.Context(), arch, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func peerInit(t *testing.T) string {
	t.Helper()
	path, err := guestkernel.PeerInit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRun boots libkrun's own init.
func TestRun(t *testing.T) {
	var console bytes.Buffer
	result, err := Run(t.Context(), Config{
		Arch:    "amd64",
		Init:    peerInit(t),
		Root:    busyboxRoot(t, "amd64"),
		Env:     []string{"KRUN_INIT=/bin/sh", "TEXT=two  words"},
		Args:    []string{"-c", "echo hello: '$TEXT'; exit 7"},
		Console: &console,
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.ExitCode != 7 {
		t.Errorf("ExitCode = %d, want 7", result.ExitCode)
	}
	if want := "hello: two  words\r\n"; !strings.Contains(console.String(), want) || console.String() != string(result.Console) {
		t.Errorf("Console = %q, Result.Console = %q, want %q", console.String(), result.Console, want)
	}
}

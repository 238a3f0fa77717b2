package image

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestBuild builds the default image and checks its size.
func TestBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("builds all default commands")
	}
	const maxSize = 3_200_000 // bytes
	output := filepath.Join(t.TempDir(), "krunbox.cpio.gz")
	var steps []string
	progress := func(step string) { steps = append(steps, step) }
	if err := Build(t.Context(), Options{Output: output, Progress: progress}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(output); err != nil || info.Size() > maxSize {
		t.Errorf("the image has %d bytes (%v), want at most %d", info.Size(), err, maxSize)
	}
	if len(steps) != 2 || !strings.HasPrefix(steps[0], "building krunbox with ") ||
		steps[1] != "writing "+output {
		t.Errorf("Build() reported the steps %q, want building and writing", steps)
	}
	t.Run("commands", func(t *testing.T) { usualCommands(t, output) })
}

func TestPackages(t *testing.T) {
	got, err := packages(t.Context(), "", "", []string{"ls", "tac", "./build", "ls", "none"})
	want := []string{ourCommands, uroot + "/cmds/core/ls", uroot + "/cmds/exp/tac", "./build"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("packages() = %q, %v, want %q", got, err, want)
	}
	got, err = packages(t.Context(), "", "", nil)
	n := len(strings.Fields(DefaultCommands))
	if err != nil || len(got) != n+1 || !slices.Contains(got, forImages+"/sh") {
		t.Errorf("packages() = %q, %v, want the %d default ones and krunbox's", got, err, n)
	}
	got, err = packages(t.Context(), "", shellBusybox, []string{"default", "ls"})
	if err != nil || !slices.Equal(got, []string{ourCommands, uroot + "/cmds/core/ls"}) {
		t.Errorf("packages() with busybox = %q, %v, want krunbox's and ls", got, err)
	}
	got, err = packages(t.Context(), "", "", []string{"none"})
	if err != nil || !slices.Equal(got, []string{ourCommands}) {
		t.Errorf("packages(none) = %q, %v, want krunbox's", got, err)
	}
	for _, name := range []string{"nosuch", "init"} {
		if _, err := packages(t.Context(), "", "", []string{name}); !fails(err, `command "`+name+`"`) {
			t.Errorf("packages(%s) = %v, want an error that names the command", name, err)
		}
	}
}

// TestBuildErrors checks errors that Build reports before it compiles.
func TestBuildErrors(t *testing.T) {
	output := filepath.Join(t.TempDir(), "a.cpio")
	for _, tt := range []struct {
		opts Options
		want string
	}{
		{Options{}, "no output named"},
		{Options{Output: "a.iso"}, "build a.iso: unknown kind of image"},
		{Options{Output: output, Kernel: "/nosuch"}, "kernel /nosuch: "},
		{Options{Output: output, Files: []File{{Source: "/nosuch/file"}}}, "copy /nosuch/file: "},
		{Options{Output: output, Commands: []string{"nosuch"}}, `command "nosuch"`},
		{Options{Output: output, Shell: "zsh"}, `shell "zsh"`},
		{Options{Output: output, GOARCH: "386"}, "linux/386"},
		{Options{Output: filepath.Join(output, "no/directory.cpio")}, "no/directory.cpio"},
	} {
		if err := Build(t.Context(), tt.opts); !fails(err, tt.want) {
			t.Errorf("Build(%+v) = %v, want %q", tt.opts, err, tt.want)
		}
		if _, err := os.Stat(output); err == nil {
			t.Errorf("Build(%+v) left an output", tt.opts)
		}
	}
}

func TestParseFile(t *testing.T) {
	for s, want := range map[string]File{"a": {"a", ""}, "a:/b": {"a", "/b"}, "a:": {"a", ""}} {
		if got, err := ParseFile(s); err != nil || got != want {
			t.Errorf("ParseFile(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", ":/b"} {
		if _, err := ParseFile(s); err == nil {
			t.Errorf("ParseFile(%q) succeeded", s)
		}
	}
}

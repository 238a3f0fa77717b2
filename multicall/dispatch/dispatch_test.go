package dispatch

import (
	"reflect"
	"slices"
	"testing"
)

func TestChoose(t *testing.T) {
	isApplet := func(name string) bool { return name == "init" || name == "echo" }
	runs := func(applet string, args ...string) Choice {
		return Choice{Action: Run, Applet: applet, Args: args}
	}
	unknown := func(applet string) Choice { return Choice{Action: Unknown, Applet: applet} }
	list, version := Choice{Action: List}, Choice{Action: Version}

	for _, tt := range []struct {
		name string
		args []string
		pid1 bool
		want Choice
	}{
		{"init.krun", []string{"/init.krun"}, true, runs("init", "/init.krun")},
		{"init.krun, not PID 1", []string{"/init.krun"}, false, runs("init", "/init.krun")},
		{"init.krun in a directory", []string{"a/init.krun", "x"}, false,
			runs("init", "a/init.krun", "x")},
		{"ends in init.krun", []string{"/my-init.krun"}, false, runs("init", "/my-init.krun")},
		{"init.krun APPLET", []string{"/init.krun", "echo"}, true,
			runs("init", "/init.krun", "echo")},
		{"init.krun --version", []string{"/init.krun", "--version"}, false,
			runs("init", "/init.krun", "--version")},
		{"init.krun as a directory", []string{"/init.krun/krunbox"}, false, list},
		{"init", []string{"/sbin/init", "echo"}, false, runs("init", "/sbin/init", "echo")},
		{"init without a path", []string{"init"}, false, runs("init", "init")},

		{"PID 1, unknown name", []string{"/sbin/boot", "echo"}, true,
			runs("init", "/sbin/boot", "echo")},
		{"PID 1, krunbox", []string{"/krunbox", "echo", "x"}, true,
			runs("init", "/krunbox", "echo", "x")},
		{"PID 1, krunbox --help", []string{"krunbox", "--help"}, true,
			runs("init", "krunbox", "--help")},
		{"PID 1, applet", []string{"/bin/echo", "x"}, true, runs("echo", "/bin/echo", "x")},
		{"PID 1, no arguments", nil, true, runs("init", "init")},
		{"PID 1, empty name", []string{""}, true, runs("init", "init")},
		{"PID 1, empty name, arguments", []string{"", "echo"}, true, runs("init", "init", "echo")},
		{"PID 1, slash", []string{"/"}, true, runs("init", "/")},

		{"link", []string{"/bin/echo", "--", "sh"}, false, runs("echo", "/bin/echo", "--", "sh")},
		{"link, as a login shell", []string{"-echo"}, false, runs("echo", "-echo")},
		{"only one dash", []string{"--init", "echo"}, false, runs("echo", "echo")},

		{"krunbox APPLET", []string{"./krunbox", "echo", "-x", "y"}, false,
			runs("echo", "echo", "-x", "y")},
		{"krunbox help APPLET", []string{"krunbox", "help", "echo"}, false, runs("echo", "echo", "--help")},
		{"krunbox help, unknown applet", []string{"krunbox", "help", "nosuch"}, false, unknown("nosuch")},
		{"krunbox init", []string{"krunbox", "init", "-n"}, false, runs("init", "init", "-n")},
		{"renamed copy", []string{"krunbox-v2", "init"}, false, runs("init", "init")},
		{"no path as an applet", []string{"krunbox", "/bin/init"}, false, unknown("/bin/init")},
		{"unknown applet", []string{"krunbox", "nosuch", "init"}, false, unknown("nosuch")},
		{"unknown option", []string{"krunbox", "--init"}, false, unknown("--init")},
		{"empty applet", []string{"krunbox", ""}, false, unknown("")},

		{"alone", []string{"krunbox"}, false, list},
		{"no arguments", nil, false, list},
		{"empty name", []string{""}, false, list},
		{"--help", []string{"krunbox", "--help", "init"}, false, list},
		{"-h", []string{"krunbox", "-h"}, false, list},
		{"help", []string{"krunbox", "help"}, false, list},
		{"--version", []string{"krunbox", "--version"}, false, version},
	} {
		if got := Choose(tt.args, tt.pid1, isApplet); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: Choose(%q, %v) = %+v, want %+v", tt.name, tt.args, tt.pid1, got, tt.want)
		}
	}
}

// TestChooseWithoutInit checks that PID 1 runs no other applet if the binary has no init.
func TestChooseWithoutInit(t *testing.T) {
	isApplet := func(name string) bool { return name == "echo" }
	got := Choose([]string{"/init.krun", "echo"}, true, isApplet)
	if want := (Choice{Action: Unknown, Applet: "init"}); !reflect.DeepEqual(got, want) {
		t.Errorf("Choose(no init) = %+v, want %+v", got, want)
	}
}

// TestChooseKeepsArgs checks that Choose does not change the caller's arguments.
func TestChooseKeepsArgs(t *testing.T) {
	args := []string{"", "x"}
	Choose(args, true, func(string) bool { return true })
	if want := []string{"", "x"}; !slices.Equal(args, want) {
		t.Errorf("Choose changed its arguments to %q, want %q", args, want)
	}
}

func TestHelp(t *testing.T) {
	got := Help([]Applet{
		{Name: "init", Usage: []string{"init [ARG...]", "init -n"}, Summary: "Init boots."},
		{Name: "bare"},
	})
	want := `Usage: krunbox APPLET [ARG...]
       krunbox help APPLET | --help | --version
A link to krunbox with the name of an applet runs that applet.

  init  boots
  bare
`
	if got != want {
		t.Errorf("Help() = %q, want %q", got, want)
	}
}

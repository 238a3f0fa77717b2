package dispatch

import (
	"reflect"
	"slices"
	"testing"
)

func TestChoose(t *testing.T) {
	isApplet := func(name string) bool { return slices.Contains([]string{"init", "redirect-stdio"}, name) }

	runs := func(applet string, args ...string) Choice { return Choice{Action: Run, Applet: applet, Args: args} }
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
		{"init.krun anywhere", []string{"a/b/init.krun", "x"}, false, runs("init", "a/b/init.krun", "x")},
		{"ends in init.krun", []string{"/usr/lib/my-init.krun"}, false, runs("init", "/usr/lib/my-init.krun")},
		{"init.krun given an applet's name", []string{"/init.krun", "redirect-stdio"}, true, runs("init", "/init.krun", "redirect-stdio")},
		{"init.krun given --version", []string{"/init.krun", "--version"}, false, runs("init", "/init.krun", "--version")},
		{"init.krun as a directory", []string{"/init.krun/krunbox"}, false, list},
		{"init", []string{"/sbin/init", "redirect-stdio"}, false, runs("init", "/sbin/init", "redirect-stdio")},
		{"init without a path", []string{"init"}, false, runs("init", "init")},

		{"PID 1, unknown name", []string{"/sbin/boot", "redirect-stdio"}, true, runs("init", "/sbin/boot", "redirect-stdio")},
		{"PID 1, krunbox", []string{"/krunbox", "redirect-stdio", "x"}, true, runs("init", "/krunbox", "redirect-stdio", "x")},
		{"PID 1, krunbox --help", []string{"krunbox", "--help"}, true, runs("init", "krunbox", "--help")},
		{"PID 1, an applet's name", []string{"/bin/redirect-stdio", "x"}, true, runs("redirect-stdio", "/bin/redirect-stdio", "x")},
		{"PID 1, no arguments", nil, true, runs("init", "init")},
		{"PID 1, empty name", []string{""}, true, runs("init", "init")},
		{"PID 1, empty name with arguments", []string{"", "redirect-stdio"}, true, runs("init", "init", "redirect-stdio")},
		{"PID 1, slash", []string{"/"}, true, runs("init", "/")},

		{"link", []string{"/bin/redirect-stdio", "--", "sh"}, false, runs("redirect-stdio", "/bin/redirect-stdio", "--", "sh")},
		{"link, as a login shell", []string{"-redirect-stdio"}, false, runs("redirect-stdio", "-redirect-stdio")},
		{"only one dash", []string{"--init", "redirect-stdio"}, false, runs("redirect-stdio", "redirect-stdio")},

		{"krunbox APPLET", []string{"./krunbox", "redirect-stdio", "-x", "y"}, false, runs("redirect-stdio", "redirect-stdio", "-x", "y")},
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
			t.Errorf("%s: Choose(%q, pid1 %v) = %+v, want %+v", tt.name, tt.args, tt.pid1, got, tt.want)
		}
	}
}

// A binary built without init says so, rather than run something else as PID 1.
func TestChooseWithoutInit(t *testing.T) {
	got := Choose([]string{"/init.krun", "redirect-stdio"}, true, func(name string) bool { return name == "redirect-stdio" })
	if want := (Choice{Action: Unknown, Applet: "init"}); !reflect.DeepEqual(got, want) {
		t.Errorf("Choose(no init) = %+v, want %+v", got, want)
	}
}

// The caller's arguments stay what they were.
func TestChooseKeepsArgs(t *testing.T) {
	args := []string{"", "x"}
	Choose(args, true, func(string) bool { return true })
	if want := []string{"", "x"}; !slices.Equal(args, want) {
		t.Errorf("Choose changed its arguments to %q, want %q", args, want)
	}
}

func TestHelp(t *testing.T) {
	got := Help([]Applet{
		{Name: "init", Usage: []string{"init [ARG...]", "init -n"}, Summary: "init starts the guest."},
		{Name: "bare", Usage: []string{"bare"}},
	})
	want := `Usage: krunbox APPLET [ARG...]
       krunbox --help | --version
A link to krunbox that has an applet's name runs this applet.

  init [ARG...]
  init -n
        init starts the guest.

  bare
`
	if got != want {
		t.Errorf("Help() = %q, want %q", got, want)
	}
}

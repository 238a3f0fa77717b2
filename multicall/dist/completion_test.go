package dist

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/internal/cache"
)

// completionFiles writes the files of a platform to a directory, by their base names.
func completionFiles(t *testing.T, p Platform) (dir string, s *source) {
	t.Helper()
	s, err := load(t.Context(), moduleRoot, p)
	if err != nil {
		t.Fatal(err)
	}
	texts, err := s.texts()
	if err != nil {
		t.Fatal(err)
	}
	files, err := s.completions(texts)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := files.install(dir); err != nil {
		t.Fatal(err)
	}
	return dir, s
}

// sorted returns the words of a text in order.
func sorted(text string) []string {
	return slices.Sorted(slices.Values(strings.Fields(text)))
}

// wantedOptions returns the options of a command that a shell is to offer, from its source: those
// of more than a letter may have one dash or two.
func wantedOptions(t *testing.T, p goPackage) (options []string) {
	t.Helper()
	name := path.Base(p.ImportPath)
	for _, o := range definedOptions(t, p) {
		if !slices.Contains(hidden, name+" -"+o) {
			options = append(options, o)
		}
	}
	return append(options, "help")
}

// krunhost returns the source of krunhost.
func krunhost(t *testing.T) goPackage {
	t.Helper()
	dir := filepath.Join(moduleRoot, "integration/cmd/krunhost")
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	p := goPackage{Dir: dir, ImportPath: "krunhost"}
	for _, f := range files {
		if !strings.HasSuffix(f, "_test.go") {
			p.GoFiles = append(p.GoFiles, filepath.Base(f))
		}
	}
	return p
}

// TestBash has bash complete command lines.
func TestBash(t *testing.T) {
	dir, s := completionFiles(t, Platform{"linux", "amd64"})
	complete := func(script string, words ...string) []string {
		cmd := exec.CommandContext(t.Context(), "bash", "--norc", "-c", `set -u
source "$1/share/bash-completion/completions/$2"
shift 2
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
complete -p "$1" | grep -q -- "-F _\(krunbox\|krunhost\) " || exit
_${FUNCTION:-krunbox} "$1"
((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"`, "bash", dir, script)
		cmd.Args = append(cmd.Args, words...)
		cmd.Dir = moduleRoot
		if words[0] == "krunhost" {
			cmd.Env = append(os.Environ(), "FUNCTION=krunhost")
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("complete %q: %v, %s", words, err, out)
		}
		return sorted(string(out))
	}
	var applets []string
	for _, p := range s.applets() {
		name := path.Base(p.ImportPath)
		applets = append(applets, name)
		script := "krunbox"
		if name != "init" {
			script = name // a link
		}
		for _, words := range [][]string{{name, "-"}, {"krunbox", name, "-"}} {
			if name == "init" && words[0] == name {
				continue // the name of the system's init is not ours
			}
			checkOptions(t, words, complete(script, words...), wantedOptions(t, p))
		}
	}
	checkOptions(t, []string{"krunhost", "-"}, complete("krunhost", "krunhost", "-"), wantedOptions(t, krunhost(t)))
	for words, want := range map[string]string{
		"krunbox ":                         strings.Join(applets, " ") + " help --help --version",
		"krunbox m":                        "mount-root",
		"krunbox --v":                      "--version",
		"krunbox help ":                    strings.Join(applets, " "),
		"krunbox help init ":               "",
		"krunbox nosuch -":                 "",
		"krunbox dhcpclient -st":           "-status",
		"krunbox dhcpclient -i l":          "lo",
		"krunbox dhcpclient -i a":          "all",
		"dhcpclient -timeout ":             "",
		"krunbox init -n -config READ":     "README.md",
		"krunbox init -n -root multicall/": "multicall/build multicall/dispatch multicall/dist multicall/image multicall/krunbox multicall/testdata",
		"krunhost --root p":                "pkg",
		"krunhost --config READ":           "README.md",
		"krunhost --arch ":                 "amd64 arm64",
		"krunhost --net -- sh -":           "",
	} {
		list := strings.Split(words, " ")
		script := "krunbox"
		if list[0] == "krunhost" {
			script = list[0]
		}
		if got := complete(script, list...); !slices.Equal(got, sorted(want)) {
			t.Errorf("bash completes %q by %q, want %q", words, got, sorted(want))
		}
	}
}

// checkOptions compares what a shell offers with the options in the source.
func checkOptions(t *testing.T, words, got, want []string) {
	t.Helper()
	var names []string
	for _, o := range got {
		names = append(names, strings.TrimLeft(o, "-"))
	}
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("%q is completed by %q, want %q", words, names, want)
	}
}

// shellPath returns a shell of this machine, or the one that integration/deps.sh has unpacked, or
// "". Its libraries may be unpacked, too.
func shellPath(t *testing.T, name string) (program string, env []string) {
	t.Helper()
	if program, err := exec.LookPath(name); err == nil {
		return program, os.Environ()
	}
	dir, err := cache.Dir()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "shells")
	for _, program := range []string{root + "/bin/" + name, root + "/usr/bin/" + name} {
		if _, err := os.Stat(program); err == nil {
			libraries, _ := filepath.Glob(root + "/usr/lib/*-linux-gnu*")
			return program, append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
		}
	}
	t.Logf("no %s: make deps", name)
	return "", nil
}

// TestZsh checks the options of _arguments, and that zsh can parse the functions.
func TestZsh(t *testing.T) {
	dir, s := completionFiles(t, Platform{"linux", "amd64"})
	specs := func(name, command string) (options []string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, "share/zsh/site-functions", name))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "\n"+command+")\n")
		rest, _, _ = strings.Cut(rest, "\n  ;;\n")
		for line := range strings.Lines(rest) {
			if spec, ok := strings.CutPrefix(line, "    '-"); ok {
				option, _, _ := strings.Cut(spec, "[")
				options = append(options, option)
			}
		}
		return options
	}
	for _, p := range s.applets() {
		name := path.Base(p.ImportPath)
		checkOptions(t, []string{"zsh", name}, specs("_krunbox", name), wantedOptions(t, p))
	}
	checkOptions(t, []string{"zsh", "krunhost"}, specs("_krunhost", "krunhost"), wantedOptions(t, krunhost(t)))
	zsh, env := shellPath(t, "zsh")
	if zsh == "" {
		return
	}
	for _, name := range []string{"_krunbox", "_krunhost"} {
		file := filepath.Join(dir, "share/zsh/site-functions", name)
		cmd := exec.CommandContext(t.Context(), zsh, "-f", "-n", file)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("zsh -n %s: %v, %s", name, err, out)
		}
	}
	// The function is called as the completion system would call it.
	cmd := exec.CommandContext(t.Context(), zsh, "-f", "-c", `_arguments() { print -rl -- $1 }
_describe() { print -rl -- ${(P)2} }
service=krunbox words=(krunbox "") CURRENT=2; source $1
service=krunbox words=(krunbox dhcpclient -) CURRENT=3; source $1
print $CURRENT $service`, "zsh", filepath.Join(dir, "share/zsh/site-functions/_krunbox"))
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	want := "dhcpclient:configures network interfaces"
	if err != nil || !strings.Contains("\n"+string(out), "\n"+want) || !strings.HasSuffix(string(out), "\n2 dhcpclient\n") ||
		!strings.Contains(string(out), "\n-i[the interfaces, or \"all\" (default eth0)]:IFACE:_net_interfaces\n") {
		t.Errorf("zsh: %v, %s\nwant %q, an option, and dhcpclient", err, out, want)
	}
}

// TestFish has fish complete command lines, or else checks the lines of its scripts.
func TestFish(t *testing.T) {
	dir, s := completionFiles(t, Platform{"linux", "amd64"})
	scripts := filepath.Join(dir, "share/fish/vendor_completions.d")
	lines := func(script, start string) (options []string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(scripts, script+".fish"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, start+" -"); ok && strings.Contains("slo", rest[:1]) {
				options = append(options, strings.Fields(rest)[1])
			}
		}
		return options
	}
	fish, env := shellPath(t, "fish")
	complete := func(script, line string) []string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), fish, "--no-config", "-c",
			fmt.Sprintf("set -a fish_function_path %s; source %s/%s.fish; complete -C '%s' | string replace -r '\\t.*' ''",
				filepath.Join(filepath.Dir(fish), "../share/fish/functions"), scripts, script, line))
		cmd.Env = append(env, "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("fish: %v, %s", err, out)
		}
		return strings.Fields(string(out))
	}
	for _, p := range append(s.applets(), krunhost(t)) {
		name := path.Base(p.ImportPath)
		want := wantedOptions(t, p)
		switch name {
		case "krunhost":
			checkOptions(t, []string{"fish", name}, lines(name, "complete -c krunhost"), want)
		case "init":
			checkOptions(t, []string{"fish", name}, lines("krunbox", "complete -c krunbox -n '__fish_seen_subcommand_from init'"), want)
		default:
			checkOptions(t, []string{"fish", name}, lines(name, "complete -c "+name), want)
		}
		if fish == "" {
			continue
		}
		script, line := "krunbox", "krunbox "+name+" -"
		if name == "krunhost" {
			script, line = name, name+" -"
		}
		checkOptions(t, []string{"fish", line}, complete(script, line), want)
	}
	if fish == "" {
		return
	}
	if got := complete("krunbox", "krunbox mou"); !slices.Equal(got, []string{"mount-root"}) {
		t.Errorf("fish completes krunbox mou by %q, want mount-root", got)
	}
	for _, name := range []string{"krunbox", "krunhost"} {
		cmd := exec.CommandContext(t.Context(), fish, "--no-config", "-n", filepath.Join(scripts, name+".fish"))
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("fish -n %s.fish: %v, %s", name, err, out)
		}
	}
}

// TestCompletionsOfFreeBSD has init alone.
func TestCompletionsOfFreeBSD(t *testing.T) {
	dir, _ := completionFiles(t, Platform{"freebsd", "amd64"})
	files, err := filepath.Glob(dir + "/share/*/*/*")
	if err != nil || len(files) != 3 {
		t.Errorf("files: %q, %v, want three for krunbox", files, err)
	}
}

package docs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/guestroot"
)

const source = "../.."

// starts are the first words of commands. A block of code whose first line begins with another word
// has no commands.
var starts = []string{
	"make", "cd", "env", "krunbox", "build/krunbox", "build/krunhost", "qemu-system-x86_64", "podman",
}

// others are the first words of blocks of code that have no commands: messages, and source text. A
// block that begins with neither these nor those above is an error, so that no command is missed.
var others = []string{
	"krunbox:", "dhcpclient:", "Kernel", "krun_disable_implicit_init(ctx);", "binary,", "interface",
}

// notRun are commands that can't be run here, or are run by another test, with the reason.
var notRun = map[string]string{
	"make test": "runs this test",
	`make -C ../libkrun KRUN_INIT_BINARY_PATH="$PWD/build/init.krun" BLK=1 NET=1`:      "needs libkrun's sources and Rust",
	"podman run --rm --annotation run.oci.handler=krun docker.io/library/busybox true": "needs KVM, podman and libkrun",
}

// byHand are exit codes other than 0 of commands that are for the inside of a guest.
var byHand = map[string]string{
	"krunbox krun-timesync -n": "1", // the machine of krunhost has no vsock: no datagram has come
}

// blocks returns the blocks of indented or fenced code in a document, without comments. A line that
// ends in a backslash is joined with the next one.
func blocks(text string) (all [][]string) {
	var block []string
	fenced := false
	end := func() {
		if block != nil {
			all = append(all, block)
		}
		block = nil
	}
	text = regexp.MustCompile(`\\\n *`).ReplaceAllString(text, "")
	for line := range strings.Lines(text) {
		code, indented := strings.CutPrefix(line, "    ")
		switch {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
			end()
			continue
		case !fenced && !indented:
			if strings.TrimSpace(line) != "" {
				end()
			}
			continue
		}
		code, _, _ = strings.Cut(code, " # ")
		if code = strings.TrimSpace(code); code != "" {
			block = append(block, code)
		}
	}
	end()
	return all
}

func TestBlocks(t *testing.T) {
	got := blocks("text\n\n    make a  # comment\n    b \\\n        c\n\ntext\n- item\n\n    krunbox: x\n\n```sh\nd\n```\n    e\n")
	want := [][]string{{"make a", "b c"}, {"krunbox: x"}, {"d"}, {"e"}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("blocks() = %q, want %q", got, want)
	}
}

// commands returns the commands in README and in the documents, each once, in their order.
func commands(t *testing.T) (all []string) {
	t.Helper()
	names, err := filepath.Glob(source + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append([]string{source + "/README.md"}, names...) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range blocks(string(text)) {
			first, _, _ := strings.Cut(block[0], " ")
			switch {
			case slices.Contains(starts, first):
			case slices.Contains(others, first):
				continue
			default:
				t.Errorf("%s: %q begins neither a block of commands nor of other code that this test knows", name, block[0])
				continue
			}
			for _, line := range block {
				if !slices.Contains(all, line) {
					all = append(all, line)
				}
			}
		}
	}
	return all
}

// clone copies the files of the repository to a new directory that is one.
func clone(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	sh(t, source, `git ls-files -co --exclude-standard -z | tar -c --null --ignore-failed-read -T - | tar -x -C "$1"`, dir)
	sh(t, dir, `git init -q && git add -A && git -c user.name=test -c user.email=test commit -qm copy`)
	return dir
}

// sh runs a script of the test itself.
func sh(t *testing.T, dir, script string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{"-euo", "pipefail", "-c", script, "bash"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v, %s", script, err, out)
	}
}

// prepare makes the files that commands name and that the reader has.
func prepare(t *testing.T, dir string) {
	t.Helper()
	sh(t, dir, "cp pkg/guestconfig/testdata/oci.json config.json")
	root := dir + "/rootfs"
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := guestroot.Create(t.Context(), "amd64", root); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/etc/os-release", []byte("ID=test\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := diskimage.Create(dir+"/root.ext4", diskimage.FileSystem{Type: "ext4", Dir: root}); err != nil {
		t.Fatal(err)
	}
	// The same contents each time: krunhost keeps images in the cache, by their digest.
	sh(t, root, `tar --numeric-owner --sort=name --mtime=@0 -cf "$1" .`, dir+"/layer.tar")
	saveImage(t, dir+"/nginx.tar", dir+"/layer.tar")
}

// saveImage writes an image of a layer as docker save does. Its program ends at once.
func saveImage(t *testing.T, path, layer string) {
	t.Helper()
	l, err := tarball.LayerFromFile(layer)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: "linux", Architecture: "amd64", Config: v1.Config{Entrypoint: []string{"/bin/true"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.AppendLayers(img, l); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("nginx:test")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(path, tag, img); err != nil {
		t.Fatal(err)
	}
}

// typed runs a command as a user types it, and returns its output.
func typed(t *testing.T, dir, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", command)
	cmd.Dir = dir
	for _, entry := range os.Environ() { // make exports its variables
		if !strings.HasPrefix(entry, "MAKE") && !strings.HasPrefix(entry, "CMD=") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	cmd.WaitDelay = time.Second
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
	t.Logf("%5.1f s: %s", time.Since(start).Seconds(), command)
	return string(out)
}

// TestCommands runs the commands, in a clean copy of the repository.
func TestCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("builds krunbox, and boots guests")
	}
	t.Parallel()
	dir := clone(t)
	prepare(t, dir)
	const stage = "/tmp/stage" // where README installs
	if _, err := os.Lstat(stage); errors.Is(err, fs.ErrNotExist) {
		t.Cleanup(func() { os.RemoveAll(stage) })
	}
	left := map[string]bool{}
	for command := range notRun {
		left[command] = true
	}
	var inGuest []string
	all := commands(t)
	// README begins with make run; others need what make build makes.
	for _, command := range append([]string{"make build krunhost"}, all...) {
		switch {
		case notRun[command] != "":
			delete(left, command)
			if args, ok := strings.CutPrefix(command, "make "); ok && !strings.HasPrefix(args, "-C") {
				typed(t, dir, "make --dry-run "+args) // at least, make knows it
			}
		case strings.HasPrefix(command, "krunbox "):
			inGuest = append(inGuest, command)
		case strings.HasPrefix(command, "qemu-system-x86_64 "):
			atConsole(t, dir, command)
		default:
			typed(t, dir, command)
		}
	}
	for command := range left {
		t.Errorf("%q is in no document any more", command)
	}
	guest(t, dir, inGuest)
}

// atConsole runs a command that boots a machine with a shell at its console. It types a line at the prompt,
// after which the machine is to end.
func atConsole(t *testing.T, dir, command string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", "exec "+command)
	cmd.Dir = dir
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var out []byte
	typed := false
	for buf := make([]byte, 4096); ; {
		n, err := stdout.Read(buf)
		out = append(out, buf[:n]...)
		if !typed && bytes.HasSuffix(out, []byte("# ")) {
			typed = true
			if _, err := io.WriteString(stdin, "echo $((6*7)); exit\r"); err != nil {
				t.Error(err)
			}
		}
		if err != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil || !bytes.Contains(out, []byte("\n42\r\n")) {
		t.Errorf("%s: %v; console:\n%s", command, err, out)
	}
}

// guest runs the commands that are for the inside of a guest.
func guest(t *testing.T, dir string, commands []string) {
	t.Helper()
	script := ""
	for _, command := range commands {
		script += command + " >/out 2>&1; echo \"$? " + command + "\"; cat /out >&2\n"
	}
	out := typed(t, dir, "build/krunhost --net --env KRUN_DEBUG=1 --env KRUN_DHCP_TIMEOUT_MS=20000 --file /bin/krunbox=build/krunbox -- sh -c '"+script+"'")
	for _, command := range commands {
		want := "0"
		if code := byHand[command]; code != "" {
			want = code
		}
		if !strings.Contains("\n"+out, "\n"+want+" "+command+"\n") {
			t.Errorf("in the guest, %s does not end with exit code %s:\n%s", command, want, out)
		}
	}
	if len(commands) < 5 {
		t.Errorf("commands for the guest: %q, want those of README", commands)
	}
}

// TestTargets checks that make has the targets that texts mention.
func TestTargets(t *testing.T) {
	for _, name := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/hosts.md", "docs/contract.md"} {
		text, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile("`make ([a-z-]+)").FindAllStringSubmatch(string(text), -1) {
			cmd := exec.CommandContext(t.Context(), "make", "--question", "--file=Makefile", match[1])
			cmd.Dir = source
			var ended *exec.ExitError // 1: it would do something
			if err := cmd.Run(); errors.As(err, &ended) && ended.ExitCode() > 1 {
				t.Errorf("%s mentions make %s, which does not exist", name, match[1])
			}
		}
	}
}

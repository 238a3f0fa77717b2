package image

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// usual are commands with common options that work in an image.
const usual = `cat f; chmod 644 f; chmod u+x f; cp -r d d2; cp -f f f2; date -u; date +%s; date +%F; date -d @0; df; df -m;
dd if=f of=f3 bs=1 count=2; du -s d; du -a d; echo -n a; find . -name f; find . -type d; free -h; free -m;
grep -E a|b f; grep -ci A f; grep -rn a d f; head -1 f; head -n 1 f; hexdump f; hostname; hostname -s; id; id -u;
id -u -n; ip addr; ip a show lo; ip -s link; ip r; ln -s f l; ln -s -f f l; ls -la; ls -lh; ls -R; ls -d .; mkdir -p a/b;
mkdir -m 700 m; more f; mount; mv f2 f4; netstat -rn; ps; ps aux; ps -A; pwd; readlink -f l; rm -rf d2; rm f3;
sleep 0.01; sort -n f; sort -r f; sort -u f; sync; tail -1 f; tail -n +2 f; tee -a t; touch t; tr a-z A-Z; tr -d a; true;
uname -a; uname -r; uname -s -r; uptime; wc f; wc -l f; which ls; xargs -n 1 echo`

// usualCommands runs commands of the default image, a compressed cpio archive: those above, which
// work, and those that README says fail.
func usualCommands(t *testing.T, archive string) {
	if os.Getuid() != 0 {
		t.Skip("root only: runs commands as another user")
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(readme), "These fail: ")
	text, _, ended := strings.Cut(text, ". ")
	if !found || !ended {
		t.Fatal("README does not say which commands fail")
	}
	root := "/tmp/" // of the user who runs the commands, too
	if root, err = os.MkdirTemp(root, "krunbox-usual-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	unpack := exec.CommandContext(t.Context(), "sh", "-c", `mkdir image && cd image && gzip -dc "$1" | cpio -id --quiet 'bin/*'`, "sh", archive)
	unpack.Dir = root
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("unpack the image: %v, %s", err, out)
	}
	work := root + "/work"
	if err := os.MkdirAll(work+"/d", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(work+"/f", []byte("b\na\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{root, work, work + "/d", work + "/f"} {
		if err := os.Chown(name, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	command := func(line string) error {
		args := strings.Fields(line)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, root+"/image/bin/"+args[0], args[1:]...)
		cmd.Dir = work
		cmd.Env = []string{"PATH=" + root + "/image/bin"}
		cmd.Stdin = strings.NewReader("a\n")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		output, err := cmd.CombinedOutput()
		if strings.Contains(string(output), "Usage") { // some end with 0
			return errors.New("usage")
		}
		return err
	}
	for line := range strings.SplitSeq(usual, ";") {
		if err := command(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	for _, match := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		for option := range strings.FieldsSeq(match[1]) {
			name, _, _ := strings.Cut(match[1], " ")
			if option == name {
				continue
			}
			if command(name+" "+option+" f") == nil {
				t.Errorf("README: %s %s fails; it does not", name, option)
			}
		}
	}
}

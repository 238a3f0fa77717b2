package software

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/vm"
)

var opensshRoot = root{
	Name:     "openssh",
	Packages: []string{"openssh-server", "openssh-client"},
	Users: []string{
		"sshd:x:100:100::/run/sshd:/usr/sbin/nologin",
		"demo:x:1000:1000::/home/demo:/bin/bash",
	},
	Modes: []mode{
		{"run/sshd", 0o755, 0},
		{"home/demo", 0o755, 1000},
		{"home/demo/.ssh", 0o700, 1000},
	},
	Files: map[string]string{
		"etc/ssh/sshd_config": `UsePAM yes
PasswordAuthentication no
Subsystem sftp /usr/lib/openssh/sftp-server
`,
		"entrypoint.sh": `#!/bin/sh
set -e
ssh-keygen -A >/dev/null
exec "$@"
`,
	},
}

var opensshImage = image{
	Entrypoint: []string{"/entrypoint.sh"},
	Cmd:        []string{"/usr/sbin/sshd", "-D", "-e"},
}

// sshKey makes a key for the client and adds it to those of the user demo. It returns the path of
// the private key.
func sshKey(t *testing.T, cfg *vm.Config) string {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	keygen := opensshRoot.command(t, "usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	if output, err := keygen.CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, output)
	}
	cfg.Files = append(cfg.Files, hostfs.File{Path: "/home/demo/.ssh/authorized_keys", Source: key + ".pub"})
	return key
}

// TestOpenSSH connects to the server from the host.
func TestOpenSSH(t *testing.T) {
	t.Parallel()
	cfg := opensshRoot.machine(t, opensshImage.withControl())
	key := sshKey(t, &cfg)
	g := startServer(t, cfg)
	g.stderr.wait(t, "Server listening on 0.0.0.0 port 22.")
	host, port := g.forward(22)
	ssh := func(args ...string) *exec.Cmd {
		options := []string{
			"-F", "none", "-i", key, "-p", port, "-o", "StrictHostKeyChecking=no",
			"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "demo@" + host,
		}
		return opensshRoot.command(t, "usr/bin/ssh", append(options, args...)...)
	}

	// Without a terminal: data through a command, and its exit code.
	data := strings.Repeat("0123456789\n", 100000)
	pass := ssh("sha256sum; exit 5")
	pass.Stdin = strings.NewReader(data)
	output, err := pass.CombinedOutput()
	if want := fmt.Sprintf("%x  -\n", sha256.Sum256([]byte(data))); string(output) != want {
		t.Errorf("ssh sha256sum prints %q, want %q", output, want)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 5 {
		t.Errorf("ssh sha256sum = %v, want exit status 5", err)
	}

	// A login shell on a terminal with the size of the user's.
	shell := ssh()
	terminal := startOnTerminal(t, shell, 33, 111)
	terminal.enter("PS1=READY:; tty; stty size; id -un\n")
	terminal.wait("/dev/pts/0\r\n33 111\r\ndemo\r\n")
	terminal.wait("READY:")
	terminal.enter("sh -c 'echo up; exec sleep 1000'\n")
	terminal.wait("up\r\n")
	terminal.enter("\x03")
	terminal.wait("^C")
	terminal.wait("READY:")
	terminal.enter("exit 7\n")
	err = terminal.end()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 7 {
		t.Errorf("ssh with a terminal = %v, want exit status 7", err)
	}
	g.exec("kill -TERM 1")
	g.wantExit(0)
	wantLines(t, g.stderr.String(), "Accepted publickey for demo", "Received signal 15; terminating.")
}

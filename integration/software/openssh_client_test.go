//go:build software

package software

import (
	"testing"

	"github.com/krunbox/krunbox/integration/hostfs"
)

// TestOpenSSHClient uses the client on the guest's terminal.
func TestOpenSSHClient(t *testing.T) {
	t.Parallel()
	i := opensshImage
	i.Cmd = []string{"sh", "-c", "/usr/sbin/sshd && cp /key /tmp && chmod 600 /tmp/key && exec ssh -i /tmp/key demo@localhost"}
	i.Env = []string{"TERM=xterm"}
	cfg := opensshRoot.machine(t, i)
	key := sshKey(t, &cfg)
	cfg.Files = append(cfg.Files, hostfs.File{Path: "/key", Source: key})
	g := startTerminal(t, cfg)
	g.console.wait(t, "Are you sure you want to continue connecting (yes/no/[fingerprint])? ")
	g.enter("yes\r")
	g.console.wait(t, "$ ")
	g.enter("PS1=READY:; tty; stty size; echo $TERM\r")
	g.console.wait(t, "/dev/pts/0\r\n24 80\r\nxterm\r\n")
	g.console.wait(t, "READY:")
	g.enter("sh -c 'echo up; exec sleep 1000'\r")
	g.console.wait(t, "up\r\n")
	g.enter("\x1a") // Ctrl-Z
	g.console.wait(t, "Stopped")
	g.console.wait(t, "READY:")
	g.enter("disown %1; exit 7\r")
	g.console.wait(t, "Connection to localhost closed.")
	g.wantExit(7)
}

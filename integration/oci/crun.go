// Package oci runs containers by crun, the runtime that krunbox's workloads are compared with.
//
// A container runs in namespaces of its own, below others that separate crun from this machine: whatever crun mounts or
// leaves behind is gone with them. It needs root, and the programs of integration/deps.sh.
package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/cache"
)

// enter is executed in new namespaces, with a /proc that fits them, and executes crun. Hybrid control groups, which some
// machines have, are not for crun.
const enter = `[ $$ -eq 1 ] && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"`

// Run runs the container of a bundle (a directory with config.json and the root file system), and returns what it has put
// out, the output of crun included, and its exit code, 128 and more if a signal ended it. With terminal, which must be what
// the configuration has, the output is that of the terminal.
func Run(ctx context.Context, bundle string, terminal bool) (output []byte, code int, err error) {
	crun, err := cache.Command("crun", "crun")
	if err != nil {
		return nil, 0, err
	}
	args := []string{"--mount", "--mount-proc", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child",
		"sh", "-c", enter, "sh", crun.Path, "--root", filepath.Join(bundle, "state"), "--cgroup-manager=disabled",
		"run", "--bundle", bundle}
	var console *net.UnixListener
	if terminal {
		socket := filepath.Join(bundle, "console")
		if console, err = net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"}); err != nil {
			return nil, 0, err
		}
		defer console.Close()
		args = append(args, "--console-socket", socket)
	}
	var text bytes.Buffer
	cmd := exec.CommandContext(ctx, "unshare", append(args, filepath.Base(bundle))...)
	cmd.Env = crun.Env
	stdin, err := cmd.StdinPipe() // an end that is a pipe, as the others
	if err != nil {
		return nil, 0, err
	}
	defer stdin.Close()
	cmd.Stdout, cmd.Stderr = &text, &text
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	shown := make(chan []byte, 1)
	if terminal {
		go func() { shown <- readTerminal(console) }()
	}
	err = cmd.Wait()
	output = text.Bytes()
	if terminal {
		console.Close() // of a container that has not started
		output = append(output, <-shown...)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return output, exit.ExitCode(), nil
	}
	if err != nil {
		return output, 0, fmt.Errorf("crun: %w", err)
	}
	return output, 0, nil
}

// readTerminal accepts the terminal that crun sends, and reads what is shown there until the container has ended.
func readTerminal(console *net.UnixListener) []byte {
	conn, err := console.AcceptUnix()
	if err != nil {
		return nil
	}
	defer conn.Close()
	data, control := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(data, control)
	if err != nil {
		return []byte(err.Error())
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return []byte("no terminal from crun")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return []byte("no terminal from crun")
	}
	terminal := os.NewFile(uintptr(fds[0]), "terminal")
	defer terminal.Close()
	shown, _ := io.ReadAll(terminal) // EIO is the end
	return shown
}

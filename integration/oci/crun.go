// Package oci runs containers with crun, the container runtime with which krunbox is compared.
//
// Each run of crun has its own namespaces, so that its mounts and processes disappear with them.
// The namespaces of the container are within these. The package requires root and the programs that
// integration/deps.sh installs.
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

// enter is a shell script that executes crun. It runs in new namespaces with their own /proc, and
// mounts cgroup2, because crun does not support the hybrid hierarchy of some machines.
const enter = `[ $$ -eq 1 ] && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"`

// Run runs the container of bundle, a directory with config.json and the root file system. It
// returns the output of the container and of crun, and the container's exit code, which is 128+N if
// signal N ended the container. terminal must be the value of process.terminal in the
// configuration; if it is true, the output includes that of the terminal. Run fails if crun cannot
// be run or is killed.
func Run(ctx context.Context, bundle string, terminal bool) (output []byte, code int, err error) {
	crun, err := cache.Command("crun", "crun")
	if err != nil {
		return nil, 0, err
	}
	args := []string{
		"--mount", "--mount-proc", "--pid", "--net", "--uts", "--ipc", "--cgroup",
		"--fork", "--kill-child",
		"sh", "-c", enter, "sh",
		crun.Path, "--root", filepath.Join(bundle, "state"), "--cgroup-manager=disabled",
		"run", "--bundle", bundle,
	}
	var console *net.UnixListener
	if terminal {
		socket := filepath.Join(bundle, "console")
		console, err = net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
		if err != nil {
			return nil, 0, err
		}
		defer console.Close()
		args = append(args, "--console-socket", socket)
	}
	var text bytes.Buffer
	cmd := exec.CommandContext(ctx, "unshare", append(args, filepath.Base(bundle))...)
	cmd.Env = crun.Env
	stdin, err := cmd.StdinPipe() // a pipe, like the standard output and error
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
		console.Close() // ends readTerminal if the container has not started
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

// readTerminal receives the terminal from crun and returns its output, after the container has
// ended. If it fails, it returns the error's text.
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
		return []byte("crun has sent no terminal")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return []byte("crun has sent no terminal")
	}
	terminal := os.NewFile(uintptr(fds[0]), "terminal")
	defer terminal.Close()
	shown, _ := io.ReadAll(terminal) // reading ends with EIO
	return shown
}

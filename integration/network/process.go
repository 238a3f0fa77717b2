package network

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/krunbox/krunbox/internal/cache"
)

// startTimeout is the maximum time until a server is ready.
const startTimeout = 20 * time.Second

// server returns a command that runs one of the servers that integration/deps.sh installs.
func server(program string, args ...string) (*exec.Cmd, error) {
	return cache.Command("servers", program, args...)
}

// A process is a running server.
type process struct {
	cmd    *exec.Cmd
	output output
	ended  chan error // receives the result of Wait
}

// start starts a command in the namespace and returns when it has printed ready. The command is
// killed when this process ends. start fails if the command ends, is not ready in time, or ctx
// ends.
func (ns *namespace) start(ctx context.Context, cmd *exec.Cmd, ready string, log io.Writer) (*process, error) {
	name := filepath.Base(cmd.Path)
	p := &process{cmd: cmd, ended: make(chan error, 1)}
	p.output = output{log: log, ready: []byte(ready), isReady: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	started := make(chan struct{})
	go func() {
		// The kernel sends Pdeathsig when the thread that started the process ends. So this thread
		// waits until the process has ended.
		err := ns.do(func() error {
			if err := cmd.Start(); err != nil {
				return err
			}
			close(started)
			return cmd.Wait()
		})
		p.ended <- err
	}()

	notReady := fmt.Errorf("not ready within %v", startTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, notReady)
	defer cancel()
	select {
	case <-p.output.isReady:
		return p, nil
	case err := <-p.ended:
		return nil, fmt.Errorf("%s: %w\n%s", name, err, p.output.bytes())
	case <-ctx.Done():
		select {
		case <-started:
			p.stop()
		case <-p.ended:
		}
		return nil, fmt.Errorf("%s: %w\n%s", name, context.Cause(ctx), p.output.bytes())
	}
}

// stop kills the process. It returns an error if the process has ended before.
func (p *process) stop() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s has ended: %v\n%s",
			filepath.Base(p.cmd.Path), p.cmd.ProcessState, p.output.bytes())
	default:
	}
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // the group, because radvd has a child
	<-p.ended
	return nil
}

// output is a Writer that keeps the output of a process and waits for a text in it.
type output struct {
	log io.Writer // receives a copy; may be nil

	mu      sync.Mutex
	buf     bytes.Buffer
	ready   []byte
	isReady chan struct{} // closed when ready is in buf
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.log != nil {
		o.log.Write(p)
	}
	had := bytes.Contains(o.buf.Bytes(), o.ready)
	o.buf.Write(p)
	if !had && bytes.Contains(o.buf.Bytes(), o.ready) {
		close(o.isReady)
	}
	return len(p), nil
}

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(bytes.TrimSpace(o.buf.Bytes()))
}

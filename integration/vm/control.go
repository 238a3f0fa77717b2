package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Control is a connection to the QEMU of a running machine, in its control protocol (QMP):
//
//	control, err := vm.NewControl()
//	...
//	defer control.Close()
//	control.AddTo(&cfg)
//	go vm.Run(ctx, cfg)
//	err = control.Stop(ctx)     // for the guest, no time passes from here
//	err = control.Continue(ctx) // to here: its clock is behind
type Control struct {
	qemu *os.File // QEMU's end

	mu     sync.Mutex
	conn   net.Conn
	dec    *json.Decoder
	inited bool // QEMU takes commands
}

// NewControl returns a Control for one machine.
func NewControl() (*Control, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	defer ours.Close() // FileConn has a duplicate
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	return &Control{qemu: theirs, conn: conn, dec: json.NewDecoder(conn)}, nil
}

// AddTo connects it to the machine of a configuration.
func (c *Control) AddTo(cfg *Config) {
	cfg.Devices = append(cfg.Devices, Device{
		Files: []*os.File{c.qemu},
		Args: func(fds []int) []string {
			return []string{
				"-chardev", fmt.Sprintf("socket,id=control,fd=%d", fds[0]),
				"-mon", "mode=control,chardev=control",
			}
		},
	})
}

// Close closes the connection. The machine must have stopped.
func (c *Control) Close() error {
	c.qemu.Close()
	return c.conn.Close()
}

// Stop stops the machine's CPUs, and the time in it, as if the host slept.
func (c *Control) Stop(ctx context.Context) error { return c.Execute(ctx, "stop", nil) }

// Continue lets the machine run again after Stop.
func (c *Control) Continue(ctx context.Context) error { return c.Execute(ctx, "cont", nil) }

// Execute has QEMU execute a command, and waits for its answer, and for QEMU to start before. If ctx ends first, the Control
// can't be used any more.
func (c *Control) Execute(ctx context.Context, command string, arguments map[string]any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })()
	if !c.inited {
		if err := c.execute("qmp_capabilities", nil); err != nil {
			return fmt.Errorf("QEMU: %w", err)
		}
		c.inited = true
	}
	if err := c.execute(command, arguments); err != nil {
		return fmt.Errorf("QEMU: %s: %w", command, err)
	}
	return nil
}

func (c *Control) execute(command string, arguments map[string]any) error {
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(c.conn).Encode(request); err != nil {
		return err
	}
	for { // the greeting and events come without being asked for
		var answer struct {
			Return *json.RawMessage
			Error  *struct{ Desc string }
		}
		err := c.dec.Decode(&answer)
		switch {
		case err != nil:
			return err
		case answer.Error != nil:
			return fmt.Errorf("%s", answer.Error.Desc)
		case answer.Return != nil:
			return nil
		}
	}
}

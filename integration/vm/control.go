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

// A Control is a connection to QEMU's control protocol (QMP) for one machine:
//
//	control, err := vm.NewControl()
//	...
//	defer control.Close()
//	control.AddTo(&cfg)
//	go vm.Run(ctx, cfg)
//	err = control.Stop(ctx)     // the guest's clocks stop
//	err = control.Continue(ctx) // they go on, behind the host's
type Control struct {
	qemu *os.File // QEMU's end

	mu     sync.Mutex
	conn   net.Conn
	dec    *json.Decoder
	inited bool // QEMU has left capabilities negotiation mode and accepts commands
}

// NewControl returns a Control for one machine. Add it to the configuration with AddTo.
func NewControl() (*Control, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	defer ours.Close() // FileConn duplicates it
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	return &Control{qemu: theirs, conn: conn, dec: json.NewDecoder(conn)}, nil
}

// AddTo adds the connection to the configuration of the machine.
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

// AddPowerKey adds a keyboard to the configuration of the machine. HoldPowerKey requires it.
func (c *Control) AddPowerKey(cfg *Config) {
	cfg.Devices = append(cfg.Devices, Device{Args: func([]int) []string {
		return []string{"-device", "virtio-keyboard-device"}
	}})
}

// HoldPowerKey presses the power key of the machine and does not release it. A guest whose kernel
// does not have the driver yet does not notice it. One that has noticed it does not notice another
// press, so HoldPowerKey can be called again and again.
func (c *Control) HoldPowerKey(ctx context.Context) error {
	key := map[string]any{"type": "qcode", "data": "power"}
	return c.Execute(ctx, "input-send-event", map[string]any{"events": []any{
		map[string]any{"type": "key", "data": map[string]any{"down": true, "key": key}},
	}})
}

// Close closes the connection. The machine must have stopped.
func (c *Control) Close() error {
	c.qemu.Close()
	return c.conn.Close()
}

// Stop stops the machine's CPUs and clocks, as if the host were suspended.
func (c *Control) Stop(ctx context.Context) error { return c.Execute(ctx, "stop", nil) }

// Continue resumes the machine after Stop.
func (c *Control) Continue(ctx context.Context) error { return c.Execute(ctx, "cont", nil) }

// Execute sends a QMP command with its arguments and waits for the reply. It waits for QEMU to
// start, too. It fails if QEMU rejects the command or ctx ends; after the latter, the Control is
// unusable.
func (c *Control) Execute(ctx context.Context, command string, arguments map[string]any) error {
	_, err := c.Query(ctx, command, arguments)
	return err
}

// Query is like Execute, and returns what QEMU replies.
func (c *Control) Query(ctx context.Context, command string, arguments map[string]any) (json.RawMessage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })()
	if !c.inited {
		if _, err := c.execute("qmp_capabilities", nil); err != nil {
			return nil, fmt.Errorf("QEMU: %w", err)
		}
		c.inited = true
	}
	reply, err := c.execute(command, arguments)
	if err != nil {
		return nil, fmt.Errorf("QEMU: %s: %w", command, err)
	}
	return reply, nil
}

func (c *Control) execute(command string, arguments map[string]any) (json.RawMessage, error) {
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(c.conn).Encode(request); err != nil {
		return nil, err
	}
	for { // QEMU also sends a greeting and events, which are skipped
		var answer struct {
			Return *json.RawMessage
			Error  *struct{ Desc string }
		}
		err := c.dec.Decode(&answer)
		switch {
		case err != nil:
			return nil, err
		case answer.Error != nil:
			return nil, fmt.Errorf("%s", answer.Error.Desc)
		case answer.Return != nil:
			return *answer.Return, nil
		}
	}
}

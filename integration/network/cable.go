package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A cable sets the link state of an interface by QEMU's control protocol (QMP).
type cable struct {
	nic  string   // QEMU's identifier of the interface
	qemu *os.File // QEMU's end of the connection
	conn net.Conn // the host's end of the connection

	used bool
	errs chan error // receives the joined errors of all replies after the last reply
}

func newCable() (*cable, error) {
	conn, qemu, err := connPair(unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	c := &cable{qemu: qemu, conn: conn, errs: make(chan error, 1)}
	go c.readAnswers()
	return c, nil
}

// set sends the command that sets the link state. It does not wait for the reply, because QEMU may
// not have started yet.
func (c *cable) set(up bool) error {
	enc := json.NewEncoder(c.conn)
	if !c.used {
		c.used = true
		if err := enc.Encode(map[string]any{"execute": "qmp_capabilities"}); err != nil {
			return fmt.Errorf("set link: %w", err)
		}
	}
	err := enc.Encode(map[string]any{
		"execute":   "set_link",
		"arguments": map[string]any{"name": c.nic, "up": up},
	})
	if err != nil {
		return fmt.Errorf("set link: %w", err)
	}
	return nil
}

// readAnswers reads QEMU's replies until all copies of QEMU's end are closed.
func (c *cable) readAnswers() {
	var errs []error
	dec := json.NewDecoder(c.conn)
	for {
		var answer struct {
			Error *struct{ Desc string }
		}
		if err := dec.Decode(&answer); err != nil {
			break
		}
		if answer.Error != nil {
			errs = append(errs, errors.New("set link: QEMU: "+answer.Error.Desc))
		}
	}
	c.errs <- errors.Join(errs...)
}

// close closes the connection and returns the errors that QEMU has reported. QEMU must have ended.
func (c *cable) close() error {
	c.qemu.Close() // the last copy, so that readAnswers returns
	err := <-c.errs
	c.conn.Close()
	return err
}

package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A cable tells QEMU, in its control protocol QMP, whether an interface has a link.
type cable struct {
	nic  string   // QEMU's identifier of the interface
	qemu *os.File // QEMU's end
	conn net.Conn // ours

	used bool
	errs chan error // the one that is first, when all answers are read
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

// set sends the command. It does not wait for QEMU, which may not even run yet.
func (c *cable) set(up bool) error {
	enc := json.NewEncoder(c.conn)
	if !c.used {
		c.used = true
		if err := enc.Encode(map[string]any{"execute": "qmp_capabilities"}); err != nil {
			return fmt.Errorf("set link: %w", err)
		}
	}
	err := enc.Encode(map[string]any{"execute": "set_link", "arguments": map[string]any{"name": c.nic, "up": up}})
	if err != nil {
		return fmt.Errorf("set link: %w", err)
	}
	return nil
}

// readAnswers runs until both ends are closed.
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

// close returns the errors of set that QEMU has reported.
func (c *cable) close() error {
	c.qemu.Close() // as QEMU is gone, this was the last one: readAnswers gets to the end
	err := <-c.errs
	c.conn.Close()
	return err
}

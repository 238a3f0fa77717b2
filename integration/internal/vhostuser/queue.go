package vhostuser

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// queue serves the requests of one virtqueue. Its methods must be called by the session's
// goroutine, except for run and the methods that run calls.
type queue struct {
	server *Server
	index  int
	slots  chan struct{} // contains one element for each request in flight
	fail   func(error)   // ends the session with an error

	size      uint16
	addresses ringAddresses
	nextAvail uint16 // initial value of ring.nextAvail
	kick      *os.File
	enabled   bool

	// State of a running queue.
	quit    chan struct{} // closed to make run return; nil if the queue is stopped
	stopped chan struct{} // closed when run has returned
	serving sync.WaitGroup

	mu   sync.Mutex // guards ring and call, which QEMU replaces while requests are in flight
	ring *ring      // nil if the queue is stopped
	call *os.File   // nil if the VMM has set no call descriptor
}

// setKick sets the eventfd by which the guest announces requests. The queue owns fd if setKick
// succeeds. It fails if fd is -1, which stands for polling.
func (q *queue) setKick(fd int) error {
	q.closeKick()
	if fd < 0 {
		return errors.New("polling without an eventfd is not supported")
	}
	if err := unix.SetNonblock(fd, true); err != nil { // needed for the deadline of Read
		return err
	}
	q.kick = os.NewFile(uintptr(fd), "kick")
	return nil
}

func (q *queue) closeKick() {
	if q.kick != nil {
		q.kick.Close()
		q.kick = nil
	}
}

// setCall sets the eventfd that notifies the guest of replies. The queue owns fd. If fd is -1, the
// guest is not notified.
func (q *queue) setCall(fd int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.call != nil {
		q.call.Close()
		q.call = nil
	}
	if fd >= 0 {
		q.call = os.NewFile(uintptr(fd), "call")
	}
}

// setMemory makes a running queue use a new mapping of the guest's memory. It fails if the mapping
// does not contain the ring.
func (q *queue) setMemory(m *memory) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ring == nil {
		return nil
	}
	r, err := newRing(m, q.size, q.addresses, q.ring.nextAvail)
	if err != nil {
		return err
	}
	q.ring.memory.release()
	q.ring = r
	return nil
}

// start starts the queue if it is configured and enabled and not running. It fails if m does not
// contain the ring.
func (q *queue) start(m *memory) error {
	if q.quit != nil || !q.enabled || q.kick == nil || q.size == 0 || m == nil {
		return nil
	}
	r, err := newRing(m, q.size, q.addresses, q.nextAvail)
	if err != nil {
		return err
	}
	q.mu.Lock()
	q.ring = r
	q.mu.Unlock()
	q.kick.SetReadDeadline(time.Time{})
	q.quit = make(chan struct{})
	q.stopped = make(chan struct{})
	go func() {
		defer close(q.stopped)
		if err := q.run(); err != nil {
			q.fail(err)
		}
	}()
	return nil
}

// stop stops the queue and waits until no requests are in flight. It fails if that takes longer
// than the server's drain timeout; the queue must not be started again then.
func (q *queue) stop() error {
	if q.quit == nil {
		return nil
	}
	close(q.quit)
	q.kick.SetReadDeadline(time.Unix(1, 0)) // in the past
	<-q.stopped
	q.quit = nil

	drained := make(chan struct{})
	go func() {
		q.serving.Wait()
		close(drained)
	}()
	var err error
	select {
	case <-drained:
	case <-time.After(q.server.drainTimeout):
		err = fmt.Errorf("requests still in flight after %v", q.server.drainTimeout)
	}

	q.mu.Lock()
	defer q.mu.Unlock()
	q.nextAvail = q.ring.nextAvail
	q.ring.memory.release()
	q.ring = nil
	return err
}

// close stops the queue and closes its file descriptors.
func (q *queue) close() error {
	err := q.stop()
	q.closeKick()
	q.setCall(-1)
	return err
}

// run serves requests from the ring until the queue is stopped.
func (q *queue) run() error {
	for {
		if err := q.serveAvailable(); err != nil {
			return err
		}
		var count [8]byte // required by eventfd(2)
		if _, err := q.kick.Read(count[:]); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			return fmt.Errorf("kick: %w", err)
		}
	}
}

// serveAvailable starts a goroutine for each request in the ring. It waits while as many requests
// are in flight as the device allows.
func (q *queue) serveAvailable() error {
	quit := q.quit
	for {
		select {
		case <-quit:
			return nil
		default:
		}
		select {
		case <-quit:
			return nil
		case q.slots <- struct{}{}:
		}
		c, m, err := q.pop()
		if c == nil {
			<-q.slots
			return err
		}
		q.serving.Go(func() {
			defer func() { <-q.slots }()
			defer m.release()
			if err := q.serve(c, quit); err != nil {
				q.fail(err)
			}
		})
	}
}

// pop takes a request from the ring. It returns the request with a reference to its memory, or nil
// if the ring is empty.
func (q *queue) pop() (*chain, *memory, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c, err := q.ring.pop()
	if c == nil {
		return nil, nil, err
	}
	return c, q.ring.memory.retain(), nil
}

// serve handles a request and writes the reply to the ring.
func (q *queue) serve(c *chain, quit <-chan struct{}) error {
	n, err := q.server.device.Handle(q.index, c.in.pieces, c.out.pieces, quit)
	if err != nil && err != ErrStopped {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ring == nil { // the drain timeout has expired
		return nil
	}
	if err == ErrStopped {
		q.ring.nextAvail-- // the request is handled again when the queue starts
		return nil
	}
	if !q.ring.push(c.head, n) || q.call == nil {
		return nil
	}
	if _, err := q.call.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		return fmt.Errorf("call: %w", err)
	}
	return nil
}

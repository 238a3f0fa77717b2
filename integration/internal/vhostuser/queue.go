package vhostuser

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// queue serves the requests of one virtqueue. Its methods, except run and serve, are called by one goroutine, the
// session's.
type queue struct {
	server *Server
	index  int
	slots  chan struct{} // holds one element for each request in flight
	fail   func(error)   // reports what ends the session

	size      uint16
	addresses ringAddresses
	nextAvail uint16 // where to start
	kick      *os.File
	enabled   bool

	// Of a running queue.
	quit    chan struct{} // closed to make run return; nil if the queue is stopped
	stopped chan struct{} // closed when run has returned
	serving sync.WaitGroup

	mu   sync.Mutex // guards what follows: QEMU replaces the call descriptor while requests are being served
	ring *ring      // nil if the queue is stopped
	call *os.File   // nil if the VMM wants no notifications
}

// setKick sets the eventfd on which the guest announces requests, and takes it over if there is no error. fd is -1 if
// the VMM has none.
func (q *queue) setKick(fd int) error {
	q.closeKick()
	if fd < 0 {
		return errors.New("polling without an eventfd is not supported")
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that a deadline ends Read
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

// setCall sets and takes over the eventfd on which the guest is notified of replies, -1 for none.
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

// setMemory moves a running queue to a new mapping of the guest's memory.
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

// start runs the queue if it is complete and enabled and not running yet.
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

// stop stops the queue and waits until no request is being served any more. If there is no error, it can be started
// again.
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
		err = fmt.Errorf("requests still being served after %v", q.server.drainTimeout)
	}

	q.mu.Lock()
	defer q.mu.Unlock()
	q.nextAvail = q.ring.nextAvail
	q.ring.memory.release()
	q.ring = nil
	return err
}

// close stops the queue for good.
func (q *queue) close() error {
	err := q.stop()
	q.closeKick()
	q.setCall(-1)
	return err
}

// run takes requests from the ring and has them served, until stop.
func (q *queue) run() error {
	for {
		if err := q.serveAvailable(); err != nil {
			return err
		}
		var count [8]byte // read(2) of an eventfd wants this much
		if _, err := q.kick.Read(count[:]); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			return fmt.Errorf("kick: %w", err)
		}
	}
}

// serveAvailable starts serving all requests in the ring.
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

// pop takes a request, nil if there is none, and a reference to the memory it is in.
func (q *queue) pop() (*chain, *memory, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c, err := q.ring.pop()
	if c == nil {
		return nil, nil, err
	}
	return c, q.ring.memory.retain(), nil
}

// serve replies to a request.
func (q *queue) serve(c *chain, quit <-chan struct{}) error {
	n, err := q.server.device.Handle(q.index, c.in.pieces, c.out.pieces, quit)
	if err != nil && err != ErrStopped {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ring == nil { // stopped without us
		return nil
	}
	if err == ErrStopped {
		q.ring.nextAvail-- // again when the queue starts
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

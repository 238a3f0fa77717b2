package vm

import (
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	backlog    = 64 << 20 // bytes kept for a slow Writer
	sendBuffer = 8 << 20  // bytes; more than a port's virtqueue can hold
)

// growSendBuffer makes the send buffer of a socket as large as this process may. QEMU drops what the guest writes to its
// console while the buffer is full.
func growSendBuffer(fd int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer) // cut to net.core.wmem_max
	}
}

// stream is a console or port: a connection to QEMU, and what its two directions are for.
type stream struct {
	what string // for messages
	conn *net.UnixConn
	in   io.Reader // copied to conn; may be nil
	out  io.Writer // gets what comes from conn

	// inEnd is whether the end of in is passed on.
	inEnd bool

	output  queue
	writing sync.WaitGroup
}

// start begins to copy in both directions, until QEMU ends. It calls fail with the errors of in and out.
func (s *stream) start(fail func(error)) {
	s.output.init()
	s.writing.Go(s.receive)
	s.writing.Go(func() {
		if err := s.write(); err != nil {
			fail(fmt.Errorf("output of the %s: %w", s.what, err))
		}
	})
	if s.in != nil {
		go func() {
			if err := s.send(); err != nil {
				fail(fmt.Errorf("input of the %s: %w", s.what, err))
			}
		}()
	}
}

// wait returns when all output is written. QEMU must have ended.
func (s *stream) wait() {
	s.writing.Wait()
}

// receive queues what the guest writes.
func (s *stream) receive() {
	defer s.output.close()
	buf := make([]byte, 64<<10)
	for {
		n, err := s.conn.Read(buf)
		s.output.put(buf[:n])
		if err != nil {
			return // QEMU is gone
		}
	}
}

// write writes what was queued.
func (s *stream) write() error {
	for {
		data := s.output.take()
		if data == nil {
			return nil
		}
		if _, err := s.out.Write(data); err != nil {
			s.output.close()
			return err
		}
	}
}

// send copies input to the guest.
func (s *stream) send() error {
	buf := make([]byte, 64<<10)
	for {
		n, err := s.in.Read(buf)
		if n > 0 {
			if _, err := s.conn.Write(buf[:n]); err != nil {
				return nil // QEMU is gone
			}
		}
		switch {
		case err == io.EOF:
			if s.inEnd {
				// Not Close: QEMU would drop what it has not read yet.
				s.conn.CloseWrite()
			}
			return nil
		case err != nil:
			return err
		}
	}
}

// queue is a buffer of bytes between two goroutines.
type queue struct {
	mu      sync.Mutex
	changed sync.Cond
	data    []byte
	closed  bool
}

func (q *queue) init() {
	q.changed.L = &q.mu
}

// put adds a copy of p, after waiting for room. A closed queue drops it.
func (q *queue) put(p []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.data) >= backlog && !q.closed {
		q.changed.Wait()
	}
	if !q.closed {
		q.data = append(q.data, p...)
		q.changed.Broadcast()
	}
}

// take returns everything in the queue, after waiting for something to be there. It returns nil when the queue is empty
// and closed.
func (q *queue) take() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.data) == 0 && !q.closed {
		q.changed.Wait()
	}
	data := q.data
	q.data = nil
	q.changed.Broadcast()
	return data
}

// close ends the queue. What is in it can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}

package vm

import (
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	backlog    = 64 << 20 // maximum bytes buffered for a slow Writer
	sendBuffer = 8 << 20  // bytes; more than a port's virtqueue can hold
)

// growSendBuffer sets the send buffer of a socket to sendBuffer bytes, or as many as this process
// is allowed. QEMU drops the guest's console output while the buffer is full.
func growSendBuffer(fd int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
		// The kernel caps it at net.core.wmem_max.
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
	}
}

// stream connects a console or port of the guest to a Reader and a Writer.
type stream struct {
	what string // name in error messages
	conn *net.UnixConn
	in   io.Reader // copied to conn; may be nil
	out  io.Writer // receives what is read from conn

	// unread is whether nobody reads from conn.
	unread bool

	// inEnd is whether the guest sees the end of in.
	inEnd bool

	output  queue
	writing sync.WaitGroup
}

// start starts copying in both directions, which goes on until QEMU ends. It passes errors of in
// and out to fail.
func (s *stream) start(fail func(error)) {
	s.output.init()
	if !s.unread {
		s.writing.Go(s.receive)
		s.writing.Go(func() {
			if err := s.write(); err != nil {
				fail(fmt.Errorf("output of the %s: %w", s.what, err))
			}
		})
	}
	if s.in != nil {
		go func() {
			if err := s.send(); err != nil {
				fail(fmt.Errorf("input of the %s: %w", s.what, err))
			}
		}()
	}
}

// wait waits until all output is written. QEMU must have ended.
func (s *stream) wait() {
	s.writing.Wait()
}

// receive reads the guest's output into the queue until QEMU ends.
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

// write writes the contents of the queue to out until the queue is closed. It returns the error of
// out.
func (s *stream) write() error {
	for {
		data := s.output.take()
		if data == nil {
			return nil
		}
		if _, err := s.out.Write(data); err != nil {
			s.output.close()
			if err == ErrClosePort {
				s.conn.Close()
				return nil
			}
			return err
		}
	}
}

// send copies in to the guest. It returns the error of in.
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
				// After Close, QEMU would drop the input that it has not read yet.
				s.conn.CloseWrite()
			}
			return nil
		case err != nil:
			return err
		}
	}
}

// queue is a buffer of up to backlog bytes between two goroutines.
type queue struct {
	mu      sync.Mutex
	changed sync.Cond
	data    []byte
	closed  bool
}

func (q *queue) init() {
	q.changed.L = &q.mu
}

// put appends a copy of p. It waits while the queue is full. A closed queue drops p.
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

// take removes and returns the contents of the queue. It waits while the queue is empty, and
// returns nil if the queue is empty and closed.
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

// close makes put drop data. Data that is in the queue can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}

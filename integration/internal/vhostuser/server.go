// Package vhostuser implements the back-end of a virtio device. A device of QEMU, such as
// vhost-user-fs-device, connects to it over a Unix socket.
//
//	guest kernel --virtqueue in shared memory--> Server --> Device.Handle
//	QEMU         --vhost-user messages---------> Server
//
// The package implements the parts of the vhost-user protocol
// (https://qemu.org/docs/master/interop/vhost-user.html) that QEMU uses for such devices, and split
// virtqueues (virtio 1.2, section 2.7) with indirect descriptors, without the event index.
//
// The VMM is trusted. The guest is not: if it writes invalid data to its queues, Serve returns an
// error.
//
// The host must be little-endian.
package vhostuser

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Device describes a virtio device.
type Device struct {
	Queues   int    // number of virtqueues
	InFlight int    // maximum number of requests of a queue that are handled at once, at least 1
	Config   []byte // configuration space; if it is empty, the VMM cannot read it

	// Handle handles a request of the guest in a queue. It reads the request from the buffers in,
	// writes the reply to the buffers out, and returns the size of the reply in bytes. Each call
	// has its own goroutine and may block. stop is closed when the queue stops. If Handle then
	// returns ErrStopped, it is called with the request again when the queue starts; this requires
	// that InFlight is 1. Other errors end Serve.
	Handle func(queue int, in, out [][]byte, stop <-chan struct{}) (written int, err error)
}

// ErrStopped is the error of Device.Handle for a request that it has not handled.
var ErrStopped = errors.New("the queue has stopped")

// Server is a device for one VMM. Create it with New.
type Server struct {
	device Device

	drainTimeout time.Duration // maximum time that a stopping queue waits for requests in flight

	mu      sync.Mutex
	closed  bool
	closers []io.Closer   // closed by Close, to make Serve return
	done    chan struct{} // closed when Serve has returned; nil before Serve is called
}

// New returns a server for a device.
func New(d Device) *Server {
	return &Server{device: d, drainTimeout: 5 * time.Second}
}

// Serve accepts one VMM on l, closes l, and serves the VMM until it disconnects or Close is called;
// then it returns nil. It fails if the socket fails, the VMM violates the vhost-user protocol, the
// guest writes invalid data to a virtqueue, or Handle fails; then it closes the connection. Either
// Serve or ServeConn may be called, once.
func (s *Server) Serve(l *net.UnixListener) error {
	return s.serve(l, func() error {
		conn, err := l.AcceptUnix()
		if err != nil {
			return err
		}
		l.Close()
		return s.serveConn(conn)
	})
}

// ServeConn is like Serve for a VMM that is already connected, for example by a socketpair. It
// closes conn.
func (s *Server) ServeConn(conn *net.UnixConn) error {
	return s.serve(conn, func() error { return s.serveConn(conn) })
}

// serve calls f and closes c. Close interrupts f by closing c.
func (s *Server) serve(c io.Closer, f func() error) error {
	defer c.Close()
	done := make(chan struct{})
	s.mu.Lock()
	started := s.done != nil
	if !started {
		s.done = done
	}
	s.mu.Unlock()
	if started {
		return errors.New("vhost-user: Serve was already called")
	}
	defer close(done)
	if !s.closeLater(c) {
		return nil
	}
	err := f()
	if s.isClosed() {
		return nil
	}
	return err
}

func (s *Server) serveConn(conn *net.UnixConn) error {
	if !s.closeLater(conn) {
		return nil
	}
	return newSession(s, conn).serve()
}

// closeLater makes Close close c. If Close was already called, closeLater closes c and returns
// false.
func (s *Server) closeLater(c io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return false
	}
	s.closers = append(s.closers, c)
	return true
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Close makes Serve return and waits for it. If Handle does not return, Close waits at most five
// seconds for each queue. It may be called at any time and more than once. It always returns nil.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	closers, done := s.closers, s.done
	s.closers = nil
	s.mu.Unlock()

	for _, c := range closers {
		c.Close()
	}
	if done != nil {
		<-done
	}
	return nil
}

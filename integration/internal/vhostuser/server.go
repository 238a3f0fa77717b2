// Package vhostuser serves a virtio device: it is the vhost-user back-end that a device of QEMU connects to over a unix
// socket, such as vhost-user-fs-device.
//
//	guest kernel --virtqueue in shared memory--> Server --> Device.Handle
//	QEMU         --vhost-user messages---------> Server
//
// It implements what is needed here of the vhost-user protocol (https://qemu.org/docs/master/interop/vhost-user.html)
// and of split virtqueues (virtio 1.2, section 2.7): indirect descriptors, no event index. The VMM is trusted; the guest is
// not: whatever it writes into its queues ends in an error of Serve at worst.
//
// Hosts must be little-endian, as x86-64 and arm64 are.
package vhostuser

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Device is what makes a device different from others.
type Device struct {
	Queues   int
	InFlight int    // requests of a queue that are handled at once, at least 1; more of them wait in the guest's memory
	Config   []byte // the configuration space, for a VMM that asks for it

	// Handle serves a request that the guest made in a queue: it reads the buffers in, writes to the buffers out, and returns
	// how many bytes it has written. It is called by a goroutine of its own, and may wait: stop is closed when the queue
	// stops. If it returns ErrStopped then, the request is made again when the queue starts; InFlight must be 1 for that.
	// Other errors end Serve.
	Handle func(queue int, in, out [][]byte, stop <-chan struct{}) (written int, err error)
}

// ErrStopped is returned by Device.Handle for a request that it has not served.
var ErrStopped = errors.New("the queue has stopped")

// Server is a device for one VMM. Make it with New.
type Server struct {
	device Device

	drainTimeout time.Duration // how long a stopping queue waits for the requests in flight

	mu      sync.Mutex
	closed  bool
	closers []io.Closer   // what Close has to close to make Serve return
	done    chan struct{} // closed when Serve has returned; nil before it was called
}

// New returns a server for a device.
func New(d Device) *Server {
	return &Server{device: d, drainTimeout: 5 * time.Second} // they wait for nothing but this host
}

// Serve accepts one VMM on l, closes l, and serves the VMM until it disconnects or Close is called; both make it
// return nil. Other errors are those of the socket, of a VMM that breaks the vhost-user protocol, and of a guest that
// breaks its virtqueues; the connection is closed then. Serve and ServeConn may be called once in all.
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

// ServeConn is Serve for a VMM that is connected already, such as one started with one end of a socketpair. It closes
// conn.
func (s *Server) ServeConn(conn *net.UnixConn) error {
	return s.serve(conn, func() error { return s.serveConn(conn) })
}

// serve runs f, which Close interrupts by closing c.
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
		return errors.New("vhost-user: Serve was called before")
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

// closeLater leaves c to be closed by Close. If Close was called already, it closes c and returns false.
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

// Close ends Serve and waits for it to return, which takes at most a few seconds even if Handle hangs. It may
// be called at any time and more than once; it returns nil.
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

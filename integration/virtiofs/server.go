// Package virtiofs serves a go-fuse file system as a virtiofs device. It implements the vhost-user
// back-end to which QEMU's vhost-user-fs-device connects over a Unix socket.
package virtiofs

import (
	"io"
	"log"
	"sync"
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/krunbox/krunbox/integration/internal/vhostuser"
)

// Server is a virtiofs device for one VMM. Create it with New.
type Server struct {
	*vhostuser.Server
	protocol *fuse.ProtocolServer
	requests [opcodes]atomic.Uint64

	intercept Interceptor // nil: all requests are served

	mu    sync.Mutex
	paths map[uint64]string // of nodes, for intercept
}

// New returns a server for fsys. opts may be nil; the fields that are about mounting have no
// effect. Diagnostics go to opts.Logger, or are discarded if that is nil.
func New(fsys fuse.RawFileSystem, opts *fuse.MountOptions) *Server {
	var o fuse.MountOptions
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = log.New(io.Discard, "", 0)
	}
	s := &Server{protocol: fuse.NewProtocolServer(fsys, &o)}
	s.Server = vhostuser.New(vhostuser.Device{
		Queues:   2, // high priority, requests
		InFlight: 32,
		Handle: func(_ int, in, out [][]byte, stop <-chan struct{}) (int, error) {
			if s.intercept == nil {
				return s.handle(in, out)
			}
			return s.intercepted(in, out, stop, func() (int, error) { return s.handle(in, out) })
		},
	})
	return s
}

package virtiofs

import (
	"bytes"
	"encoding/binary"
	"path"
	"syscall"
	"time"
)

// A Request is what an Interceptor sees of a FUSE request.
type Request struct {
	Op Opcode

	// Path is the path, relative to the root, by which the guest last looked up the request's file.
	// For a request with a name, such as LOOKUP or CREATE, it is the path of that name. The root is ".".
	Path string
}

// An Answer is what an Interceptor does to a Request.
type Answer struct {
	After time.Duration // delay before the request is served
	Error syscall.Errno // what the request fails with; 0: it is served
}

// An Interceptor decides what happens to the requests of a guest, to simulate a host that is slow or
// fails. It is called for several requests at once. Requests that have no reply, and those that start
// and end the connection, are served in any case.
type Interceptor func(Request) Answer

// Opcodes of requests that have a name, besides LOOKUP, and of those that an Interceptor does not see.
const (
	OpMknod  Opcode = 8
	OpMkdir  Opcode = 9
	OpCreate Opcode = 35

	opForget, opInterrupt, opDestroy, opBatchForget Opcode = 2, 36, 38, 42
)

// Sizes of FUSE's structures, in bytes.
const (
	inHeader  = 40
	outHeader = 16
)

// nameOffset is where the names are in requests that have one, after the header.
var nameOffset = map[Opcode]int{OpLookup: 0, OpMknod: 16, OpMkdir: 8, OpCreate: 16}

// SetInterceptor makes f decide about the requests that follow. It must be called before the server
// serves.
func (s *Server) SetInterceptor(f Interceptor) {
	s.intercept, s.paths = f, map[uint64]string{rootNode: "."}
}

const rootNode = 1 // FUSE_ROOT_ID

// intercepted answers the request in the buffers in, unless serve is to answer it. Closing stop ends
// a delay.
func (s *Server) intercepted(in, out [][]byte, stop <-chan struct{}, serve func() (int, error)) (int, error) {
	request := flat(in, 1<<12)
	if len(request) < inHeader {
		return serve()
	}
	op := Opcode(binary.LittleEndian.Uint32(request[4:]))
	switch op {
	case opForget, opBatchForget, opInterrupt, opDestroy, OpInit:
		return serve()
	}
	answer := s.intercept(Request{Op: op, Path: s.path(op, request)})
	if answer.After > 0 {
		select {
		case <-time.After(answer.After):
		case <-stop:
		}
	}
	if answer.Error != 0 {
		reply := make([]byte, outHeader)
		binary.LittleEndian.PutUint32(reply, outHeader)
		binary.LittleEndian.PutUint32(reply[4:], uint32(-int32(answer.Error)))
		copy(reply[8:], request[8:16]) // the request's identifier
		return scatter(out, reply), nil
	}
	n, err := serve()
	if _, named := nameOffset[op]; named && err == nil {
		s.learn(s.path(op, request), flat(out, outHeader+8))
	}
	return n, err
}

// path returns the path of a request.
func (s *Server) path(op Opcode, request []byte) string {
	s.mu.Lock()
	at := s.paths[binary.LittleEndian.Uint64(request[16:])]
	s.mu.Unlock()
	if offset, named := nameOffset[op]; named && len(request) > inHeader+offset {
		name, _, _ := bytes.Cut(request[inHeader+offset:], []byte{0})
		return path.Join(at, string(name))
	}
	return at
}

// learn records at as the path of the node that a reply returns.
func (s *Server) learn(at string, reply []byte) {
	if len(reply) < outHeader+8 || binary.LittleEndian.Uint32(reply[4:]) != 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths[binary.LittleEndian.Uint64(reply[outHeader:])] = at
}

// flat returns up to limit bytes of buffers.
func flat(buffers [][]byte, limit int) []byte {
	var b []byte
	for _, buffer := range buffers {
		b = append(b, buffer[:min(len(buffer), limit-len(b))]...)
	}
	return b
}

// scatter copies b to buffers and returns how many bytes there was room for.
func scatter(buffers [][]byte, b []byte) (n int) {
	for _, buffer := range buffers {
		n += copy(buffer, b[n:])
	}
	return n
}

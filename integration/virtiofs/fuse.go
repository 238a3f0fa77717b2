package virtiofs

import (
	"encoding/binary"
	"fmt"
)

// Opcode is the number of a FUSE request (FUSE_* in linux/fuse.h).
type Opcode uint32

// Opcodes of requests whose number is of interest; see Server.Requests.
const (
	OpLookup  Opcode = 1
	OpGetattr Opcode = 3
	OpSetattr Opcode = 4
	OpOpen    Opcode = 14
	OpRead    Opcode = 15
	OpWrite   Opcode = 16
	OpRelease Opcode = 18
	OpFsync   Opcode = 20
	OpFlush   Opcode = 25
	OpInit    Opcode = 26
	OpReaddir Opcode = 28
	OpIoctl   Opcode = 39

	opcodes = 64 // greater than all opcodes of Linux
)

// Requests returns how many requests with the opcode op the guest has made. It returns 0 for
// opcodes of 64 and more, which are not counted.
func (s *Server) Requests(op Opcode) uint64 {
	if op >= opcodes {
		return 0
	}
	return s.requests[op].Load()
}

// handle serves the FUSE request in the buffers in, writes the reply to the buffers out, and
// returns its length, which is 0 for a request without a reply. It fails if go-fuse panics.
func (s *Server) handle(in, out [][]byte) (n int, err error) {
	// go-fuse recovers from panics of the file system, but not from its own ones in the parser.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("FUSE request: %v", r)
		}
	}()
	if op, ok := opcode(in); ok && op < opcodes {
		s.requests[op].Add(1)
	}
	// The status is EIO, and n is 0, for a request that is too malformed for a reply.
	n, _ = s.protocol.HandleRequest(in, out)
	return n, nil
}

// opcode returns the opcode in the struct fuse_in_header at the start of a request. It returns
// false if the request is too short.
func opcode(in [][]byte) (Opcode, bool) {
	const offset = 4 // of the opcode
	if len(in) == 0 || len(in[0]) < offset+4 {
		return 0, false
	}
	return Opcode(binary.LittleEndian.Uint32(in[0][offset:])), true
}

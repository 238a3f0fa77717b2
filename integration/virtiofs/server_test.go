package virtiofs

import (
	"bytes"
	"encoding/binary"
	"slices"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

const opStatfs Opcode = 17

// testFS is a file system with one file, node 2.
type testFS struct{ fuse.RawFileSystem }

func newTestFS() *testFS { return &testFS{fuse.NewDefaultRawFileSystem()} }

func (*testFS) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	out.Blocks = 4711
	return fuse.OK
}

func (*testFS) Read(_ <-chan struct{}, in *fuse.ReadIn, _ []byte) (fuse.ReadResult, fuse.Status) {
	return fuse.ReadResultData(bytes.Repeat([]byte{byte(in.Offset)}, int(in.Size))), fuse.OK
}

func (*testFS) Lookup(<-chan struct{}, *fuse.InHeader, string, *fuse.EntryOut) fuse.Status {
	panic("bug in Lookup")
}

// fuseRequest returns a request for node 2.
func fuseRequest(op Opcode, body any) []byte {
	b, err := binary.Append(nil, binary.LittleEndian, body)
	if err != nil {
		panic(err)
	}
	header := fuse.InHeader{Length: uint32(40 + len(b)), Opcode: uint32(op), Unique: 99, NodeId: 2}
	h, err := binary.Append(nil, binary.LittleEndian, header)
	if err != nil {
		panic(err)
	}
	return append(h, b...)
}

// do makes a request and returns the reply. The buffer for the reply has room for a header and size
// bytes. Like Linux, it passes request and reply in two pieces each.
func do(t *testing.T, s *Server, request []byte, size int) []byte {
	t.Helper()
	cut := min(8, len(request))
	reply := make([]byte, 16+size)
	n, err := s.handle([][]byte{request[:cut], request[cut:]}, [][]byte{reply[:16], reply[16:]})
	if err != nil {
		t.Fatal(err)
	}
	return reply[:n]
}

// statfs makes a STATFS request and checks the reply.
func statfs(t *testing.T, s *Server) {
	t.Helper()
	reply := do(t, s, fuseRequest(opStatfs, []byte{}), 80)
	var header fuse.OutHeader
	var out fuse.StatfsOut
	n, err := binary.Decode(reply, binary.LittleEndian, &header)
	if err == nil {
		_, err = binary.Decode(reply[n:], binary.LittleEndian, &out)
	}
	if err != nil || header.Unique != 99 || header.Status != 0 || out.Blocks != 4711 {
		t.Errorf("reply = %+v, %d blocks, error %v; want status 0 for request 99, 4711 blocks",
			header, out.Blocks, err)
	}
	if int(header.Length) != len(reply) {
		t.Errorf("length in the reply's header = %d, want %d", header.Length, len(reply))
	}
}

func TestRequests(t *testing.T) {
	s := New(newTestFS(), nil)
	const n = 3
	for range n {
		statfs(t, s)
	}
	for op, want := range map[Opcode]uint64{opStatfs: n, OpRead: 0, opcodes: 0} {
		if got := s.Requests(op); got != want {
			t.Errorf("Requests(%d) = %d, want %d", op, got, want)
		}
	}
}

func TestRead(t *testing.T) {
	const size = 0x3000
	reply := do(t, New(newTestFS(), nil), fuseRequest(OpRead, struct {
		Fh, Offset      uint64
		Size, ReadFlags uint32
		LockOwner       uint64
		Flags, Padding  uint32
	}{Offset: 7, Size: size}), size)
	if len(reply) != 16+size || !bytes.Equal(reply[16:], bytes.Repeat([]byte{7}, size)) {
		t.Errorf("reply has %d bytes, want a header and %d bytes 0x07", len(reply), size)
	}
}

// TestForget makes a request that has no reply.
func TestForget(t *testing.T) {
	const opForget = 2
	if reply := do(t, New(newTestFS(), nil), fuseRequest(opForget, uint64(1)), 0); len(reply) != 0 {
		t.Errorf("reply = % x, want none", reply)
	}
}

// TestPanic checks that a panic of the file system is an error for the guest, and that the server
// continues.
func TestPanic(t *testing.T) {
	s := New(newTestFS(), nil)
	reply := do(t, s, fuseRequest(OpLookup, []byte("name\x00")), 128)
	if got, want := int32(binary.LittleEndian.Uint32(reply[4:])), -int32(fuse.EIO); got != want {
		t.Errorf("status %d, want %d", got, want)
	}
	statfs(t, s)
}

// TestBadRequests checks that the server continues after malformed requests.
func TestBadRequests(t *testing.T) {
	s := New(newTestFS(), nil)
	for _, request := range [][]byte{
		{},
		make([]byte, 39),                 // shorter than a header
		fuseRequest(4711, []byte{}),      // an unknown opcode
		fuseRequest(OpRead, []byte{}),    // no body
		fuseRequest(OpLookup, []byte{}),  // no name
		bytes.Repeat([]byte{0xff}, 1000), // invalid in all fields
	} {
		do(t, s, request, 128)
		statfs(t, s)
	}
}

// TestInterceptor checks the reply of a request that an Interceptor fails, and that requests without
// a reply are served.
func TestInterceptor(t *testing.T) {
	s := New(newTestFS(), nil)
	var seen []Request
	s.SetInterceptor(func(r Request) Answer {
		seen = append(seen, r)
		return Answer{Error: syscall.ESTALE}
	})
	request, reply := fuseRequest(OpMkdir, append(make([]byte, 8), "name\x00"...)), make([]byte, 128)
	binary.LittleEndian.PutUint64(request[16:], rootNode)
	serve := func() (int, error) { t.Error("the request was served"); return 0, nil }
	n, err := s.intercepted([][]byte{request[:8], request[8:]}, [][]byte{reply[:10], reply[10:]}, nil, serve)
	var header fuse.OutHeader
	if _, err := binary.Decode(reply[:n], binary.LittleEndian, &header); err != nil {
		t.Fatal(err)
	}
	if want := (fuse.OutHeader{Length: 16, Status: -int32(syscall.ESTALE), Unique: 99}); header != want || err != nil {
		t.Errorf("reply = %+v, %v, want %+v", header, err, want)
	}
	if want := []Request{{OpMkdir, "name"}}; !slices.Equal(seen, want) {
		t.Errorf("requests = %v, want %v", seen, want)
	}
	served := false
	if _, err := s.intercepted([][]byte{fuseRequest(opForget, uint64(1))}, nil, nil, func() (int, error) { served = true; return 0, nil }); err != nil || !served {
		t.Errorf("FORGET served: %v, %v, want true", served, err)
	}
}

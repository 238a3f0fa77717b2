package vhostuser

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// timeout is how long a test waits for a reply before it fails.
const timeout = 10 * time.Second

// frontend is a minimal VMM with its guest. Tests can violate the protocols of both.
//
// The rings of queue i are at i*queueSpace in the memory; buffers start at bufferSpace. The
// guest-physical address of the memory is guestBase, that in the VMM's address space is userBase.
type frontend struct {
	t      *testing.T
	conn   *net.UnixConn
	server *Server
	served chan error // receives the result of Serve

	memory     []byte
	memoryFD   int
	kick, call [testQueues]event
	avail      [testQueues]uint16 // index of the next entry of the available ring
	used       [testQueues]uint16 // index of the next entry of the used ring
}

const (
	memorySize  = 1 << 20
	guestBase   = 0x4000_0000
	userBase    = 0x7f00_0000_0000
	ringSize    = 8
	queueSpace  = 0x1000
	availOffset = 0x400 // of the available ring in a queue's space
	usedOffset  = 0x800 // of the used ring in a queue's space
	bufferSpace = 0x10000
)

// newFrontend starts s and returns a frontend that is connected to it.
func newFrontend(t *testing.T, s *Server) *frontend {
	t.Helper()
	ours, theirs := socketpair(t)
	f := &frontend{t: t, conn: ours, server: s, served: make(chan error, 1)}
	go func() { f.served <- s.ServeConn(theirs) }()

	var err error
	if f.memoryFD, err = unix.MemfdCreate("guest", unix.MFD_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := unix.Ftruncate(f.memoryFD, memorySize); err != nil {
		t.Fatal(err)
	}
	if f.memory, err = unix.Mmap(f.memoryFD, 0, memorySize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		t.Fatal(err)
	}
	for i := range testQueues {
		f.kick[i], f.call[i] = eventfd(t), eventfd(t)
	}
	t.Cleanup(func() {
		f.conn.Close()
		s.Close()
		unix.Munmap(f.memory)
		unix.Close(f.memoryFD)
	})
	return f
}

func socketpair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = c.(*net.UnixConn)
	}
	return conns[0], conns[1]
}

// event is an eventfd.
type event struct {
	*os.File
	fd int // File.Fd would make the descriptor blocking
}

func eventfd(t *testing.T) event {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "eventfd")
	t.Cleanup(func() { f.Close() })
	return event{f, fd}
}

// send sends a vhost-user request with the need_reply flag and returns the reply, or nil if the
// server has closed the connection.
func (f *frontend) send(request uint32, payload any, fds ...int) []byte {
	f.t.Helper()
	p := encode(payload)
	b := append(encode([3]uint32{request, flagVersion | flagNeedReply, uint32(len(p))}), p...)
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if _, _, err := f.conn.WriteMsgUnix(b, oob, nil); err != nil {
		return nil
	}
	f.conn.SetReadDeadline(time.Now().Add(timeout))
	var header [3]uint32
	if err := binary.Read(f.conn, binary.LittleEndian, &header); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			f.t.Fatalf("no reply to request %d", request)
		}
		return nil
	}
	if header[0] != request || header[1] != flagVersion|flagReply {
		f.t.Fatalf("reply to request %d has request %d, flags %#x", request, header[0], header[1])
	}
	reply := make([]byte, header[2])
	if _, err := io.ReadFull(f.conn, reply); err != nil {
		f.t.Fatal(err)
	}
	return reply
}

// negotiate sends the requests that QEMU sends before it sets up queues.
func (f *frontend) negotiate() {
	f.t.Helper()
	for _, c := range []struct {
		request uint32
		want    uint64
	}{
		{reqGetFeatures, features},
		{reqGetProtocolFeatures, f.server.device.protocolFeatures()},
		{reqGetQueueNum, testQueues},
	} {
		if got := binary.LittleEndian.Uint64(f.send(c.request, []byte{})); got != c.want {
			f.t.Errorf("request %d = %#x, want %#x", c.request, got, c.want)
		}
	}
	f.ack(reqSetProtocolFeatures, f.server.device.protocolFeatures())
	f.ack(reqSetOwner, []byte{})
	f.ack(reqSetFeatures, uint64(features))
	f.setMemory()
}

// ack sends a request and fails the test if it does not succeed.
func (f *frontend) ack(request uint32, payload any, fds ...int) {
	f.t.Helper()
	if reply := f.send(request, payload, fds...); len(reply) != 8 || binary.LittleEndian.Uint64(reply) != 0 {
		f.t.Fatalf("reply to request %d = %v, want 0", request, reply)
	}
}

type vringState struct{ Index, Num uint32 }

// memTable returns the payload of SET_MEM_TABLE for regions.
func memTable(regions ...regionInfo) []byte {
	return append(encode([2]uint32{uint32(len(regions))}), encode(regions)...)
}

// setMemory shares the memory as two adjacent regions, so that a buffer can be in both.
func (f *frontend) setMemory() {
	f.t.Helper()
	const half = memorySize / 2
	f.ack(reqSetMemTable, memTable(
		regionInfo{Guest: guestBase, Size: half, User: userBase},
		regionInfo{Guest: guestBase + half, Size: half, User: userBase + half, Offset: half},
	), f.memoryFD, f.memoryFD)
}

// startQueue sets up queue i and enables it.
func (f *frontend) startQueue(i int) {
	f.t.Helper()
	at := userBase + uint64(i)*queueSpace
	f.ack(reqSetVringNum, vringState{uint32(i), ringSize})
	f.ack(reqSetVringBase, vringState{uint32(i), uint32(f.avail[i])})
	f.ack(reqSetVringAddr, struct {
		Index, Flags           uint32
		Desc, Used, Avail, Log uint64
	}{uint32(i), 0, at, at + usedOffset, at + availOffset, 0})
	f.ack(reqSetVringCall, uint64(i), f.call[i].fd)
	f.ack(reqSetVringKick, uint64(i), f.kick[i].fd)
	f.ack(reqSetVringEnable, vringState{uint32(i), 1})
}

// start negotiates, starts queue 1, and returns f.
func (f *frontend) start() *frontend {
	f.t.Helper()
	f.negotiate()
	f.startQueue(1)
	return f
}

// descriptor is an entry of a descriptor table.
type descriptor struct {
	Addr        uint64
	Len         uint32
	Flags, Next uint16
}

// setDescriptors writes descriptors to the table of queue i, starting at index first.
func (f *frontend) setDescriptors(i, first int, d ...descriptor) {
	copy(f.memory[i*queueSpace+first*descSize:], encode(d))
}

// makeAvailable makes the chain at head available in queue i and kicks the queue.
func (f *frontend) makeAvailable(i int, head uint16) {
	f.t.Helper()
	ring := f.memory[i*queueSpace+availOffset:]
	binary.LittleEndian.PutUint16(ring[4+2*(f.avail[i]%ringSize):], head)
	f.avail[i]++
	f.setAvailIndex(i, f.avail[i])
}

func (f *frontend) setAvailIndex(i int, index uint16) {
	f.t.Helper()
	storeIndex(f.memory[i*queueSpace+availOffset:], index)
	if _, err := f.kick[i].Write(encode(uint64(1))); err != nil {
		f.t.Fatal(err)
	}
}

// waitUsed waits for the next entry of the used ring of queue i.
func (f *frontend) waitUsed(i int) (head, length uint32) {
	f.t.Helper()
	ring := f.memory[i*queueSpace+usedOffset:]
	for deadline := time.Now().Add(timeout); ; {
		if _, index := ringHead(ring); index != f.used[i] {
			break
		}
		f.call[i].SetReadDeadline(deadline)
		var count [8]byte
		if _, err := f.call[i].Read(count[:]); err != nil {
			f.t.Fatalf("queue %d: no reply: %v", i, err)
		}
	}
	entry := ring[4+8*(f.used[i]%ringSize):]
	f.used[i]++
	return binary.LittleEndian.Uint32(entry), binary.LittleEndian.Uint32(entry[4:])
}

// buffer returns buffer n, which has 0x1000 bytes, and its guest-physical address.
func (f *frontend) buffer(n int) (uint64, []byte) {
	at := bufferSpace + n*0x1000
	return guestBase + uint64(at), f.memory[at : at+0x1000]
}

// waitServed waits for the result of Serve and returns it.
func (f *frontend) waitServed() error {
	f.t.Helper()
	select {
	case err := <-f.served:
		return err
	case <-time.After(timeout):
		f.t.Fatal("Serve has not returned")
		return nil
	}
}

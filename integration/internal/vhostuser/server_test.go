package vhostuser

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const testQueues = 2

// echo is a device that replies with the reversed bytes of the request.
type echo struct {
	entered chan struct{} // receives an element when a slow or patient request arrives
	leave   chan struct{} // each element ends the wait of one request
}

// Requests that echo handles differently.
var (
	slow    = []byte("slow request")    // waits for leave
	patient = []byte("patient request") // waits for leave, or until the queue stops
	broken  = []byte("broken request")  // fails
)

func newEcho() *echo {
	return &echo{entered: make(chan struct{}, 1), leave: make(chan struct{}, 1)}
}

func (e *echo) handle(_ int, in, out [][]byte, stop <-chan struct{}) (int, error) {
	request := bytes.Join(in, nil)
	switch {
	case bytes.Equal(request, slow):
		e.entered <- struct{}{}
		<-e.leave
	case bytes.Equal(request, patient):
		e.entered <- struct{}{}
		select {
		case <-e.leave:
		case <-stop:
			return 0, ErrStopped
		}
	case bytes.Equal(request, broken):
		return 0, errors.New("out of order")
	}
	slices.Reverse(request)
	n := 0
	for _, b := range out {
		n += copy(b, request[n:])
	}
	return n, nil
}

// newServer returns a server for an echo, with one request in flight for each queue.
func newServer() *Server { return newServerFor(newEcho(), 1) }

func newServerFor(e *echo, inFlight int) *Server {
	return New(Device{
		Queues:   testQueues,
		InFlight: inFlight,
		Config:   []byte("configuration"),
		Handle:   e.handle,
	})
}

var request = []byte("a request, and what belongs to it")

// request makes a request available in queue 1, with room for a reply of 512 bytes in two pieces.
func (f *frontend) request(request []byte) {
	f.t.Helper()
	in, inBuffer := f.buffer(0)
	out, _ := f.buffer(1)
	n := copy(inBuffer, request)
	f.setDescriptors(1, 0,
		descriptor{in, 8, descNext, 1},
		descriptor{in + 8, uint32(n - 8), descNext, 2},
		descriptor{out, 30, descNext | descWrite, 3},
		descriptor{out + 30, 482, descWrite, 0})
	f.makeAvailable(1, 0)
}

// checkEcho checks that reply is the device's reply to the variable request.
func (f *frontend) checkEcho(reply []byte) {
	f.t.Helper()
	want := slices.Clone(request)
	slices.Reverse(want)
	if !bytes.Equal(reply, want) {
		f.t.Errorf("reply = %q, want %q", reply, want)
	}
}

// echo makes a request and checks the reply.
func (f *frontend) echo() {
	f.t.Helper()
	f.request(request)
	_, n := f.waitUsed(1)
	_, out := f.buffer(1)
	f.checkEcho(append(slices.Clone(out[:30]), out[30:n]...))
}

func TestRequests(t *testing.T) {
	f := newFrontend(t, newServer()).start()
	for range 3 * ringSize { // more requests than entries in the ring
		f.echo()
	}
	f.conn.Close()
	if err := f.waitServed(); err != nil {
		t.Errorf("Serve after the VMM has disconnected = %v, want nil", err)
	}
}

func TestIndirectDescriptors(t *testing.T) {
	f := newFrontend(t, newServer()).start()
	in, inBuffer := f.buffer(0)
	out, outBuffer := f.buffer(1)
	table, tableBuffer := f.buffer(2)
	n := copy(inBuffer, request)
	copy(tableBuffer, encode([]descriptor{
		{in, uint32(n), descNext, 2},
		{}, // not part of the chain
		{out, 512, descWrite, 0},
	}))
	f.setDescriptors(1, 5, descriptor{table, 3 * descSize, descIndirect, 0})
	f.makeAvailable(1, 5)
	head, length := f.waitUsed(1)
	if head != 5 {
		t.Errorf("reply is to chain %d, want 5", head)
	}
	f.checkEcho(outBuffer[:length])
}

// TestRegions has a buffer that spans two memory regions.
func TestRegions(t *testing.T) {
	f := newFrontend(t, newServer()).start()
	in, inBuffer := f.buffer(0)
	n := copy(inBuffer, request)
	out := memorySize/2 - 10
	f.setDescriptors(1, 0,
		descriptor{in, uint32(n), descNext, 1},
		descriptor{guestBase + uint64(out), 512, descWrite, 0})
	f.makeAvailable(1, 0)
	_, length := f.waitUsed(1)
	f.checkEcho(f.memory[out:][:length])
}

func TestOtherQueue(t *testing.T) {
	f := newFrontend(t, newServer()).start()
	f.startQueue(0)
	in, inBuffer := f.buffer(0)
	n := copy(inBuffer, request)
	f.setDescriptors(0, 3, descriptor{in, uint32(n), 0, 0}) // no room for a reply
	f.makeAvailable(0, 3)
	if head, n := f.waitUsed(0); head != 3 || n != 0 {
		t.Errorf("reply to chain %d with %d bytes, want 3, 0", head, n)
	}
	f.echo()
}

func TestConfig(t *testing.T) {
	f := newFrontend(t, newServer())
	f.negotiate()
	header := [3]uint32{3, 6, 0}
	want := append(encode(header), "figura"...)
	if got := f.send(reqGetConfig, append(encode(header), "......"...)); !bytes.Equal(got, want) {
		t.Errorf("GET_CONFIG = %q, want %q", got, want)
	}
}

// TestHandleFails checks that an error of Handle ends Serve.
func TestHandleFails(t *testing.T) {
	f := newFrontend(t, newServer()).start()
	f.request(broken)
	checkError(t, f.waitServed(), "virtqueue 1: ", "out of order")
}

func TestNoInterrupt(t *testing.T) {
	f := newFrontend(t, newServer()).start()
	avail := f.memory[queueSpace+availOffset:]
	f.request(request)
	f.waitUsed(1)
	binary.LittleEndian.PutUint16(avail, availNoInterrupt)
	// f.request would clear the flag.
	binary.LittleEndian.PutUint16(avail[4+2*1:], 0)
	binary.LittleEndian.PutUint16(avail[2:], 2)
	if _, err := f.kick[1].Write(encode(uint64(1))); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(timeout); ; time.Sleep(time.Millisecond) {
		if _, index := ringHead(f.memory[queueSpace+usedOffset:]); index == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no reply")
		}
	}
	f.send(reqGetVringBase, vringState{1, 0}) // the reply comes after a notification
	f.call[1].SetReadDeadline(time.Unix(1, 0))
	var count [8]byte
	if _, err := f.call[1].Read(count[:]); err == nil {
		t.Error("the guest was notified although it has disabled notifications")
	}
}

// TestGetVringBase stops and starts a queue, as QEMU does when the guest shuts down and boots
// again.
func TestGetVringBase(t *testing.T) {
	f := newFrontend(t, newServer()).start()
	f.echo()
	for range 2 {
		f.ack(reqSetVringEnable, vringState{1, 0})
		var got vringState
		binary.Decode(f.send(reqGetVringBase, vringState{1, 0}), binary.LittleEndian, &got)
		if want := (vringState{1, uint32(f.avail[1])}); got != want {
			t.Errorf("GET_VRING_BASE = %v, want %v", got, want)
		}
		f.startQueue(1)
		f.echo()
	}
}

// TestEnable checks that a request made while the queue is disabled is served when it is enabled.
func TestEnable(t *testing.T) {
	f := newFrontend(t, newServer()).start()
	f.ack(reqSetVringEnable, vringState{1, 0})
	f.request(request)
	f.ack(reqSetVringEnable, vringState{1, 0})
	if _, index := ringHead(f.memory[queueSpace+usedOffset:]); index != 0 {
		t.Errorf("used index of a disabled queue = %d, want 0", index)
	}
	f.ack(reqSetVringEnable, vringState{1, 1})
	_, n := f.waitUsed(1)
	_, out := f.buffer(1)
	f.checkEcho(out[:n])
}

func TestGetVringBaseWaitsForRequests(t *testing.T) {
	e := newEcho()
	f := newFrontend(t, newServerFor(e, 1)).start()
	f.request(slow)
	<-e.entered
	replied := make(chan struct{})
	go func() {
		f.send(reqGetVringBase, vringState{1, 0})
		close(replied)
	}()
	select {
	case <-replied:
		t.Error("reply to GET_VRING_BASE while a request was in flight")
	case <-time.After(20 * time.Millisecond): // an absent reply cannot be detected otherwise
	}
	e.leave <- struct{}{}
	<-replied
	if _, index := ringHead(f.memory[queueSpace+usedOffset:]); index != 1 {
		t.Errorf("used index = %d, want 1", index)
	}
}

// TestStopped checks that a request for which Handle returned ErrStopped is handled when the queue
// starts again.
func TestStopped(t *testing.T) {
	e := newEcho()
	f := newFrontend(t, newServerFor(e, 1)).start()
	f.echo()
	f.request(patient)
	<-e.entered
	f.ack(reqSetVringEnable, vringState{1, 0})
	var got vringState
	binary.Decode(f.send(reqGetVringBase, vringState{1, 0}), binary.LittleEndian, &got)
	if want := (vringState{1, 1}); got != want {
		t.Errorf("GET_VRING_BASE = %v, want %v", got, want)
	}
	f.avail[1] = uint16(got.Num)
	f.startQueue(1)
	f.avail[1]++
	<-e.entered
	e.leave <- struct{}{}
	if _, n := f.waitUsed(1); int(n) != len(patient) {
		t.Errorf("reply has %d bytes, want %d", n, len(patient))
	}
}

// TestReplaceWhileRunning replaces the call descriptor and the memory table while a queue is
// running, as QEMU does.
func TestReplaceWhileRunning(t *testing.T) {
	f := newFrontend(t, newServer()).start()
	for range 10 {
		f.request(request)
		f.ack(reqSetVringCall, uint64(1), f.call[1].fd)
		f.setMemory()
		f.waitUsed(1)
	}
}

func TestParallelRequests(t *testing.T) {
	f := newFrontend(t, newServerFor(newEcho(), 32)).start()
	in, inBuffer := f.buffer(0)
	n := copy(inBuffer, request)
	const pairs = ringSize / 2
	for i := range pairs {
		out, _ := f.buffer(1 + i)
		f.setDescriptors(1, 2*i,
			descriptor{in, uint32(n), descNext, uint16(2*i + 1)},
			descriptor{out, 0x1000, descWrite, 0})
	}
	for range 50 {
		for i := range pairs {
			f.makeAvailable(1, uint16(2*i))
		}
		seen := map[uint32]bool{}
		for range pairs {
			head, n := f.waitUsed(1)
			_, out := f.buffer(1 + int(head)/2)
			f.checkEcho(out[:n])
			seen[head] = true
		}
		if len(seen) != pairs {
			t.Fatalf("replies to %d requests, want %d", len(seen), pairs)
		}
	}
}

func TestClose(t *testing.T) {
	listen := func(t *testing.T) *net.UnixListener {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(t.TempDir(), "s")})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	t.Run("before Serve", func(t *testing.T) {
		s := newServer()
		s.Close()
		if err := s.Serve(listen(t)); err != nil {
			t.Errorf("Serve = %v, want nil", err)
		}
	})
	t.Run("before a VMM connects", func(t *testing.T) {
		s := newServer()
		served := make(chan error)
		go func() { served <- s.Serve(listen(t)) }()
		s.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v, want nil", err)
		}
	})
	t.Run("with a VMM", func(t *testing.T) {
		s := newServer()
		l := listen(t)
		served := make(chan error)
		go func() { served <- s.Serve(l) }()
		conn, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// A reply shows that Serve has accepted the connection.
		conn.Write(encode([3]uint32{reqGetFeatures, flagVersion, 0}))
		if _, err := conn.Read(make([]byte, 20)); err != nil {
			t.Fatal(err)
		}
		if c, err := net.Dial("unix", l.Addr().String()); err == nil {
			c.Close()
			t.Error("connecting a second VMM succeeded, want an error")
		}
		s.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v, want nil", err)
		}
		if s.Close() != nil || s.Serve(l) == nil {
			t.Error("second Close, Serve: want nil, an error")
		}
	})
	t.Run("with running queues", func(t *testing.T) {
		s := newServer()
		f := newFrontend(t, s).start()
		f.startQueue(0)
		f.echo()
		s.Close()
		if err := f.waitServed(); err != nil {
			t.Errorf("Serve = %v, want nil", err)
		}
	})
	t.Run("while Handle blocks", func(t *testing.T) {
		e := newEcho()
		s := newServerFor(e, 1)
		s.drainTimeout = time.Millisecond
		f := newFrontend(t, s).start()
		f.request(slow)
		<-e.entered
		s.Close()
		f.waitServed()
		e.leave <- struct{}{} // writing the reply to the guest's memory must not crash
	})
}

// TestBadGuest checks that invalid data in a virtqueue ends Serve with an error that describes it.
func TestBadGuest(t *testing.T) {
	const ok = 0x20 // a length in bytes within the guest's memory
	for _, c := range []struct {
		name        string
		descriptors []descriptor
		want        string
	}{
		{"address", []descriptor{{0x1234, ok, 0, 0}}, "no guest memory at 0x1234"},
		{"address overflow", []descriptor{{1<<64 - 1, ok, 0, 0}}, "no guest memory"},
		{"length", []descriptor{{guestBase + memorySize - 16, 17, 0, 0}}, "no guest memory at 0x40100000"},
		{"too long", []descriptor{{guestBase, maxRequestLength + 1, descWrite, 0}}, "more than 2097152 bytes"},
		{"too long in all", []descriptor{
			{guestBase, memorySize, descNext, 1}, {guestBase, memorySize, descNext, 2}, {guestBase, 1, 0, 0},
		}, "more than 2097152 bytes"},
		{"next", []descriptor{{guestBase, ok, descNext, ringSize}}, "descriptor 8 in a table of 8"},
		{"loop", []descriptor{{guestBase, ok, descNext, 1}, {guestBase, ok, descNext, 0}}, "loop"},
		{"order", []descriptor{{guestBase, ok, descNext | descWrite, 1}, {guestBase, ok, 0, 0}}, "readable buffer after"},
		{"empty indirect table", []descriptor{{guestBase, 0, descIndirect, 0}}, "indirect table of 0 bytes"},
		{"odd indirect table", []descriptor{{guestBase, 17, descIndirect, 0}}, "indirect table of 17 bytes"},
		{"huge indirect table", []descriptor{{guestBase, 1 << 31, descIndirect, 0}}, "indirect table of"},
		{"indirect table address",
			[]descriptor{{0, 16, descIndirect, 0}}, "no guest memory at 0x0"},
		{"indirect and next", []descriptor{{guestBase, 16, descIndirect | descNext, 1}}, "misplaced"},
		// The address is that of queue 1's descriptor table, which contains this descriptor.
		{"nested indirect table",
			[]descriptor{{guestBase + queueSpace, 16, descIndirect, 0}}, "misplaced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFrontend(t, newServer()).start()
			f.setDescriptors(1, 0, c.descriptors...)
			f.makeAvailable(1, 0)
			checkError(t, f.waitServed(), "virtqueue 1: request 0: ", c.want)
		})
	}
	t.Run("head", func(t *testing.T) {
		f := newFrontend(t, newServer()).start()
		f.makeAvailable(1, 9999)
		checkError(t, f.waitServed(), "virtqueue 1: request 9999: ", "descriptor 9999 in a table of 8")
	})
	t.Run("available index", func(t *testing.T) {
		f := newFrontend(t, newServer()).start()
		f.setAvailIndex(1, ringSize+1)
		checkError(t, f.waitServed(), "virtqueue 1: ", "9 requests available in a ring of 8")
	})
}

func TestBadVMM(t *testing.T) {
	for _, c := range []struct {
		name    string
		request uint32
		payload any
		fds     func(*frontend) []int
		want    string
	}{
		{"unknown request", 99, []byte{}, nil, "vhost-user request 99: not supported"},
		{"payload", reqSetVringNum, uint32(1), nil, "payload of 4 bytes, want 8"},
		{"huge payload", reqSetVringNum, [maxPayload + 1]byte{}, nil,
			"vhost-user request 8: payload of 4097 bytes, want at most 4096"},
		{"queue", reqSetVringNum, vringState{2, 8}, nil, "virtqueue 2 of a device with 2"},
		{"ring size", reqSetVringNum, vringState{1, 100}, nil, "ring of 100 descriptors"},
		{"huge ring", reqSetVringNum, vringState{1, 1 << 16}, nil, "ring of 65536 descriptors"},
		{"configuration", reqGetConfig, [3]uint32{8, 6, 0}, nil,
			"configuration space up to byte 14, but it has 13 bytes"},
		{"configuration without header", reqGetConfig, uint64(0), nil, "vhost-user request 24: "},
		{"feature", reqSetFeatures, uint64(1 << 29), nil, "features 0x20000000 were not offered"},
		{"call without descriptor", reqSetVringCall, uint64(1), nil, "0 file descriptors, want 1"},
		{"kick without descriptor", reqSetVringKick, uint64(1<<8 | 1), nil, "polling"},
		{"empty memory table", reqSetMemTable, memTable(), nil, "memory table of 0 regions"},
		{"memory without descriptor", reqSetMemTable, memTable(regionInfo{Size: 4096}), nil, "1 regions with 0 file"},
		{"memory beyond its file", reqSetMemTable, memTable(regionInfo{Size: memorySize + 4096}),
			func(f *frontend) []int { return []int{f.memoryFD} }, "file of 0x100000 bytes"},
		{"memory offset overflow", reqSetMemTable, memTable(regionInfo{Size: 4096, Offset: 1<<64 - 4096}),
			func(f *frontend) []int { return []int{f.memoryFD} }, "file of 0x100000 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFrontend(t, newServer()).start()
			var fds []int
			if c.fds != nil {
				fds = c.fds(f)
			}
			if reply := f.send(c.request, c.payload, fds...); reply != nil {
				t.Errorf("reply = %v, want a closed connection", reply)
			}
			checkError(t, f.waitServed(), "", c.want)
		})
	}
	t.Run("ring address", func(t *testing.T) {
		f := newFrontend(t, newServer())
		f.negotiate()
		f.ack(reqSetVringNum, vringState{0, ringSize})
		f.ack(reqSetVringKick, uint64(0), f.kick[0].fd)
		f.send(reqSetVringEnable, vringState{0, 1})
		checkError(t, f.waitServed(), "vhost-user request 18: ", "guest memory at VMM address 0x0")
	})
}

// checkError checks that err, the result of Serve, starts with prefix and contains part.
func checkError(t *testing.T, err error, prefix, part string) {
	t.Helper()
	if err == nil || !strings.HasPrefix(err.Error(), prefix) ||
		!strings.Contains(err.Error(), part) {
		t.Errorf("Serve = %v, want an error %q... with %q", err, prefix, part)
	}
}

// FuzzRing checks that arbitrary contents of a ring do not crash pop and push.
func FuzzRing(f *testing.F) {
	descriptors := encode([]descriptor{{guestBase, 16, descNext, 1}, {guestBase, 32, descIndirect, 0}})
	f.Add(descriptors, []byte{0, 0, 1, 0, 0, 0})
	f.Add(descriptors, []byte{0, 0, 2, 0, 1, 0, 1, 0})
	f.Fuzz(func(t *testing.T, desc, avail []byte) {
		b := make([]byte, queueSpace)
		copy(b[:availOffset], desc)
		copy(b[availOffset:usedOffset], avail)
		m := &memory{regions: []region{{guest: guestBase, user: userBase, bytes: b}}}
		r, err := newRing(m, ringSize,
			ringAddresses{userBase, userBase + usedOffset, userBase + availOffset}, 0)
		if err != nil {
			t.Fatal(err)
		}
		for {
			c, err := r.pop()
			if err != nil || c == nil {
				return
			}
			r.push(c.head, int(c.out.length))
		}
	})
}

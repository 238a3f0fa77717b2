package recvmsg

import (
	"testing"

	"golang.org/x/sys/unix"
)

// openSocket returns a UDP socket and a function that sends a datagram from it to itself. The
// socket is in blocking mode.
func openSocket(t *testing.T) (fd int, send func(text string)) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, func(text string) {
		t.Helper()
		if err := unix.Sendto(fd, []byte(text), 0, name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReceive(t *testing.T) {
	fd, send := openSocket(t)
	buf := make([]byte, 8)
	control := make([]byte, 64)
	var from unix.RawSockaddrInet4
	if _, _, err := Receive(fd, buf, control, &from); err != unix.EAGAIN {
		t.Errorf("Receive with an empty queue = %v, want EAGAIN", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVTTL, 1); err != nil {
		t.Fatal(err)
	}
	send("hello")
	n, controlLength, err := Receive(fd, buf, control, &from)
	if err != nil || string(buf[:n]) != "hello" {
		t.Errorf("Receive() = %d, %v, %q, want hello", n, err, buf)
	}
	if from.Family != unix.AF_INET || from.Addr != [4]byte{127, 0, 0, 1} || from.Port == 0 {
		t.Errorf("Receive() from %+v, want 127.0.0.1 and a port", from)
	}
	messages, err := unix.ParseSocketControlMessage(control[:controlLength])
	if err != nil || len(messages) != 1 || messages[0].Header.Type != unix.IP_TTL {
		t.Errorf("control messages = %v, %v, want one of type IP_TTL", messages, err)
	}
	for _, c := range []struct {
		control     []byte
		level, kind int32
		want        uint32
	}{
		{control[:controlLength], unix.IPPROTO_IP, unix.IP_TTL, 64},
		{control[:controlLength], unix.IPPROTO_IP, unix.IP_TOS, 0},
		{control[:controlLength], unix.IPPROTO_IPV6, unix.IP_TTL, 0},
		{control[:unix.SizeofCmsghdr], unix.IPPROTO_IP, unix.IP_TTL, 0},
		{nil, unix.IPPROTO_IP, unix.IP_TTL, 0},
	} {
		if got := ControlValue(c.control, c.level, c.kind); got != c.want {
			t.Errorf("ControlValue(%x, %d, %d) = %d, want %d", c.control, c.level, c.kind, got, c.want)
		}
	}
	send("longer than the buffer")
	n, controlLength, err = Receive[unix.RawSockaddrInet4](fd, buf, nil, nil)
	if err != nil || n != 22 || controlLength != 0 || string(buf) != "longer t" {
		t.Errorf("Receive() of a truncated datagram = %d, %d, %v, %q, want 22, 0",
			n, controlLength, err, buf)
	}
	send("")
	if n, _, err = Receive(fd, nil, nil, &from); err != nil || n != 0 {
		t.Errorf("Receive() of an empty datagram = %d, %v, want 0", n, err)
	}
	if _, _, err = Receive(-1, buf, control, &from); err != unix.EBADF {
		t.Errorf("Receive(-1) = %v, want EBADF", err)
	}
}

func TestNext(t *testing.T) {
	fd, send := openSocket(t)
	buf := make([]byte, 8)
	var from unix.RawSockaddrInet4
	var got string
	next := func() error {
		return Next(fd, buf, nil, &from, func(payload, _ []byte) bool {
			got = string(payload)
			return got != "bad"
		})
	}
	if err := next(); err != unix.EAGAIN {
		t.Errorf("Next with an empty queue = %v, want EAGAIN", err)
	}
	for _, text := range []string{"bad", "longer than the buffer", "8 bytes.", ""} {
		send(text)
	}
	if err := next(); err != nil || got != "8 bytes." || from.Addr != [4]byte{127, 0, 0, 1} {
		t.Errorf("Next() = %v, %q from %v, want the datagram of 8 bytes", err, got, from.Addr)
	}
	if err := next(); err != nil || got != "" {
		t.Errorf("Next() = %v, %q, want the empty datagram", err, got)
	}
	for range MaxSkipped {
		send("bad")
	}
	send("good")
	if err := next(); err != unix.EAGAIN {
		t.Errorf("Next after %d refused datagrams = %v, want EAGAIN", MaxSkipped, err)
	}
	if err := next(); err != nil || got != "good" {
		t.Errorf("Next() = %v, %q, want the good datagram", err, got)
	}
	fd = -1
	if err := next(); err != unix.EBADF {
		t.Errorf("Next(-1) = %v, want EBADF", err)
	}
}

func TestNoAllocations(t *testing.T) {
	fd, send := openSocket(t)
	buf := make([]byte, 8)
	control := make([]byte, 64)
	allocations := testing.AllocsPerRun(100, func() {
		var from unix.RawSockaddrInet4
		send("x")
		size := 0
		err := Next(fd, buf, control, &from, func(payload, _ []byte) bool {
			size = len(payload)
			return from.Family == unix.AF_INET
		})
		if err != nil || size != 1 {
			t.Errorf("Next() = %v, %d bytes, want 1", err, size)
		}
	})
	if allocations > 1 { // Sendto makes one
		t.Errorf("%v allocations per datagram, want 1", allocations)
	}
}

package recvmsg

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestReceive(t *testing.T) {
	a, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0) // blocking: Receive does not wait
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(a)
	if err := unix.Bind(a, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(a)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8)
	control := make([]byte, 64)
	var from unix.RawSockaddrInet4
	if _, err := Receive(a, buf, control, &from); err != unix.EAGAIN {
		t.Errorf("Receive of nothing = %v, want EAGAIN", err)
	}
	if err := unix.SetsockoptInt(a, unix.IPPROTO_IP, unix.IP_RECVTTL, 1); err != nil {
		t.Fatal(err)
	}
	send := func(text string) {
		t.Helper()
		if err := unix.Sendto(a, []byte(text), 0, name); err != nil {
			t.Fatal(err)
		}
	}
	send("hello")
	d, err := Receive(a, buf, control, &from)
	if err != nil || string(buf[:d.Len]) != "hello" || from.Family != unix.AF_INET || from.Addr != [4]byte{127, 0, 0, 1} || from.Port == 0 {
		t.Errorf("Receive() = %+v, %v, %q from %+v", d, err, buf, from)
	}
	if messages, err := unix.ParseSocketControlMessage(control[:d.Control]); err != nil || len(messages) != 1 || messages[0].Header.Type != unix.IP_TTL {
		t.Errorf("control messages = %v, %v, want a TTL", messages, err)
	}
	send("longer than the buffer")
	if d, err = Receive[unix.RawSockaddrInet4](a, buf, nil, nil); err != nil || d.Len != 22 || d.Control != 0 || string(buf) != "longer t" {
		t.Errorf("Receive() without addresses and control messages = %+v, %v, %q", d, err, buf)
	}
	send("")
	if d, err = Receive(a, nil, nil, &from); err != nil || d.Len != 0 {
		t.Errorf("Receive of an empty datagram = %+v, %v", d, err)
	}
	if _, err = Receive(-1, buf, control, &from); err != unix.EBADF {
		t.Errorf("Receive(-1) = %v, want EBADF", err)
	}
	if allocations := testing.AllocsPerRun(100, func() {
		send("x")
		if _, err := Receive(a, buf, control, &from); err != nil {
			t.Error(err)
		}
	}); allocations > 1 { // Sendto's
		t.Errorf("%v allocations a datagram", allocations)
	}
}

package vsock

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/krunbox/krunbox/integration/internal/vhostuser"
)

// Tests with a guest are among those of the clock in package cases.

var sometime = time.Unix(0, 0x1122334455667788)

func TestPayloads(t *testing.T) {
	want := []byte{0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11}
	if got := Time(sometime); !bytes.Equal(got, want) {
		t.Errorf("Time() = % x, want % x", got, want)
	}
	if got := WholeBuffer(sometime); len(got) != MaxPayload || !bytes.HasPrefix(got, want) {
		t.Errorf("WholeBuffer() = % x... with %d bytes, want % x with %d",
			got[:8], len(got), want, MaxPayload)
	}
}

func TestPacket(t *testing.T) {
	datagram := Datagram{From: Address{2, 123}, To: Address{3, 0x7b7b}, Payload: []byte("time")}
	want := []byte{
		2, 0, 0, 0, 0, 0, 0, 0, // source
		3, 0, 0, 0, 0, 0, 0, 0, // destination
		123, 0, 0, 0, 0x7b, 0x7b, 0, 0, // their ports
		4, 0, 0, 0, // length
		3, 0, 5, 0, // type, operation
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // flags, credit
		't', 'i', 'm', 'e',
	}
	if got := datagram.packet(); !bytes.Equal(got, want) {
		t.Errorf("packet() = % x, want % x", got, want)
	}
}

func newDevice(t *testing.T) *Device {
	t.Helper()
	d, err := New(3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// TestHandle checks that handle writes one datagram into the pieces of the guest's buffer.
func TestHandle(t *testing.T) {
	d := newDevice(t)
	sent := make(chan error)
	datagram := Clock(3, []byte("time"))
	go func() { sent <- d.Send(t.Context(), datagram) }()
	b := make([]byte, 100)
	n, err := d.handle(receiveQueue, nil, [][]byte{b[:10], b[10:]}, nil)
	if want := datagram.packet(); err != nil || !bytes.Equal(b[:n], want) {
		t.Errorf("handle() = % x, %v, want % x", b[:n], err, want)
	}
	if err := <-sent; err != nil {
		t.Errorf("Send() = %v, want nil", err)
	}

	go func() { sent <- d.Send(t.Context(), datagram) }()
	if _, err := d.handle(receiveQueue, nil, [][]byte{b[:47]}, nil); err == nil {
		t.Error("handle() with a buffer that is too small = nil, want an error")
	}
	<-sent

	stop := make(chan struct{})
	close(stop)
	if _, err := d.handle(receiveQueue, nil, [][]byte{b}, stop); !errors.Is(err, vhostuser.ErrStopped) {
		t.Errorf("handle() while the queue stops = %v, want %v", err, vhostuser.ErrStopped)
	}
	if n, err := d.handle(transmitQueue, [][]byte{b}, nil, nil); n != 0 || err != nil {
		t.Errorf("handle() of a packet from the guest = %d, %v, want 0, nil", n, err)
	}
}

func TestSendFails(t *testing.T) {
	d := newDevice(t)
	err := d.Send(t.Context(), Clock(3, make([]byte, MaxPayload+1)))
	if err == nil || !strings.Contains(err.Error(), "3733") {
		t.Errorf("Send() of %d bytes = %v, want an error with the number", MaxPayload+1, err)
	}
	cause := errors.New("canceled by the test")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := d.Send(ctx, Clock(3, Time(sometime))); !errors.Is(err, cause) { // there is no guest
		t.Errorf("Send() with a canceled context = %v, want %v", err, cause)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	}
	if err := d.Send(t.Context(), Clock(3, Time(sometime))); !errors.Is(err, ErrClosed) {
		t.Errorf("Send() after Close = %v, want %v", err, ErrClosed)
	}
}

func TestArgs(t *testing.T) {
	d := newDevice(t)
	args := strings.Join(d.Device.Args([]int{17}), " ")
	if want := "-chardev socket,id=vsock,fd=17 -device vhost-user-vsock-device,chardev=vsock"; args != want {
		t.Errorf("arguments = %q, want %q", args, want)
	}
	if d.CID != 3 {
		t.Errorf("CID = %d, want 3", d.CID)
	}
}

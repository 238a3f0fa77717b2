// Package vsock is the host's end of a guest's vsock, for datagrams: it sends them as libkrun does, whose host tells the
// guest its time that way. Machines of package vm take it:
//
//	d, err := vsock.New(3) // the guest's address
//	...
//	defer d.Close()
//	d.AddTo(&cfg)          // cfg is a vm.Config
//	go vm.Run(ctx, cfg)
//	err = d.Send(ctx, vsock.Clock(3, vsock.WholeBuffer(time.Now())))
//
// It is the vhost-user back-end of QEMU's vhost-user-vsock-device. QEMU does not offer datagrams to the guest, so what the
// libkrunfw kernel does not send are datagrams of its own; it receives them nevertheless. One that comes before somebody in the
// guest listens is lost, as with libkrun. Connections are not served: a guest that wants one waits in vain.
package vsock

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/internal/vhostuser"
	"github.com/krunbox/krunbox/integration/vm"
)

const (
	// HostCID is the host's address.
	HostCID = 2
	// ClockPort is the port for datagrams with the time, on both sides.
	ClockPort = 123
	// MaxPayload is the size of the largest datagram, and of those that libkrun sends.
	MaxPayload = 3732
)

// Address is where a datagram comes from or goes to.
type Address struct {
	CID, Port uint32
}

// A Datagram is what the guest receives.
type Datagram struct {
	From, To Address
	Payload  []byte
}

// Clock is a datagram from the host's clock to the guest with that address.
func Clock(guest uint32, payload []byte) Datagram {
	return Datagram{From: Address{HostCID, ClockPort}, To: Address{guest, ClockPort}, Payload: payload}
}

// Time is the payload with which a host tells its time.
func Time(t time.Time) []byte {
	return binary.LittleEndian.AppendUint64(nil, uint64(t.UnixNano()))
}

// WholeBuffer is Time as libkrun sends it: in a buffer whose rest means nothing.
func WholeBuffer(t time.Time) []byte {
	b := append(make([]byte, 0, MaxPayload), Time(t)...)
	for len(b) < MaxPayload {
		b = append(b, 0xa5)
	}
	return b
}

// ErrClosed is returned by Send when the device was closed, or QEMU has disconnected from it.
var ErrClosed = errors.New("vsock: the device is closed")

// A Device is the vsock of one machine.
type Device struct {
	// CID is the guest's address.
	CID uint32

	// Device goes into vm.Config.Devices; see AddTo.
	Device vm.Device

	server  *vhostuser.Server
	qemu    *os.File // QEMU's end of the connection
	packets chan packet
	closed  chan struct{}
	result  error // of server, once closed is closed
	once    sync.Once
}

// packet is a datagram on its way into the guest's memory.
type packet struct {
	bytes []byte
	taken chan struct{} // closed when it is there
}

// The queues of the device that its back-end serves; see virtio 1.2, section 5.10.
const (
	receiveQueue = iota
	transmitQueue
	queues
)

// New returns the device of a guest with the address cid, which is at least 3.
func New(cid uint32) (*Device, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "vsock"), os.NewFile(uintptr(fds[1]), "vsock")
	defer ours.Close() // FileConn has a duplicate
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, fmt.Errorf("vsock: %w", err)
	}
	d := &Device{CID: cid, qemu: theirs, packets: make(chan packet), closed: make(chan struct{})}
	d.Device = vm.Device{
		Files: []*os.File{theirs},
		Args: func(fds []int) []string {
			return []string{
				"-chardev", fmt.Sprintf("socket,id=vsock,fd=%d", fds[0]),
				"-device", "vhost-user-vsock-device,chardev=vsock",
			}
		},
	}
	d.server = vhostuser.New(vhostuser.Device{
		Queues:   queues,
		InFlight: 1, // datagrams keep their order
		Config:   binary.LittleEndian.AppendUint64(nil, uint64(cid)),
		Handle:   d.handle,
	})
	go func() {
		d.result = d.server.ServeConn(conn.(*net.UnixConn))
		close(d.closed)
	}()
	return d, nil
}

// AddTo gives a machine the device. It is good for one machine.
func (d *Device) AddTo(cfg *vm.Config) {
	cfg.Devices = append(cfg.Devices, d.Device)
}

// Close ends the device. The machine must have stopped. It returns what the guest or QEMU has done wrong.
func (d *Device) Close() error {
	d.once.Do(func() { d.qemu.Close() })
	d.server.Close()
	<-d.closed
	return d.result
}

// Send sends a datagram and returns when it is in the guest's memory. Until then it waits: for the guest to boot, or to
// take earlier datagrams. Whether there is somebody who listens can't be known.
func (d *Device) Send(ctx context.Context, datagram Datagram) error {
	if len(datagram.Payload) > MaxPayload {
		return fmt.Errorf("vsock: datagram of %d bytes: at most %d fit", len(datagram.Payload), MaxPayload)
	}
	p := packet{bytes: datagram.packet(), taken: make(chan struct{})}
	select {
	case d.packets <- p:
		<-p.taken
		return nil
	case <-d.closed:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// packet returns the datagram after its header, struct virtio_vsock_hdr.
func (d *Datagram) packet() []byte {
	const (
		typeDatagram = 3 // as libkrun has it; virtio 1.2 has none
		opRW         = 5
	)
	b, err := binary.Append(nil, binary.LittleEndian, struct {
		SourceCID, DestinationCID   uint64
		SourcePort, DestinationPort uint32
		Length                      uint32
		Type, Op                    uint16
		Flags, Allocated, Forwarded uint32
	}{
		SourceCID: uint64(d.From.CID), DestinationCID: uint64(d.To.CID),
		SourcePort: d.From.Port, DestinationPort: d.To.Port,
		Length: uint32(len(d.Payload)), Type: typeDatagram, Op: opRW,
	})
	if err != nil {
		panic(err) // a type without a fixed size
	}
	return append(b, d.Payload...)
}

// handle fills the guest's empty buffers with packets as they come. What the guest sends is dropped.
func (d *Device) handle(queue int, _, out [][]byte, stop <-chan struct{}) (int, error) {
	if queue == transmitQueue {
		return 0, nil
	}
	select {
	case <-stop:
		return 0, vhostuser.ErrStopped
	case p := <-d.packets:
		defer close(p.taken)
		n := 0
		for _, b := range out {
			n += copy(b, p.bytes[n:])
		}
		if n < len(p.bytes) {
			return n, fmt.Errorf("packet of %d bytes in a buffer of %d", len(p.bytes), n)
		}
		return n, nil
	}
}

// Package vsock implements a vsock device from which the host can send datagrams to a guest, as
// libkrun does to send its time. The device is for machines of package vm:
//
//	d, err := vsock.New(3) // the guest's address
//	...
//	defer d.Close()
//	d.AddTo(&cfg)          // cfg is a vm.Config
//	go vm.Run(ctx, cfg)
//	err = d.Send(ctx, vsock.Clock(3, vsock.WholeBuffer(time.Now())))
//
// It is the vhost-user back-end of QEMU's vhost-user-vsock-device. QEMU does not offer the feature
// for datagrams to the guest. So the libkrunfw kernel does not send datagrams, but it receives
// them. As in libkrun, a datagram is lost if it arrives before a program in the guest has bound its
// port. Connections are not supported: a connect in the guest gets no reply.
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
	// ClockPort is the source and destination port of datagrams with the time.
	ClockPort = 123
	// MaxPayload is the maximum size of a payload in bytes. libkrun sends payloads of this size.
	MaxPayload = 3732
)

// Address is a vsock address.
type Address struct {
	CID, Port uint32
}

// A Datagram is a datagram for the guest.
type Datagram struct {
	From, To Address
	Payload  []byte
}

// Clock returns a datagram with payload from the host to ClockPort of the guest with the CID guest.
func Clock(guest uint32, payload []byte) Datagram {
	return Datagram{From: Address{HostCID, ClockPort}, To: Address{guest, ClockPort}, Payload: payload}
}

// Time returns the payload for t: the Unix time in nanoseconds, 64 bits, little-endian.
func Time(t time.Time) []byte {
	return binary.LittleEndian.AppendUint64(nil, uint64(t.UnixNano()))
}

// WholeBuffer returns Time(t), padded with arbitrary bytes to MaxPayload bytes, as libkrun sends
// it.
func WholeBuffer(t time.Time) []byte {
	b := append(make([]byte, 0, MaxPayload), Time(t)...)
	for len(b) < MaxPayload {
		b = append(b, 0xa5)
	}
	return b
}

// ErrClosed is the error of Send after the device was closed or QEMU has disconnected from it.
var ErrClosed = errors.New("vsock: the device is closed")

// A Device is the vsock device of one machine. Create it with New.
type Device struct {
	// CID is the guest's address.
	CID uint32

	// Device is the element for vm.Config.Devices; see AddTo.
	Device vm.Device

	server  *vhostuser.Server
	qemu    *os.File // QEMU's end of the connection
	packets chan packet
	closed  chan struct{}
	result  error // the server's error; valid after closed is closed
	once    sync.Once
}

// packet is a datagram that waits for a buffer of the guest.
type packet struct {
	bytes []byte
	taken chan struct{} // closed when the packet is in the guest's memory
}

// Queues of the device that the back-end serves; see virtio 1.2, section 5.10.
const (
	receiveQueue = iota
	transmitQueue
	queues
)

// New returns the device for a guest with the CID cid, which must be at least 3. The caller must
// close it.
func New(cid uint32) (*Device, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "vsock"), os.NewFile(uintptr(fds[1]), "vsock")
	defer ours.Close() // FileConn duplicates it
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
		InFlight: 1, // preserves the order of the datagrams
		Config:   binary.LittleEndian.AppendUint64(nil, uint64(cid)),
		Handle:   d.handle,
	})
	go func() {
		d.result = d.server.ServeConn(conn.(*net.UnixConn))
		close(d.closed)
	}()
	return d, nil
}

// AddTo adds the device to the configuration of a machine. A device can be used by one machine
// only.
func (d *Device) AddTo(cfg *vm.Config) {
	cfg.Devices = append(cfg.Devices, d.Device)
}

// Close closes the device. The machine must have stopped. It returns an error if the guest or QEMU
// has violated the protocol.
func (d *Device) Close() error {
	d.once.Do(func() { d.qemu.Close() })
	d.server.Close()
	<-d.closed
	return d.result
}

// Send sends a datagram and returns when it is in the guest's memory. It waits for the guest to
// boot and to receive earlier datagrams. It fails if the payload is larger than MaxPayload, ctx
// ends, or the device is closed. It cannot detect whether a program in the guest receives the
// datagram.
func (d *Device) Send(ctx context.Context, datagram Datagram) error {
	if len(datagram.Payload) > MaxPayload {
		return fmt.Errorf("vsock: payload of %d bytes: the maximum is %d",
			len(datagram.Payload), MaxPayload)
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

// packet returns the packet for the datagram: a struct virtio_vsock_hdr, then the payload.
func (d *Datagram) packet() []byte {
	const (
		typeDatagram = 3 // libkrun's value; virtio 1.2 defines none
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
		panic(err) // impossible: the struct has a fixed size
	}
	return append(b, d.Payload...)
}

// handle fills a buffer of the guest with the next packet. It drops packets that the guest sends.
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
			return n, fmt.Errorf("packet of %d bytes does not fit into a buffer of %d",
				len(p.bytes), n)
		}
		return n, nil
	}
}

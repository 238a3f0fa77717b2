package vhostuser

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net"
	"sync"
	"syscall"
)

// Features that the device offers.
const (
	featureIndirect         = 1 << 28 // VIRTIO_F_INDIRECT_DESC
	featureProtocolFeatures = 1 << 30 // VHOST_USER_F_PROTOCOL_FEATURES
	featureVersion1         = 1 << 32 // VIRTIO_F_VERSION_1
	features                = featureIndirect | featureProtocolFeatures | featureVersion1

	protocolMultiqueue = 1 << 0
	protocolReplyAck   = 1 << 3
	protocolConfig     = 1 << 9
)

// protocolFeatures returns the protocol features that the device offers.
func (d *Device) protocolFeatures() uint64 {
	if len(d.Config) > 0 {
		return protocolMultiqueue | protocolReplyAck | protocolConfig
	}
	return protocolMultiqueue | protocolReplyAck
}

// session is a connection to a VMM.
type session struct {
	conn   *net.UnixConn
	device *Device
	memory *memory // nil before the VMM sends a memory table
	queues []*queue

	mu     sync.Mutex
	failed error // the first error of a queue
}

func newSession(s *Server, conn *net.UnixConn) *session {
	ss := &session{conn: conn, device: &s.device}
	for i := range s.device.Queues {
		ss.queues = append(ss.queues, &queue{
			server: s,
			index:  i,
			slots:  make(chan struct{}, max(1, s.device.InFlight)),
			fail:   func(err error) { ss.fail(fmt.Errorf("virtqueue %d: %w", i, err)) },
		})
	}
	return ss
}

// fail ends the session. serve returns the err of the first call.
func (ss *session) fail(err error) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.failed == nil {
		ss.failed = err
		ss.conn.Close()
	}
}

// serve serves the VMM until it disconnects, then stops the queues and closes the connection.
func (ss *session) serve() error {
	err := ss.serveMessages()
	if disconnected(err) {
		err = nil
	}
	for i, q := range ss.queues {
		if e := q.close(); e != nil && err == nil {
			err = fmt.Errorf("virtqueue %d: %w", i, e)
		}
	}
	ss.memory.release()
	ss.conn.Close()

	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.failed != nil {
		return ss.failed
	}
	return err
}

// disconnected reports whether err means that the VMM has disconnected.
func disconnected(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (ss *session) serveMessages() error {
	for {
		m, err := readMessage(ss.conn)
		if err != nil {
			return err
		}
		reply, err := ss.handle(m)
		m.closeFDs()
		if err != nil {
			return fmt.Errorf("vhost-user request %d: %w", m.request, err)
		}
		if reply == nil && m.needsReply() {
			reply = encode(uint64(0)) // success
		}
		if reply == nil {
			continue
		}
		if err := writeReply(ss.conn, m.request, reply); err != nil {
			return err
		}
	}
}

// handle executes a request. The reply is nil for requests without a reply of their own.
func (ss *session) handle(m *message) (reply []byte, err error) {
	switch m.request {
	case reqGetFeatures:
		return encode(uint64(features)), nil
	case reqGetProtocolFeatures:
		return encode(ss.device.protocolFeatures()), nil
	case reqGetQueueNum:
		return encode(uint64(len(ss.queues))), nil
	case reqSetOwner:
		return nil, nil
	case reqSetFeatures:
		return nil, ss.setFeatures(m)
	case reqSetProtocolFeatures:
		return nil, checkSubset(m, ss.device.protocolFeatures())
	case reqSetMemTable:
		return nil, ss.setMemTable(m)
	case reqSetVringKick, reqSetVringCall, reqSetVringErr:
		return nil, ss.setVringFD(m)
	case reqSetVringAddr:
		return nil, ss.setVringAddr(m)
	case reqSetVringNum, reqSetVringBase, reqSetVringEnable, reqGetVringBase:
		return ss.vringState(m)
	case reqGetConfig:
		return ss.config(m)
	}
	return nil, errors.New("not supported")
}

func (ss *session) setFeatures(m *message) error {
	if err := checkSubset(m, features); err != nil {
		return err
	}
	if binary.LittleEndian.Uint64(m.payload)&featureProtocolFeatures == 0 {
		for _, q := range ss.queues { // without this feature, the VMM does not enable queues
			q.enabled = true
		}
	}
	return nil
}

// checkSubset returns an error if the features in the payload of m are not a subset of offered.
func checkSubset(m *message, offered uint64) error {
	var set uint64
	if err := decode(m, &set); err != nil {
		return err
	}
	if extra := set &^ offered; extra != 0 {
		return fmt.Errorf("features %#x were not offered", extra)
	}
	return nil
}

func (ss *session) setMemTable(m *message) error {
	var count struct{ Regions, Padding uint32 }
	n, err := binary.Decode(m.payload, binary.LittleEndian, &count)
	if err != nil {
		return err
	}
	if count.Regions == 0 || count.Regions > maxFDs {
		return fmt.Errorf("memory table of %d regions, want 1 to %d", count.Regions, maxFDs)
	}
	infos := make([]regionInfo, count.Regions)
	if _, err := binary.Decode(m.payload[n:], binary.LittleEndian, infos); err != nil {
		return err
	}
	memory, err := mapMemory(infos, m.fds)
	if err != nil {
		return err
	}
	ss.memory.release()
	ss.memory = memory
	for _, q := range ss.queues {
		if err := q.setMemory(memory); err != nil {
			return err
		}
	}
	return nil
}

func (ss *session) setVringFD(m *message) error {
	const noFile = 1 << 8
	var v uint64
	if err := decode(m, &v); err != nil {
		return err
	}
	q, err := ss.queue(uint32(v & 0xff))
	if err != nil {
		return err
	}
	fd := -1
	if v&noFile == 0 {
		if len(m.fds) != 1 {
			return fmt.Errorf("%d file descriptors, want 1", len(m.fds))
		}
		fd = m.fds[0]
	}
	switch m.request {
	case reqSetVringCall:
		q.setCall(fd)
		m.fds = nil
	case reqSetVringKick:
		if err := q.stop(); err != nil {
			return err
		}
		if err := q.setKick(fd); err != nil {
			return err
		}
		m.fds = nil
		return q.start(ss.memory)
	}
	return nil // SET_VRING_ERR has no effect, because every error ends the session
}

func (ss *session) setVringAddr(m *message) error {
	var v struct {
		Index, Flags           uint32
		Desc, Used, Avail, Log uint64
	}
	if err := decode(m, &v); err != nil {
		return err
	}
	q, err := ss.queue(v.Index)
	if err != nil {
		return err
	}
	q.addresses = ringAddresses{desc: v.Desc, used: v.Used, avail: v.Avail}
	return nil
}

// vringState executes the requests whose payload is the index of a queue and a number.
func (ss *session) vringState(m *message) (reply []byte, err error) {
	var v struct{ Index, Num uint32 }
	if err := decode(m, &v); err != nil {
		return nil, err
	}
	q, err := ss.queue(v.Index)
	if err != nil {
		return nil, err
	}
	switch m.request {
	case reqSetVringNum:
		if v.Num > maxRingSize || bits.OnesCount32(v.Num) != 1 {
			return nil, fmt.Errorf("ring of %d descriptors, want a power of 2 up to %d",
				v.Num, maxRingSize)
		}
		q.size = uint16(v.Num)
	case reqSetVringBase:
		q.nextAvail = uint16(v.Num)
	case reqSetVringEnable:
		q.enabled = v.Num != 0
		if !q.enabled {
			return nil, q.stop()
		}
		return nil, q.start(ss.memory)
	case reqGetVringBase:
		err := q.stop()
		q.closeKick() // the next SET_VRING_KICK starts the queue again
		v.Num = uint32(q.nextAvail)
		return encode(v), err
	}
	return nil, nil
}

// config returns the reply to GET_CONFIG: the header of the request and the requested part of the
// configuration space.
func (ss *session) config(m *message) (reply []byte, err error) {
	var h struct{ Offset, Size, Flags uint32 }
	n, err := binary.Decode(m.payload, binary.LittleEndian, &h)
	if err != nil {
		return nil, err
	}
	if end := uint64(h.Offset) + uint64(h.Size); end > uint64(len(ss.device.Config)) {
		return nil, fmt.Errorf("configuration space up to byte %d, but it has %d bytes",
			end, len(ss.device.Config))
	}
	return append(m.payload[:n:n], ss.device.Config[h.Offset:][:h.Size]...), nil
}

func (ss *session) queue(i uint32) (*queue, error) {
	if i >= uint32(len(ss.queues)) {
		return nil, fmt.Errorf("virtqueue %d of a device with %d", i, len(ss.queues))
	}
	return ss.queues[i], nil
}

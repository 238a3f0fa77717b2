package vhostuser

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// Requests of the vhost-user protocol from the VMM.
const (
	reqGetFeatures         = 1
	reqSetFeatures         = 2
	reqSetOwner            = 3
	reqSetMemTable         = 5
	reqSetVringNum         = 8
	reqSetVringAddr        = 9
	reqSetVringBase        = 10
	reqGetVringBase        = 11
	reqSetVringKick        = 12
	reqSetVringCall        = 13
	reqSetVringErr         = 14
	reqGetProtocolFeatures = 15
	reqSetProtocolFeatures = 16
	reqGetQueueNum         = 17
	reqSetVringEnable      = 18
	reqGetConfig           = 24
)

// Flags of a message.
const (
	flagVersion   = 1
	flagReply     = 4
	flagNeedReply = 8
)

const (
	maxPayload = 4096 // bytes
	maxFDs     = 8    // the protocol's maximum number of memory regions
)

// message is a vhost-user message from the VMM.
type message struct {
	request, flags uint32
	payload        []byte
	fds            []int // open file descriptors; a function that keeps them sets fds to nil
}

// readMessage reads a message from the VMM. The caller must close its file descriptors. It returns
// io.EOF if the VMM has disconnected.
func readMessage(conn *net.UnixConn) (*message, error) {
	var header [12]byte
	oob := make([]byte, unix.CmsgSpace(4*maxFDs))
	n, oobn, _, _, err := conn.ReadMsgUnix(header[:], oob)
	if err != nil {
		return nil, err
	}
	m := &message{}
	if m.fds, err = receivedFDs(oob[:oobn]); err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.EOF
	}
	if err := m.read(conn, header[:], n); err != nil {
		m.closeFDs()
		return nil, err
	}
	return m, nil
}

// read reads the rest of a message, of whose header n bytes have been read.
func (m *message) read(r io.Reader, header []byte, n int) error {
	if _, err := io.ReadFull(r, header[n:]); err != nil {
		return err
	}
	m.request = binary.LittleEndian.Uint32(header[0:])
	m.flags = binary.LittleEndian.Uint32(header[4:])
	size := binary.LittleEndian.Uint32(header[8:])
	if size > maxPayload {
		return fmt.Errorf("vhost-user request %d: payload of %d bytes, want at most %d",
			m.request, size, maxPayload)
	}
	m.payload = make([]byte, size)
	_, err := io.ReadFull(r, m.payload)
	return err
}

func (m *message) needsReply() bool { return m.flags&flagNeedReply != 0 }

func (m *message) closeFDs() {
	for _, fd := range m.fds {
		unix.Close(fd)
	}
}

// receivedFDs returns the file descriptors in the control messages oob.
func receivedFDs(oob []byte) ([]int, error) {
	cmsgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var fds []int
	for _, c := range cmsgs {
		received, err := unix.ParseUnixRights(&c)
		if err != nil {
			return nil, err
		}
		fds = append(fds, received...)
	}
	return fds, nil
}

func writeReply(w io.Writer, request uint32, payload []byte) error {
	header := [3]uint32{request, flagVersion | flagReply, uint32(len(payload))}
	_, err := w.Write(append(encode(header), payload...))
	return err
}

// decode decodes the payload of m into v. It fails if the payload has another size than v.
func decode(m *message, v any) error {
	if n := binary.Size(v); len(m.payload) != n {
		return fmt.Errorf("payload of %d bytes, want %d", len(m.payload), n)
	}
	_, err := binary.Decode(m.payload, binary.LittleEndian, v)
	return err
}

func encode(v any) []byte {
	b, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		panic(err) // the type of v has no fixed size, which is a bug
	}
	return b
}

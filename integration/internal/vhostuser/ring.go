package vhostuser

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// Limits of a request. The largest requests are those of virtiofs, which have a header and at most
// 256 pages of data.
const (
	maxRingSize      = 1 << 15 // virtio 1.2, 2.7
	maxRequestLength = 2 << 20 // bytes; for the request and the reply each
)

// Flags of a descriptor (virtio 1.2, 2.7.5).
const (
	descNext     = 1
	descWrite    = 2
	descIndirect = 4

	descSize = 16
)

// availNoInterrupt is the flag of the available ring with which the guest disables notifications.
const availNoInterrupt = 1

// ringAddresses has the addresses of the parts of a ring, in the VMM's address space.
type ringAddresses struct {
	desc, used, avail uint64
}

// ring is a split virtqueue in guest memory. It holds a reference to that memory.
type ring struct {
	memory *memory
	size   uint16 // a power of 2
	desc   []byte
	avail  []byte // flags, idx, size heads: uint16 each
	used   []byte // flags, idx: uint16, then size times head, length: uint32

	nextAvail uint16 // index of the next entry of avail to take
	nextUsed  uint16 // index of the next entry of used to fill
}

// chain is a request of the guest: a chain of descriptors.
type chain struct {
	head uint16
	in   buffers // the request, to be read
	out  buffers // room for the reply, to be written
}

// buffers are consecutive pieces of guest memory.
type buffers struct {
	pieces [][]byte
	length uint64 // of all pieces, bytes
}

// newRing returns the ring at the given addresses of m. It fails if m does not contain the ring.
func newRing(m *memory, size uint16, at ringAddresses, nextAvail uint16) (*ring, error) {
	n := uint64(size)
	desc, errDesc := m.user(at.desc, descSize*n)
	avail, errAvail := m.user(at.avail, 4+2*n)
	used, errUsed := m.user(at.used, 4+8*n)
	if err := errors.Join(errDesc, errAvail, errUsed); err != nil {
		return nil, err
	}
	for _, b := range [][]byte{avail, used} {
		if uintptr(unsafe.Pointer(&b[0]))%4 != 0 {
			return nil, errors.New("misaligned ring") // flags and index are accessed as one uint32
		}
	}
	r := &ring{
		memory:    m.retain(),
		size:      size,
		desc:      desc,
		avail:     avail,
		used:      used,
		nextAvail: nextAvail,
	}
	_, r.nextUsed = ringHead(used)
	return r, nil
}

// ringHead returns the flags and the index at the start of b, an available or used ring.
func ringHead(b []byte) (flags, index uint16) {
	head := atomic.LoadUint32((*uint32)(unsafe.Pointer(&b[0])))
	return uint16(head), uint16(head >> 16)
}

// storeIndex sets the index at the start of b, an available or used ring, and clears the flags.
func storeIndex(b []byte, index uint16) {
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&b[0])), uint32(index)<<16)
}

// pop takes and returns the next request, or nil if the ring is empty. The buffers are valid while
// the caller holds a reference to r.memory. It fails if the guest has written an invalid request.
func (r *ring) pop() (*chain, error) {
	_, index := ringHead(r.avail)
	switch available := index - r.nextAvail; {
	case available == 0:
		return nil, nil
	case available > r.size:
		return nil, fmt.Errorf("%d requests available in a ring of %d", available, r.size)
	}
	head := binary.LittleEndian.Uint16(r.avail[4+2*int(r.nextAvail%r.size):])
	c := &chain{head: head}
	if err := r.walk(c, r.desc, head, false); err != nil {
		return nil, fmt.Errorf("request %d: %w", head, err)
	}
	r.nextAvail++
	return c, nil
}

// walk adds the buffers of a chain of descriptors to c. The chain begins at index i of table.
// indirect is whether table is an indirect table.
func (r *ring) walk(c *chain, table []byte, i uint16, indirect bool) error {
	count := len(table) / descSize
	for range count {
		if int(i) >= count {
			return fmt.Errorf("descriptor %d in a table of %d", i, count)
		}
		var d [descSize]byte // a copy, because the guest can change the original at any time
		copy(d[:], table[int(i)*descSize:])
		addr := binary.LittleEndian.Uint64(d[0:])
		length := binary.LittleEndian.Uint32(d[8:])
		flags := binary.LittleEndian.Uint16(d[12:])

		if flags&descIndirect != 0 {
			if indirect || flags&descNext != 0 {
				return errors.New("misplaced indirect descriptor")
			}
			table, err := r.indirectTable(addr, length)
			if err != nil {
				return err
			}
			return r.walk(c, table, 0, true)
		}
		if err := r.addBuffer(c, addr, length, flags&descWrite != 0); err != nil {
			return err
		}
		if flags&descNext == 0 {
			return nil
		}
		i = binary.LittleEndian.Uint16(d[14:])
	}
	return errors.New("loop of descriptors")
}

// indirectTable returns a copy of the indirect descriptor table of length bytes at addr.
func (r *ring) indirectTable(addr uint64, length uint32) ([]byte, error) {
	if length == 0 || length%descSize != 0 || length/descSize > uint32(r.size) {
		return nil, fmt.Errorf("indirect table of %d bytes", length)
	}
	parts, err := r.memory.appendGuest(nil, addr, uint64(length))
	if err != nil {
		return nil, fmt.Errorf("indirect table: %w", err)
	}
	table := make([]byte, 0, length)
	for _, p := range parts {
		table = append(table, p...)
	}
	return table, nil
}

func (r *ring) addBuffer(c *chain, addr uint64, length uint32, write bool) error {
	to := &c.in
	if write {
		to = &c.out
	} else if len(c.out.pieces) > 0 {
		return errors.New("readable buffer after a writable one")
	}
	if to.length += uint64(length); to.length > maxRequestLength {
		return fmt.Errorf("buffers of more than %d bytes", maxRequestLength)
	}
	pieces, err := r.memory.appendGuest(to.pieces, addr, uint64(length))
	to.pieces = pieces
	return err
}

// push returns the request to the guest, with a reply of n bytes. It reports whether the guest
// wants a notification.
func (r *ring) push(head uint16, n int) (notify bool) {
	entry := r.used[4+8*int(r.nextUsed%r.size):]
	binary.LittleEndian.PutUint32(entry[0:], uint32(head))
	binary.LittleEndian.PutUint32(entry[4:], uint32(n))
	r.nextUsed++
	storeIndex(r.used, r.nextUsed)
	flags, _ := ringHead(r.avail)
	return flags&availNoInterrupt == 0
}

package vhostuser

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// memory is a mapping of the guest's memory into this process. It is unmapped when the last
// reference is released, so that the VMM can replace the memory table while requests still use the
// old mapping.
type memory struct {
	regions    []region
	references atomic.Int32
}

// region is one contiguous piece of guest memory.
type region struct {
	guest uint64 // guest-physical address
	user  uint64 // address in the VMM's address space; addresses of rings are of this kind
	bytes []byte
}

// regionInfo is the description of a region in VHOST_USER_SET_MEM_TABLE.
type regionInfo struct {
	Guest, Size, User, Offset uint64
}

// mapMemory maps the regions; fds[i] is the file of region i. The result has one reference, which
// the caller must release. It fails if a region exceeds its file.
func mapMemory(infos []regionInfo, fds []int) (*memory, error) {
	if len(infos) != len(fds) {
		return nil, fmt.Errorf("memory table: %d regions with %d file descriptors", len(infos), len(fds))
	}
	m := &memory{}
	m.references.Store(1)
	for i, info := range infos {
		b, err := info.mmap(fds[i])
		if err != nil {
			m.release()
			return nil, fmt.Errorf("memory region of %#x bytes at %#x: %w", info.Size, info.Guest, err)
		}
		m.regions = append(m.regions, region{guest: info.Guest, user: info.User, bytes: b})
	}
	return m, nil
}

func (info *regionInfo) mmap(fd int) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	// Mapping more than the file has would succeed, but an access would cause a SIGBUS.
	if size := uint64(st.Size); info.Offset > size || info.Size > size-info.Offset {
		return nil, fmt.Errorf("the region exceeds its file of %#x bytes", size)
	}
	return unix.Mmap(fd, int64(info.Offset), int(info.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

func (m *memory) retain() *memory {
	m.references.Add(1)
	return m
}

func (m *memory) release() {
	if m == nil || m.references.Add(-1) > 0 {
		return
	}
	for _, r := range m.regions {
		unix.Munmap(r.bytes)
	}
}

// appendGuest appends the n bytes at the guest-physical address addr to dst, in one piece for each
// region. It fails if the guest has no memory at one of the addresses.
func (m *memory) appendGuest(dst [][]byte, addr, n uint64) ([][]byte, error) {
	for n > 0 {
		b := m.find(addr, func(r *region) uint64 { return r.guest })
		if b == nil {
			return nil, fmt.Errorf("no guest memory at %#x", addr)
		}
		b = b[:min(n, uint64(len(b)))]
		dst = append(dst, b)
		addr += uint64(len(b))
		n -= uint64(len(b))
	}
	return dst, nil
}

// user returns the n bytes at addr, an address of the VMM. It fails if they are not in one region.
func (m *memory) user(addr, n uint64) ([]byte, error) {
	b := m.find(addr, func(r *region) uint64 { return r.user })
	if uint64(len(b)) < n {
		return nil, fmt.Errorf("no %#x bytes of guest memory at VMM address %#x", n, addr)
	}
	return b[:n], nil
}

// find returns the bytes from addr to the end of its region, or nil if addr is in no region. base
// returns the start of a region in the address space of addr.
func (m *memory) find(addr uint64, base func(*region) uint64) []byte {
	for i := range m.regions {
		r := &m.regions[i]
		if start := base(r); addr >= start && addr-start < uint64(len(r.bytes)) {
			return r.bytes[addr-start:]
		}
	}
	return nil
}

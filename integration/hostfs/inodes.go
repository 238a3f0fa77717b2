package hostfs

import "sync"

const rootInode = 1

// inodes hands out the inode numbers of a file system, to virtual files and to those of the host alike, so that no two
// are the same.
type inodes struct {
	mu    sync.Mutex
	last  uint64
	hosts map[uint64]uint64 // by the identity that go-fuse gives a file of the host
}

func newInodes() inodes {
	return inodes{last: rootInode, hosts: map[uint64]uint64{}}
}

// next returns a number for something virtual.
func (i *inodes) next() uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last++
	return i.last
}

// ofHost returns the number of a file of the host, always the same.
func (i *inodes) ofHost(id uint64) uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	n, ok := i.hosts[id]
	if !ok {
		i.last++
		n = i.last
		i.hosts[id] = n
	}
	return n
}

// setRoot makes id the root directory.
func (i *inodes) setRoot(id uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.hosts[id] = rootInode
}

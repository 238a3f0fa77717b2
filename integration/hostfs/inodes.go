package hostfs

import "sync"

const rootInode = 1

// inodes assigns unique inode numbers to the virtual files and the files of the host.
type inodes struct {
	mu    sync.Mutex
	last  uint64
	hosts map[uint64]uint64 // numbers of the host's files, by go-fuse's identity of the file
}

func newInodes() inodes {
	return inodes{last: rootInode, hosts: map[uint64]uint64{}}
}

// next returns the number for a new virtual file or directory.
func (i *inodes) next() uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last++
	return i.last
}

// ofHost returns the number of the host's file with go-fuse's identity id. It returns the same
// number each time.
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

// setRoot assigns the root's number to the host's directory with go-fuse's identity id.
func (i *inodes) setRoot(id uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.hosts[id] = rootInode
}

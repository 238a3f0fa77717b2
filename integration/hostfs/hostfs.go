// Package hostfs implements the root file system that a libkrun host shares with its guest: a
// directory of the host, or an empty root, with an overlay of virtual files and directories. It has
// libkrun's semantics:
//
//   - A virtual file hides a file of the base with the same path. It is read-only: opening it for
//     writing fails with EACCES, changing it with EPERM. Readdir does not list it.
//   - The name of a one-shot file exists for exactly one LOOKUP; later ones find the base's file.
//     The contents exist until the first RELEASE of the inode, by any process; then READ and
//     GETATTR fail.
//   - Virtual directories, both configured ones and parents of virtual files, serve as mount
//     points only: the guest cannot create files in them, and mkdir of one fails with EEXIST. If
//     the base has a directory with the same path, the guest gets that directory, with the virtual
//     names in it.
//   - The empty root lists no files, and the guest cannot create files in it.
//   - The guest reports its exit code by an ioctl on the root directory.
//
// The package is for tests and trusted images: a malicious guest kernel can reach files outside of
// Base by renaming directories while it accesses them.
package hostfs

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Config describes a root file system.
type Config struct {
	// Base is the directory of the host that is the guest's root; "" means the empty root. The
	// guest's changes are made in it, with the file modes that the guest requests. If this process
	// runs as root, the files also have the owners that the guest requests.
	Base string

	// ReadOnly makes every modification fail with EROFS.
	ReadOnly bool

	// HostChanges is whether the host changes Base while the guest runs. If it does not, the guest
	// caches names and attributes without a time limit; if it does, the guest requests them each
	// time. The guest caches file contents in both cases, as long as size and modification time
	// stay the same.
	HostChanges bool

	// Files are the virtual files.
	Files []File

	// Dirs are the absolute paths of the virtual directories.
	Dirs []string

	// OnExitCode is called when the guest reports its exit code. If it is nil, the guest's request
	// fails with ENOTTY.
	OnExitCode func(code int32)

	// OnRemoveRootDir is called when a guest that has moved to another root requests to remove this
	// one. The package itself removes nothing. If it is nil, the guest's request fails with ENOTTY.
	OnRemoveRootDir func()
}

// File is a virtual file.
type File struct {
	Path    string // absolute path in the guest
	Source  string // path of the host's file with the contents; "" means that Data has them
	Data    []byte // not copied
	Mode    uint32 // permissions; 0 means 0644
	OneShot bool   // the file can be looked up once; see the package documentation
}

// FS is a root file system. It can serve one guest, once.
type FS struct {
	fuse.RawFileSystem // the node tree, wrapped by readOnly if Config.ReadOnly is set

	config    Config
	cacheTime time.Duration // how long the guest may cache names and attributes
	started   time.Time     // the timestamps of all virtual files and directories
	inodes    inodes
	loopback  *fs.LoopbackRoot // nil for the empty root

	mu   sync.Mutex
	open map[fs.FileHandle]bool // files of the host that the guest has open
}

// Close closes the files that the guest has left open, for example because it was killed. The file
// system must not be served any more.
func (f *FS) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for fh := range f.open {
		fh.(fs.FileReleaser).Release(context.Background())
	}
	f.open = nil
}

// opened adds fh to the files that the guest has open, and returns it.
func (f *FS) opened(fh fs.FileHandle) fs.FileHandle {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[fh] = true
	return fh
}

// release closes fh and removes it from the files that the guest has open.
func (f *FS) release(ctx context.Context, fh fs.FileHandle) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, fh)
	return fh.(fs.FileReleaser).Release(ctx)
}

// forever is a cache time that is longer than any guest runs.
const forever = 10 * 365 * 24 * time.Hour

// New returns the file system for config. It reads the sources of the virtual files. It fails if a
// source cannot be read, Base is not a directory, or the paths of virtual files and directories are
// not absolute or contradict each other.
func New(config Config) (*FS, error) {
	f := &FS{
		config:  config,
		started: time.Now(),
		inodes:  newInodes(),
		open:    map[fs.FileHandle]bool{},
	}
	if !config.HostChanges {
		f.cacheTime = forever
	}
	overlay, err := f.newOverlay()
	if err != nil {
		return nil, err
	}
	var root fs.InodeEmbedder
	if config.Base == "" {
		root = &virtualDir{virtual: virtual{fsys: f}, directory: overlay}
	} else if root, err = f.newHostRoot(overlay); err != nil {
		return nil, err
	}
	f.RawFileSystem = fs.NewNodeFS(root, &fs.Options{
		NegativeTimeout: &f.cacheTime,
		NullPermissions: true,
		RootStableAttr:  &fs.StableAttr{Ino: rootInode},
	})
	if config.ReadOnly {
		f.RawFileSystem = readOnly{f.RawFileSystem}
	}
	return f, nil
}

// MountOptions returns the mount options with which f must be served.
func (f *FS) MountOptions() *fuse.MountOptions {
	return &fuse.MountOptions{
		MaxWrite:             1 << 20, // bytes; the limit of reads too
		EnableSymlinkCaching: !f.config.HostChanges,
		DisableReadDirPlus:   true, // its look-ups would consume one-shot names
	}
}

// Ioctl requests of libkrun, for the root directory.
const (
	ioctlExitCode      = 0x7602 // the argument is the exit code, not a pointer
	ioctlRemoveRootDir = 0x7603
)

// Ioctl implements libkrun's two requests. It fails with ENOTTY for all others, because they must
// not reach file descriptors of the host.
func (f *FS) Ioctl(_ <-chan struct{}, in *fuse.IoctlIn, _ []byte, _ *fuse.IoctlOut, _ []byte) fuse.Status {
	if in.NodeId != fuse.FUSE_ROOT_ID {
		return fuse.Status(syscall.ENOTTY)
	}
	switch {
	case in.Cmd == ioctlExitCode && f.config.OnExitCode != nil:
		f.config.OnExitCode(int32(in.Arg))
		return fuse.OK
	case in.Cmd == ioctlRemoveRootDir && f.config.OnRemoveRootDir != nil:
		f.config.OnRemoveRootDir()
		return fuse.OK
	}
	return fuse.Status(syscall.ENOTTY)
}

// Statx returns ENOSYS, which makes the guest use GETATTR. The Statx of go-fuse's loopback node
// would follow symbolic links.
func (f *FS) Statx(<-chan struct{}, *fuse.StatxIn, *fuse.StatxOut) fuse.Status {
	return fuse.ENOSYS
}

// Tmpfile returns ENOSYS, which makes O_TMPFILE fail with EOPNOTSUPP in the guest. Programs handle
// that error. go-fuse could create such a file, but not link it.
func (f *FS) Tmpfile(<-chan struct{}, *fuse.CreateIn, *fuse.CreateOut) fuse.Status {
	return fuse.ENOSYS
}

// Package hostfs is the root file system that a libkrun host shows its guest: a directory of the host's, or an empty
// root, with an overlay of virtual files and directories. It has libkrun's semantics:
//
//   - A virtual file hides what the base has under its name. It is read-only (opening it for writing fails with
//     EACCES, changing it with EPERM) and not listed by readdir.
//   - A one-shot file has a name for exactly one LOOKUP; then the name is the base's again. Its contents last until
//     the first RELEASE of its inode, whoever had it open; after that READ and GETATTR fail.
//   - Virtual directories, given by name or needed by a virtual file, are mount points and nothing else: mkdir of one
//     fails with EEXIST. Where the base has a directory of that name, it is that directory.
//   - The empty root lists nothing and nothing can be made in it.
//   - The guest reports its exit code by an ioctl on the root directory.
//
// It is made for tests and for images one trusts: a guest kernel with evil intent can reach files outside Base by
// racing its own renames.
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
	// Base is the directory of the host that is the guest's root; "" is the empty root. The guest's changes land in
	// it, with mode and, if this process is root, owner.
	Base string

	// ReadOnly makes every modification fail with EROFS.
	ReadOnly bool

	// HostChanges tells that the host changes Base while the guest runs. Without it, the guest caches names and
	// attributes for good; with it, it asks every time. File contents are cached in either case as long as size and
	// modification time stay the same.
	HostChanges bool

	// Files are the virtual files.
	Files []File

	// Dirs are the virtual directories, as absolute paths in the guest.
	Dirs []string

	// OnExitCode is called when the guest reports its exit code. Nil: the host does not know this request.
	OnExitCode func(code int32)

	// OnRemoveRootDir is called when a guest that has moved to another root asks the host to remove this one. Nothing is
	// removed. Nil: the host does not know this request.
	OnRemoveRootDir func()
}

// File is a virtual file.
type File struct {
	Path    string // in the guest, absolute
	Source  string // the file of the host that is read for the contents; "" for Data
	Data    []byte // not copied
	Mode    uint32 // permissions; 0 is 0644
	OneShot bool
}

// FS is a root file system. It serves one guest, once.
type FS struct {
	fuse.RawFileSystem // the node tree, behind readOnly where the configuration says so

	config    Config
	cacheTime time.Duration // that the guest may rely on names and attributes
	started   time.Time     // the time stamp of everything virtual
	inodes    inodes
	loopback  *fs.LoopbackRoot // nil for the empty root

	mu   sync.Mutex
	open map[fs.FileHandle]bool // files of the host that the guest has open
}

// Close closes the files that a guest has left open which was killed, say. The file system must not be served any more.
func (f *FS) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for fh := range f.open {
		fh.(fs.FileReleaser).Release(context.Background())
	}
	f.open = nil
}

// opened notes that the guest has opened a file.
func (f *FS) opened(fh fs.FileHandle) fs.FileHandle {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[fh] = true
	return fh
}

// release closes a file.
func (f *FS) release(ctx context.Context, fh fs.FileHandle) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, fh)
	return fh.(fs.FileReleaser).Release(ctx)
}

// forever outlasts any guest.
const forever = 10 * 365 * 24 * time.Hour

// New returns the file system for config. It reads the sources of the virtual files.
func New(config Config) (*FS, error) {
	f := &FS{config: config, started: time.Now(), inodes: newInodes(), open: map[fs.FileHandle]bool{}}
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

// MountOptions returns the options that a server of f needs.
func (f *FS) MountOptions() *fuse.MountOptions {
	return &fuse.MountOptions{
		MaxWrite:             1 << 20, // bytes, for reads too
		EnableSymlinkCaching: !f.config.HostChanges,
		DisableReadDirPlus:   true, // it would look up, and so use up, one-shot names
	}
}

// Ioctl requests of libkrun's, on the root directory.
const (
	ioctlExitCode      = 0x7602 // the argument itself is the code
	ioctlRemoveRootDir = 0x7603
)

// Ioctl takes libkrun's two requests. All others end here: none may reach a file descriptor of the host.
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

// Statx makes the guest use GETATTR: go-fuse's loopback would follow symbolic links here.
func (f *FS) Statx(<-chan struct{}, *fuse.StatxIn, *fuse.StatxOut) fuse.Status {
	return fuse.ENOSYS
}

// Tmpfile makes the guest answer O_TMPFILE with EOPNOTSUPP, which programs expect. go-fuse could make such a file, but
// not link it.
func (f *FS) Tmpfile(<-chan struct{}, *fuse.CreateIn, *fuse.CreateOut) fuse.Status {
	return fuse.ENOSYS
}

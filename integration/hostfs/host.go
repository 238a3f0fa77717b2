package hostfs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// hostNode is the node of a file or directory of Base. It embeds go-fuse's loopback node and
// overrides the methods that have to respect virtual names, inode numbers and removed files.
type hostNode struct {
	fs.LoopbackNode
	fsys    *FS
	overlay *directory // the virtual names in the directory; nil if there are none
	device  uint64     // XORed with an inode number, it is go-fuse's identity of the file

	mu   sync.Mutex
	open []fs.FileHandle // open handles of a regular file, for access after it is removed
}

// newHostRoot returns the node of Base. It fails if Base is not a directory.
func (f *FS) newHostRoot(overlay *directory) (*hostNode, error) {
	base, err := filepath.Abs(f.config.Base)
	if err == nil {
		base, err = filepath.EvalSymlinks(base)
	}
	var st syscall.Stat_t
	if err == nil {
		err = syscall.Stat(base, &st)
	}
	if err == nil && st.Mode&syscall.S_IFMT != syscall.S_IFDIR {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, fmt.Errorf("base directory %s: %w", f.config.Base, err)
	}
	f.config.Base = base
	f.loopback = &fs.LoopbackRoot{Path: base, Dev: uint64(st.Dev)}
	root := f.newHostNode(overlay)
	f.loopback.RootNode = root
	f.inodes.setRoot(st.Ino) // go-fuse's identity of a file on the root's device
	return root, nil
}

func (f *FS) newHostNode(overlay *directory) *hostNode {
	return &hostNode{LoopbackNode: fs.LoopbackNode{RootData: f.loopback}, fsys: f, overlay: overlay}
}

// path returns the path on the host of name, a child of n, or of n itself if name is empty.
func (n *hostNode) path(name string) string {
	return filepath.Join(n.fsys.config.Base, n.Path(n.Root()), name)
}

func (n *hostNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	switch e := n.overlay.lookup(name).(type) {
	case nil:
		return n.lookupHost(ctx, name, nil, out)
	case *directory:
		if child, errno := n.lookupHost(ctx, name, e, out); errno == 0 && child.IsDir() {
			return child, 0
		}
		*out = fuse.EntryOut{}
		return n.fsys.lookupVirtual(ctx, n.EmbeddedInode(), e, out), 0
	default:
		return n.fsys.lookupVirtual(ctx, n.EmbeddedInode(), e, out), 0
	}
}

// lookupHost looks up name in Base only. If it is a directory, overlay has the virtual names in it.
func (n *hostNode) lookupHost(ctx context.Context, name string, overlay *directory, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	found, errno := n.LoopbackNode.Lookup(ctx, name, out)
	if errno != 0 {
		return nil, errno
	}
	id := found.StableAttr()
	node := n.fsys.newHostNode(overlay)
	node.device = id.Ino ^ out.Attr.Ino
	id.Ino = n.fsys.inodes.ofHost(id.Ino)
	out.SetEntryTimeout(n.fsys.cacheTime)
	out.SetAttrTimeout(n.fsys.cacheTime)
	return n.NewInode(ctx, node, id), 0
}

func (n *hostNode) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.SetTimeout(n.fsys.cacheTime)
	return n.LoopbackNode.Getattr(ctx, f, out)
}

func (n *hostNode) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	n.mu.Lock()
	defer n.mu.Unlock()
	if f == nil && n.isRemoved() && len(n.open) > 0 {
		f = n.open[0]
	}
	errno := n.LoopbackNode.Setattr(ctx, f, in, out)
	out.SetTimeout(n.fsys.cacheTime)
	out.Ino = n.StableAttr().Ino
	return errno
}

// openFlags are the flags of open(2) that apply here and have the same value on every architecture,
// because those of host and guest may differ. Other flags are dropped.
const openFlags = syscall.O_ACCMODE | syscall.O_TRUNC | syscall.O_EXCL | syscall.O_SYNC | syscall.O_DSYNC

// Open opens regular files and fails with ENXIO for others. The guest's kernel implements FIFOs and
// devices itself; it must not get those of the host.
func (n *hostNode) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if n.Mode() != fuse.S_IFREG {
		return nil, 0, syscall.ENXIO
	}
	flags &= openFlags
	n.mu.Lock()
	defer n.mu.Unlock()
	var fh fs.FileHandle
	var errno syscall.Errno
	if n.isRemoved() {
		fh, errno = n.reopen(flags)
	} else {
		fh, _, errno = n.LoopbackNode.Open(ctx, flags)
	}
	if errno != 0 {
		return nil, 0, errno
	}
	n.open = append(n.open, n.fsys.opened(fh))
	return fh, fuse.FOPEN_KEEP_CACHE, 0
}

// reopen opens a removed file again, which the guest can do by /proc/PID/fd. It requires n.mu. It
// fails with ENOENT if the guest does not have the file open.
func (n *hostNode) reopen(flags uint32) (fs.FileHandle, syscall.Errno) {
	path, errno := n.openPath()
	if errno != 0 {
		return nil, errno
	}
	fd, err := syscall.Open(path, int(flags)|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fs.ToErrno(err)
	}
	return fs.NewLoopbackFile(fd), 0
}

// openPath returns a path to n that works after n was removed. It requires n.mu; the path is valid
// until n.mu is unlocked. It fails with ENOENT if the guest does not have n open.
func (n *hostNode) openPath() (string, syscall.Errno) {
	if len(n.open) == 0 {
		return "", syscall.ENOENT
	}
	fd, ok := n.open[0].(fs.FilePassthroughFder).PassthroughFd()
	if !ok {
		return "", syscall.ENOENT
	}
	return fmt.Sprintf("/proc/self/fd/%d", fd), 0
}

// Getxattr works for removed files too, because the guest's kernel reads the file capabilities of
// every program that it executes.
func (n *hostNode) Getxattr(ctx context.Context, attr string, dest []byte) (uint32, syscall.Errno) {
	if !n.isRemoved() {
		return n.LoopbackNode.Getxattr(ctx, attr, dest)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	path, errno := n.openPath()
	if errno != 0 {
		return 0, errno
	}
	size, err := unix.Getxattr(path, attr, dest)
	return uint32(size), fs.ToErrno(err)
}

func (n *hostNode) Release(ctx context.Context, f fs.FileHandle) syscall.Errno {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open = slices.DeleteFunc(n.open, func(o fs.FileHandle) bool { return o == f })
	return n.fsys.release(ctx, f)
}

// isRemoved reports whether the last name of n has been removed.
func (n *hostNode) isRemoved() bool {
	_, parent := n.Parent()
	return parent == nil && !n.IsRoot()
}

// virtualError returns errno if name is a virtual name in n, which the guest must not create,
// replace or remove. Otherwise it returns 0.
func (n *hostNode) virtualError(name string, errno syscall.Errno) syscall.Errno {
	if n.overlay.get(name) == nil {
		return 0
	}
	return errno
}

func (n *hostNode) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	var fh fs.FileHandle
	node, errno := n.add(ctx, name, mode, out, func(path string) error {
		fd, err := syscall.Open(path, int(flags&openFlags)|syscall.O_CREAT|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, mode&0o777)
		if err != nil {
			return err
		}
		fh = fs.NewLoopbackFile(fd)
		return nil
	})
	if errno != 0 {
		return nil, nil, 0, errno
	}
	node.Operations().(*hostNode).open = []fs.FileHandle{n.fsys.opened(fh)}
	return node, fh, fuse.FOPEN_KEEP_CACHE, 0
}

func (n *hostNode) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.add(ctx, name, fuse.S_IFDIR|mode, out, func(path string) error {
		return syscall.Mkdir(path, mode&0o777)
	})
}

func (n *hostNode) Mknod(ctx context.Context, name string, mode, dev uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.add(ctx, name, mode, out, func(path string) error {
		return syscall.Mknod(path, mode, int(dev))
	})
}

func (n *hostNode) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.add(ctx, name, fuse.S_IFLNK, out, func(path string) error {
		return syscall.Symlink(target, path)
	})
}

// add creates name by calling create, sets the mode and owner that the guest requests, and looks it
// up. It fails with EEXIST if name is virtual.
func (n *hostNode) add(ctx context.Context, name string, mode uint32, out *fuse.EntryOut, create func(path string) error) (*fs.Inode, syscall.Errno) {
	if errno := n.virtualError(name, syscall.EEXIST); errno != 0 {
		return nil, errno
	}
	path := n.path(name)
	if err := create(path); err != nil {
		return nil, fs.ToErrno(err)
	}
	if err := setAttributes(ctx, path, mode); err != nil {
		os.Remove(path)
		return nil, fs.ToErrno(err)
	}
	return n.lookupHost(ctx, name, nil, out)
}

// setAttributes makes a new file what it would be had the guest's process made it: umask and owner
// are not those of this process. A set-group-ID directory hands down its group, and itself its bit.
func setAttributes(ctx context.Context, path string, mode uint32) error {
	var parent syscall.Stat_t
	if err := syscall.Lstat(filepath.Dir(path), &parent); err != nil {
		return err
	}
	inherits := parent.Mode&syscall.S_ISGID != 0
	if caller, ok := fuse.FromContext(ctx); ok && os.Geteuid() == 0 {
		gid := int(caller.Gid)
		if inherits {
			gid = int(parent.Gid)
		}
		if err := syscall.Lchown(path, int(caller.Uid), gid); err != nil {
			return err
		}
	}
	switch mode & syscall.S_IFMT {
	case syscall.S_IFLNK:
		return nil
	case syscall.S_IFDIR:
		if inherits {
			mode |= syscall.S_ISGID
		}
	}
	return syscall.Chmod(path, mode&0o7777)
}

func (n *hostNode) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := n.virtualError(name, syscall.EEXIST); errno != 0 {
		return nil, errno
	}
	from, ok := target.(*hostNode)
	if !ok {
		return nil, syscall.EPERM // a virtual file
	}
	if from.isRemoved() {
		return nil, syscall.ENOENT
	}
	if err := syscall.Link(from.path(""), n.path(name)); err != nil {
		return nil, fs.ToErrno(err)
	}
	return n.lookupHost(ctx, name, nil, out)
}

func (n *hostNode) Rename(_ context.Context, name string, newParent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to, ok := newParent.(*hostNode)
	if !ok {
		return syscall.EPERM // a virtual directory
	}
	if errno := n.virtualError(name, syscall.EPERM); errno != 0 {
		return errno
	}
	if errno := to.virtualError(newName, syscall.EPERM); errno != 0 {
		return errno
	}
	return fs.ToErrno(unix.Renameat2(unix.AT_FDCWD, n.path(name), unix.AT_FDCWD, to.path(newName), uint(flags)))
}

func (n *hostNode) Unlink(_ context.Context, name string) syscall.Errno {
	if errno := n.virtualError(name, syscall.EPERM); errno != 0 {
		return errno
	}
	return fs.ToErrno(syscall.Unlink(n.path(name)))
}

func (n *hostNode) Rmdir(_ context.Context, name string) syscall.Errno {
	if errno := n.virtualError(name, syscall.EPERM); errno != 0 {
		return errno
	}
	return fs.ToErrno(syscall.Rmdir(n.path(name)))
}

// OpendirHandle opens a directory whose listing does not contain virtual names.
func (n *hostNode) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	fh, fuseFlags, errno := n.LoopbackNode.OpendirHandle(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return &hostDir{hostDirStream: fh.(hostDirStream), node: n}, fuseFlags, 0
}

// hostDir is an open directory. It lists the inode numbers that the guest knows.
type hostDir struct {
	hostDirStream
	node *hostNode
}

// hostDirStream has the methods of go-fuse's loopback directory, except for ioctls.
type hostDirStream interface {
	fs.FileReaddirenter
	fs.FileSeekdirer
	fs.FileFsyncdirer
	fs.FileReleasedirer
}

func (d *hostDir) Readdirent(ctx context.Context) (*fuse.DirEntry, syscall.Errno) {
	e, errno := d.hostDirStream.Readdirent(ctx)
	if e != nil {
		e.Ino = d.node.fsys.inodes.ofHost(d.node.device ^ e.Ino)
	}
	return e, errno
}

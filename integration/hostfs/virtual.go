package hostfs

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// virtual has the methods that virtual files and directories share. Modifications fail with EPERM.
type virtual struct {
	fsys *FS
}

func (virtual) Setattr(context.Context, fs.FileHandle, *fuse.SetAttrIn, *fuse.AttrOut) syscall.Errno {
	return syscall.EPERM
}

func (virtual) Setxattr(context.Context, string, []byte, uint32) syscall.Errno {
	return syscall.EPERM
}

func (virtual) Removexattr(context.Context, string) syscall.Errno {
	return syscall.EPERM
}

func (virtual) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return 0
}

func (v virtual) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	if v.fsys.config.Base == "" {
		out.Bsize, out.Frsize, out.NameLen = 4096, 4096, 255
		return 0
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(v.fsys.config.Base, &st); err != nil {
		return fs.ToErrno(err)
	}
	out.FromStatfsT(&st)
	return 0
}

// lookupVirtual returns the node of e, a child of parent, and sets out to its attributes.
func (f *FS) lookupVirtual(ctx context.Context, parent *fs.Inode, e entry, out *fuse.EntryOut) *fs.Inode {
	switch e := e.(type) {
	case *file:
		f.fileAttr(e, &out.Attr)
		out.SetEntryTimeout(e.cacheTime())
		out.SetAttrTimeout(e.cacheTime())
		id := fs.StableAttr{Ino: e.inode, Mode: fuse.S_IFREG}
		return parent.NewInode(ctx, &virtualFile{virtual: virtual{f}, file: e}, id)
	case *directory:
		f.directoryAttr(&out.Attr)
		out.SetEntryTimeout(forever)
		out.SetAttrTimeout(forever)
		id := fs.StableAttr{Ino: e.inode, Mode: fuse.S_IFDIR}
		return parent.NewInode(ctx, &virtualDir{virtual: virtual{f}, directory: e}, id)
	}
	panic("hostfs: neither file nor directory")
}

func (f *FS) fileAttr(v *file, out *fuse.Attr) {
	data, _ := v.contents()
	out.Mode = fuse.S_IFREG | v.mode
	out.Nlink = 1
	out.Size = uint64(len(data))
	f.setTimes(out)
}

func (f *FS) directoryAttr(out *fuse.Attr) {
	out.Mode = fuse.S_IFDIR | 0o755
	out.Nlink = 2
	f.setTimes(out)
}

func (f *FS) setTimes(out *fuse.Attr) {
	out.SetTimes(&f.started, &f.started, &f.started)
}

// virtualDir is the node of a directory that does not exist in Base: a configured one, a parent of
// virtual files, or the empty root.
type virtualDir struct {
	fs.Inode
	virtual
	*directory
}

func (d *virtualDir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	e := d.directory.lookup(name)
	if e == nil {
		return nil, syscall.ENOENT
	}
	return d.fsys.lookupVirtual(ctx, d.EmbeddedInode(), e, out), 0
}

func (d *virtualDir) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.fsys.directoryAttr(&out.Attr)
	out.SetTimeout(forever)
	return 0
}

// Readdir returns an empty listing, because virtual names are not listed.
func (d *virtualDir) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	return fs.NewListDirStream(nil), 0
}

// The guest cannot create files in a virtual directory. The errors are those of libkrun, except for
// CREATE. virtualDir has no method Create, so that CREATE fails with EROFS: after one ENOSYS, the
// guest's kernel would never send a CREATE again, not even for directories of Base.

func (d *virtualDir) Mkdir(_ context.Context, name string, _ uint32, _ *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if d.get(name) != nil {
		return nil, syscall.EEXIST
	}
	return nil, syscall.ENOSYS
}

func (d *virtualDir) Mknod(context.Context, string, uint32, uint32, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.ENOSYS
}

func (d *virtualDir) Symlink(context.Context, string, string, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.ENOSYS
}

func (d *virtualDir) Link(context.Context, fs.InodeEmbedder, string, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.ENOSYS
}

func (d *virtualDir) Rename(context.Context, string, fs.InodeEmbedder, string, uint32) syscall.Errno {
	return syscall.EPERM
}

func (d *virtualDir) Unlink(context.Context, string) syscall.Errno { return syscall.EPERM }

func (d *virtualDir) Rmdir(context.Context, string) syscall.Errno { return syscall.EPERM }

// virtualFile is the node of a virtual file.
type virtualFile struct {
	fs.Inode
	virtual
	*file
}

// handle is the handle of an open virtual file. It has no state. go-fuse calls Release only for
// files that have a handle.
type handle struct{}

func (v *virtualFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if _, ok := v.contents(); !ok {
		return syscall.ENOENT
	}
	v.fsys.fileAttr(v.file, &out.Attr)
	out.SetTimeout(v.cacheTime())
	return 0
}

// Open opens the file for reading and fails with EACCES for other modes. The guest may keep cached
// pages, except those of a one-shot file, whose contents must not be readable after its release.
func (v *virtualFile) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY || flags&syscall.O_TRUNC != 0 {
		return nil, 0, syscall.EACCES
	}
	if _, ok := v.contents(); !ok {
		return nil, 0, syscall.ENOENT
	}
	if v.oneShot {
		return handle{}, 0, 0
	}
	return handle{}, fuse.FOPEN_KEEP_CACHE, 0
}

func (v *virtualFile) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	data, ok := v.contents()
	if !ok {
		return nil, syscall.ENOENT
	}
	if off < 0 || off > int64(len(data)) {
		off = int64(len(data))
	}
	data = data[off:]
	return fuse.ReadResultData(data[:min(len(data), len(dest))]), 0
}

func (v *virtualFile) Release(context.Context, fs.FileHandle) syscall.Errno {
	v.file.release()
	return 0
}

package hostfs

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// guest makes FUSE requests as a guest's kernel does. Paths are relative to the root directory.
type guest struct {
	t      *testing.T
	fsys   *FS
	caller fuse.Caller
}

func newGuest(t *testing.T, config Config) *guest {
	t.Helper()
	fsys, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return &guest{t: t, fsys: fsys}
}

func (g *guest) header(node uint64) fuse.InHeader {
	return fuse.InHeader{NodeId: node, Caller: g.caller}
}

// lookup looks up one name.
func (g *guest) lookup(parent uint64, name string) (fuse.EntryOut, syscall.Errno) {
	header := g.header(parent)
	var out fuse.EntryOut
	status := g.fsys.Lookup(nil, &header, name, &out)
	if status.Ok() && out.NodeId == 0 {
		status = fuse.ENOENT // a negative entry, which the guest may cache
	}
	return out, syscall.Errno(status)
}

// walk looks up all components of path.
func (g *guest) walk(path string) (fuse.EntryOut, syscall.Errno) {
	out := fuse.EntryOut{NodeId: fuse.FUSE_ROOT_ID}
	for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' }) {
		var errno syscall.Errno
		if out, errno = g.lookup(out.NodeId, name); errno != 0 {
			return out, errno
		}
	}
	return out, 0
}

// mustWalk is like walk but fails the test if path does not exist.
func (g *guest) mustWalk(path string) fuse.EntryOut {
	g.t.Helper()
	out, errno := g.walk(path)
	if errno != 0 {
		g.t.Fatalf("LOOKUP %s: %v", path, errno)
	}
	return out
}

// parent looks up the directory of path. It returns a header for it, and the last component of
// path.
func (g *guest) parent(path string) (fuse.InHeader, string) {
	g.t.Helper()
	dir, name := filepath.Split(path)
	return g.header(g.mustWalk(dir).NodeId), name
}

func (g *guest) stat(node uint64) (fuse.Attr, syscall.Errno) {
	in := fuse.GetAttrIn{InHeader: g.header(node)}
	var out fuse.AttrOut
	status := g.fsys.GetAttr(nil, &in, &out)
	return out.Attr, syscall.Errno(status)
}

func (g *guest) open(node uint64, flags uint32) (fuse.OpenOut, syscall.Errno) {
	in := fuse.OpenIn{InHeader: g.header(node), Flags: flags}
	var out fuse.OpenOut
	status := g.fsys.Open(nil, &in, &out)
	return out, syscall.Errno(status)
}

func (g *guest) read(node, fh uint64, offset int64, size int) (string, syscall.Errno) {
	in := fuse.ReadIn{InHeader: g.header(node), Fh: fh, Offset: uint64(offset), Size: uint32(size)}
	result, status := g.fsys.Read(nil, &in, make([]byte, size))
	if !status.Ok() {
		return "", syscall.Errno(status)
	}
	b, status := result.Bytes(make([]byte, size))
	return string(b), syscall.Errno(status)
}

func (g *guest) release(node, fh uint64) {
	g.fsys.Release(nil, &fuse.ReleaseIn{InHeader: g.header(node), Fh: fh})
}

// readFile returns the contents of a file, or the error of the first request that failed.
func (g *guest) readFile(path string) (string, syscall.Errno) {
	entry, errno := g.walk(path)
	if errno != 0 {
		return "", errno
	}
	file, errno := g.open(entry.NodeId, syscall.O_RDONLY)
	if errno != 0 {
		return "", errno
	}
	defer g.release(entry.NodeId, file.Fh)
	return g.read(entry.NodeId, file.Fh, 0, 1<<20)
}

// readDir returns the entries of a directory by name, without . and .. entries.
func (g *guest) readDir(path string) map[string]fuse.DirEntry {
	g.t.Helper()
	node := g.mustWalk(path).NodeId
	var dir fuse.OpenOut
	if status := g.fsys.OpenDir(nil, &fuse.OpenIn{InHeader: g.header(node)}, &dir); !status.Ok() {
		g.t.Fatalf("OPENDIR %s: %v", path, status)
	}
	defer g.fsys.ReleaseDir(&fuse.ReleaseIn{InHeader: g.header(node), Fh: dir.Fh})
	entries := map[string]fuse.DirEntry{}
	for offset := uint64(0); ; {
		buf := make([]byte, 4096)
		list := fuse.NewDirEntryList(buf, offset)
		in := fuse.ReadIn{InHeader: g.header(node), Fh: dir.Fh, Offset: offset, Size: uint32(len(buf))}
		if status := g.fsys.ReadDir(nil, &in, list); !status.Ok() {
			g.t.Fatalf("READDIR %s: %v", path, status)
		}
		if list.Offset == offset {
			break
		}
		offset = list.Offset
		parsed, err := fuse.ParseDirEntries(list.Bytes())
		if err != nil {
			g.t.Fatal(err)
		}
		for _, e := range parsed {
			if e.Name != "." && e.Name != ".." {
				entries[e.Name] = e
			}
		}
	}
	return entries
}

func (g *guest) mkdir(path string, mode uint32) syscall.Errno {
	g.t.Helper()
	header, name := g.parent(path)
	var out fuse.EntryOut
	return syscall.Errno(g.fsys.Mkdir(nil, &fuse.MkdirIn{InHeader: header, Mode: mode}, name, &out))
}

// create creates and opens a file.
func (g *guest) create(path string, mode uint32) (fuse.CreateOut, syscall.Errno) {
	g.t.Helper()
	header, name := g.parent(path)
	var out fuse.CreateOut
	in := fuse.CreateIn{InHeader: header, Flags: syscall.O_RDWR | syscall.O_CREAT, Mode: fuse.S_IFREG | mode}
	status := g.fsys.Create(nil, &in, name, &out)
	return out, syscall.Errno(status)
}

func (g *guest) write(node, fh uint64, data string) syscall.Errno {
	in := fuse.WriteIn{InHeader: g.header(node), Fh: fh, Size: uint32(len(data))}
	_, status := g.fsys.Write(nil, &in, []byte(data))
	return syscall.Errno(status)
}

func (g *guest) mknod(path string, mode uint32) syscall.Errno {
	g.t.Helper()
	header, name := g.parent(path)
	var out fuse.EntryOut
	return syscall.Errno(g.fsys.Mknod(nil, &fuse.MknodIn{InHeader: header, Mode: mode}, name, &out))
}

func (g *guest) symlink(target, path string) syscall.Errno {
	g.t.Helper()
	header, name := g.parent(path)
	var out fuse.EntryOut
	return syscall.Errno(g.fsys.Symlink(nil, &header, target, name, &out))
}

func (g *guest) link(old, path string) syscall.Errno {
	g.t.Helper()
	header, name := g.parent(path)
	var out fuse.EntryOut
	in := fuse.LinkIn{InHeader: header, Oldnodeid: g.mustWalk(old).NodeId}
	return syscall.Errno(g.fsys.Link(nil, &in, name, &out))
}

func (g *guest) rename(old, path string, flags uint32) syscall.Errno {
	g.t.Helper()
	from, oldName := g.parent(old)
	to, name := g.parent(path)
	in := fuse.RenameIn{InHeader: from, Newdir: to.NodeId, Flags: flags}
	return syscall.Errno(g.fsys.Rename(nil, &in, oldName, name))
}

func (g *guest) unlink(path string) syscall.Errno {
	g.t.Helper()
	header, name := g.parent(path)
	return syscall.Errno(g.fsys.Unlink(nil, &header, name))
}

func (g *guest) rmdir(path string) syscall.Errno {
	g.t.Helper()
	header, name := g.parent(path)
	return syscall.Errno(g.fsys.Rmdir(nil, &header, name))
}

func (g *guest) chmod(node uint64, mode uint32) (fuse.Attr, syscall.Errno) {
	in := fuse.SetAttrIn{}
	in.InHeader = g.header(node)
	in.Valid = fuse.FATTR_MODE
	in.Mode = mode
	var out fuse.AttrOut
	status := g.fsys.SetAttr(nil, &in, &out)
	return out.Attr, syscall.Errno(status)
}

func (g *guest) ioctl(node uint64, cmd uint32, arg uint64) syscall.Errno {
	in := fuse.IoctlIn{InHeader: g.header(node), Cmd: cmd, Arg: arg}
	return syscall.Errno(g.fsys.Ioctl(nil, &in, nil, &fuse.IoctlOut{}, nil))
}

// writeHostFile writes a file on the host and creates its missing parent directories.
func writeHostFile(t *testing.T, path, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

package hostfs

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// TestInodeNumbers checks that all files, virtual ones and the host's, have different inode
// numbers, and that the number of a file is the same each time and in directory listings.
func TestInodeNumbers(t *testing.T) {
	base := t.TempDir()
	config := Config{Base: base, Dirs: []string{"/proc", "/etc"}}
	for i := range 20 {
		writeHostFile(t, filepath.Join(base, fmt.Sprintf("d%d/f", i)), "")
		config.Files = append(config.Files, File{Path: fmt.Sprintf("/d%d/virtual", i)})
	}
	if err := os.Link(filepath.Join(base, "d0/f"), filepath.Join(base, "hard")); err != nil {
		t.Fatal(err)
	}
	g := newGuest(t, config)
	root, errno := g.stat(fuse.FUSE_ROOT_ID)
	if errno != 0 || root.Ino != rootInode {
		t.Errorf("inode number of the root = %d, %v, want %d", root.Ino, errno, rootInode)
	}
	paths := []string{"/", "/proc", "/etc"}
	for i := range 20 {
		paths = append(paths, fmt.Sprintf("/d%d", i), fmt.Sprintf("/d%d/f", i), fmt.Sprintf("/d%d/virtual", i))
	}
	owner := map[uint64]string{}
	for range 2 {
		for _, path := range paths {
			attr, errno := g.stat(g.mustWalk(path).NodeId)
			if errno != 0 {
				t.Fatalf("%s: %v", path, errno)
			}
			if other, ok := owner[attr.Ino]; ok && other != path {
				t.Errorf("%s and %s have the same inode number, %d", path, other, attr.Ino)
			}
			owner[attr.Ino] = path
		}
		if len(owner) != len(paths) {
			t.Errorf("%d inode numbers, want %d, one for each file", len(owner), len(paths))
		}
	}
	if got, want := owner[g.mustWalk("/hard").Ino], "/d0/f"; got != want {
		t.Errorf("/hard has the inode number of %q, want that of its hard link %q", got, want)
	}
	for name, e := range g.readDir("/") {
		if want := g.mustWalk(name).Ino; e.Ino != want {
			t.Errorf("READDIR: inode number of %s = %d, want %d as in LOOKUP", name, e.Ino, want)
		}
	}
}

// TestModeAndOwner checks that new files have the mode and owner that the guest requests.
func TestModeAndOwner(t *testing.T) {
	base := t.TempDir()
	g := newGuest(t, Config{Base: base})
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 1234, 5678
	}
	g.caller.Uid, g.caller.Gid = uint32(uid), uint32(gid)

	if errno := g.mkdir("/dir", 0o1777); errno != 0 {
		t.Fatal(errno)
	}
	if _, errno := g.create("/file", 0o4766); errno != 0 {
		t.Fatal(errno)
	}
	if errno := g.mknod("/fifo", syscall.S_IFIFO|0o666); errno != 0 {
		t.Fatal(errno)
	}
	if errno := g.symlink("nowhere", "/link"); errno != 0 {
		t.Fatal(errno)
	}
	for name, mode := range map[string]uint32{
		"dir":  syscall.S_IFDIR | 0o1777,
		"file": syscall.S_IFREG | 0o4766, // the umask of this process does not apply
		"fifo": syscall.S_IFIFO | 0o666,
		"link": syscall.S_IFLNK | 0o777,
	} {
		var st syscall.Stat_t
		if err := syscall.Lstat(filepath.Join(base, name), &st); err != nil {
			t.Fatal(err)
		}
		if st.Mode != mode || int(st.Uid) != uid || int(st.Gid) != gid {
			t.Errorf("%s: mode %#o, owner %d:%d, want %#o, %d:%d",
				name, st.Mode, st.Uid, st.Gid, mode, uid, gid)
		}
		if got := g.mustWalk(name); got.Mode != mode {
			t.Errorf("LOOKUP %s: mode %#o, want %#o", name, got.Mode, mode)
		}
	}
}

func TestSetGroupIDDirectory(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("root only: changes the group of a directory")
	}
	base := t.TempDir()
	if err := os.Chown(base, 0, 77); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Chmod(base, 0o2777); err != nil {
		t.Fatal(err)
	}
	g := newGuest(t, Config{Base: base})
	g.caller.Uid, g.caller.Gid = 12, 34
	if errno := g.mkdir("/dir", 0o755); errno != 0 {
		t.Fatal(errno)
	}
	if _, errno := g.create("/file", 0o644); errno != 0 {
		t.Fatal(errno)
	}
	for name, mode := range map[string]uint32{"dir": fuse.S_IFDIR | 0o2755, "file": fuse.S_IFREG | 0o644} {
		got := g.mustWalk(name)
		if got.Mode != mode || got.Uid != 12 || got.Gid != 77 {
			t.Errorf("%s: mode %#o, owner %d:%d, want %#o, 12:77",
				name, got.Mode, got.Uid, got.Gid, mode)
		}
	}
}

func TestReadWrite(t *testing.T) {
	base := t.TempDir()
	g := newGuest(t, Config{Base: base})
	file, errno := g.create("/file", 0o644)
	if errno != 0 {
		t.Fatal(errno)
	}
	if errno := g.write(file.NodeId, file.Fh, "hello"); errno != 0 {
		t.Error(errno)
	}
	if got, errno := g.read(file.NodeId, file.Fh, 1, 100); got != "ello" || errno != 0 {
		t.Errorf("READ = %q, %v, want ello", got, errno)
	}
	g.release(file.NodeId, file.Fh)
	if b, err := os.ReadFile(filepath.Join(base, "file")); string(b) != "hello" {
		t.Errorf("the host's file contains %q, %v, want hello", b, err)
	}
	attr, errno := g.chmod(file.NodeId, 0o600)
	if want := g.mustWalk("/file"); errno != 0 || attr.Mode != fuse.S_IFREG|0o600 || attr.Ino != want.Ino {
		t.Errorf("SETATTR = mode %#o, inode %d, %v, want 0600, %d", attr.Mode, attr.Ino, errno, want.Ino)
	}
}

func TestNames(t *testing.T) {
	base := t.TempDir()
	writeHostFile(t, filepath.Join(base, "a"), "a")
	writeHostFile(t, filepath.Join(base, "b"), "b")
	writeHostFile(t, filepath.Join(base, "dir/sub/c"), "c")
	g := newGuest(t, Config{Base: base})
	for _, c := range []struct {
		what      string
		got, want syscall.Errno
	}{
		{"LINK", g.link("/a", "/dir/hard"), 0},
		{"RENAME", g.rename("/dir/sub", "/moved", 0), 0},
		{"RENAME (NOREPLACE)", g.rename("/a", "/b", unix.RENAME_NOREPLACE), syscall.EEXIST},
		{"RENAME (EXCHANGE)", g.rename("/a", "/b", unix.RENAME_EXCHANGE), 0},
		{"RMDIR of a directory that is not empty", g.rmdir("/dir"), syscall.ENOTEMPTY},
		{"UNLINK", g.unlink("/dir/hard"), 0},
		{"RMDIR", g.rmdir("/dir"), 0},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	for path, want := range map[string]string{"/a": "b", "/b": "a", "/moved/c": "c"} {
		if got, errno := g.readFile(path); got != want || errno != 0 {
			t.Errorf("%s: %q, %v, want %q", path, got, errno, want)
		}
	}
	if got, want := slices.Sorted(maps.Keys(g.readDir("/"))), []string{"a", "b", "moved"}; !slices.Equal(got, want) {
		t.Errorf("READDIR = %v, want %v", got, want)
	}
}

func TestManyNames(t *testing.T) {
	base := t.TempDir()
	const n = 1000
	for i := range n {
		writeHostFile(t, filepath.Join(base, fmt.Sprintf("a file with a long name, number %d", i)), "")
	}
	if got := len(newGuest(t, Config{Base: base}).readDir("/")); got != n {
		t.Errorf("READDIR = %d names, want %d", got, n)
	}
}

// TestRemovedFile checks that the guest can use an open file after it has removed its name.
func TestRemovedFile(t *testing.T) {
	base := t.TempDir()
	g := newGuest(t, Config{Base: base})
	file, errno := g.create("/file", 0o644)
	if errno != 0 {
		t.Fatal(errno)
	}
	g.write(file.NodeId, file.Fh, "still here")
	if errno := g.unlink("/file"); errno != 0 {
		t.Fatal(errno)
	}
	if got, errno := g.read(file.NodeId, file.Fh, 0, 100); got != "still here" || errno != 0 {
		t.Errorf("READ = %q, %v, want still here", got, errno)
	}
	if attr, errno := g.chmod(file.NodeId, 0o600); attr.Mode != fuse.S_IFREG|0o600 || errno != 0 {
		t.Errorf("SETATTR = mode %#o, %v, want 0600", attr.Mode, errno)
	}
	again, errno := g.open(file.NodeId, syscall.O_RDONLY) // open("/proc/self/fd/N")
	if errno != 0 {
		t.Fatal(errno)
	}
	g.release(file.NodeId, file.Fh)
	if got, errno := g.read(file.NodeId, again.Fh, 6, 100); got != "here" || errno != 0 {
		t.Errorf("READ by a second handle = %q, %v, want here", got, errno)
	}
	// The kernel reads this attribute before it executes a file.
	header := g.header(file.NodeId)
	if _, status := g.fsys.GetXAttr(nil, &header, "security.capability", nil); status != fuse.ENOATTR {
		t.Errorf("GETXATTR: %v, want ENODATA", status)
	}
	g.release(file.NodeId, again.Fh)
	if _, errno := g.open(file.NodeId, syscall.O_RDONLY); errno != syscall.ENOENT {
		t.Errorf("OPEN of a removed file without open handles: %v, want ENOENT", errno)
	}
}

// TestOpenSpecialFile checks that a FIFO of the host is not opened, which would block.
func TestOpenSpecialFile(t *testing.T) {
	base := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(base, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	g := newGuest(t, Config{Base: base})
	if _, errno := g.open(g.mustWalk("/fifo").NodeId, syscall.O_RDONLY); errno != syscall.ENXIO {
		t.Errorf("OPEN of a FIFO: %v, want ENXIO", errno)
	}
}

// TestForeignOpenFlags checks that flags are dropped that have another meaning on another
// architecture: O_DIRECTORY on arm64 is O_DIRECT on amd64, for example.
func TestForeignOpenFlags(t *testing.T) {
	base := t.TempDir()
	writeHostFile(t, filepath.Join(base, "file"), "x")
	g := newGuest(t, Config{Base: base})
	node := g.mustWalk("/file").NodeId
	for flag := uint32(1); flag != 0; flag <<= 1 {
		if flag&openFlags != 0 {
			continue
		}
		if file, errno := g.open(node, flag); errno != 0 {
			t.Errorf("OPEN with flag %#o: %v, want success", flag, errno)
		} else {
			g.release(node, file.Fh)
		}
	}
}

func TestCaching(t *testing.T) {
	base := t.TempDir()
	writeHostFile(t, filepath.Join(base, "file"), "x")
	for _, c := range []struct {
		hostChanges bool
		cached      bool
	}{{false, true}, {true, false}} {
		g := newGuest(t, Config{Base: base, HostChanges: c.hostChanges})
		entry := g.mustWalk("/file")
		if got := entry.EntryTimeout() > 0 && entry.AttrTimeout() > 0; got != c.cached {
			t.Errorf("HostChanges %v: name and attributes cached: %v, want %v",
				c.hostChanges, got, c.cached)
		}
		if got := g.fsys.MountOptions().EnableSymlinkCaching; got != c.cached {
			t.Errorf("HostChanges %v: symbolic links cached: %v, want %v",
				c.hostChanges, got, c.cached)
		}
		missing, errno := g.walk("/missing")
		if got := missing.EntryTimeout() > 0; errno != syscall.ENOENT || got != c.cached {
			t.Errorf("HostChanges %v: %v, missing name cached: %v, want ENOENT, %v",
				c.hostChanges, errno, got, c.cached)
		}
	}
}

func TestReadOnly(t *testing.T) {
	base := t.TempDir()
	writeHostFile(t, filepath.Join(base, "dir/file"), "file")
	g := newGuest(t, Config{Base: base, ReadOnly: true, Files: []File{{Path: "/virtual", Data: []byte("virtual")}}})
	for path, want := range map[string]string{"/dir/file": "file", "/virtual": "virtual"} {
		if got, errno := g.readFile(path); got != want || errno != 0 {
			t.Errorf("%s: %q, %v, want %q", path, got, errno, want)
		}
	}
	node := g.mustWalk("/dir/file").NodeId
	header := g.header(node)
	_, openErrno := g.open(node, syscall.O_WRONLY)
	_, truncErrno := g.open(node, syscall.O_RDONLY|syscall.O_TRUNC)
	_, createErrno := g.create("/new", 0o644)
	_, chmodErrno := g.chmod(node, 0o777)
	for what, got := range map[string]syscall.Errno{
		"OPEN with O_WRONLY": openErrno,
		"OPEN with O_TRUNC":  truncErrno,
		"CREATE":             createErrno,
		"SETATTR":            chmodErrno,
		"MKDIR":              g.mkdir("/new", 0o755),
		"MKNOD":              g.mknod("/new", syscall.S_IFIFO),
		"SYMLINK":            g.symlink("x", "/new"),
		"LINK":               g.link("/dir/file", "/new"),
		"RENAME":             g.rename("/dir/file", "/new", 0),
		"UNLINK":             g.unlink("/dir/file"),
		"RMDIR":              g.rmdir("/dir"),
		"SETXATTR": syscall.Errno(
			g.fsys.SetXAttr(nil, &fuse.SetXAttrIn{InHeader: header}, "user.a", nil)),
		"REMOVEXATTR": syscall.Errno(g.fsys.RemoveXAttr(nil, &header, "user.a")),
	} {
		if got != syscall.EROFS {
			t.Errorf("%s: %v, want EROFS", what, got)
		}
	}
}

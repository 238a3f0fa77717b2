package hostfs

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// overBoth runs test with an empty root, and with a shared directory that contains files with the
// same paths as the virtual files.
func overBoth(t *testing.T, config Config, test func(t *testing.T, g *guest)) {
	t.Run("empty root", func(t *testing.T) {
		test(t, newGuest(t, config))
	})
	t.Run("shared directory", func(t *testing.T) {
		config := config
		config.Base = t.TempDir()
		writeHostFile(t, filepath.Join(config.Base, "init.krun"), "the base's")
		writeHostFile(t, filepath.Join(config.Base, "etc/motd"), "the base's")
		test(t, newGuest(t, config))
	})
}

// baseFile returns the contents of the base's files in overBoth, or ENOENT for the empty root.
func baseFile(g *guest) (string, syscall.Errno) {
	if g.fsys.config.Base == "" {
		return "", syscall.ENOENT
	}
	return "the base's", 0
}

func TestPersistentFile(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 1000)
	overBoth(t, Config{Files: []File{{Path: "/etc/motd", Data: data, Mode: 0o640}}}, func(t *testing.T, g *guest) {
		entry := g.mustWalk("/etc/motd")
		if entry.Mode != fuse.S_IFREG|0o640 || entry.Size != 10000 || entry.Nlink != 1 || entry.Blocks != 24 {
			t.Errorf("LOOKUP = %+v, want mode 0640, size 10000, 1 link, 24 blocks", entry.Attr)
		}
		for range 3 {
			if again := g.mustWalk("/etc/motd"); again.NodeId != entry.NodeId || again.Attr != entry.Attr {
				t.Errorf("LOOKUP again = %+v, want %+v", again, entry)
			}
			file, errno := g.open(entry.NodeId, syscall.O_RDONLY)
			if errno != 0 {
				t.Fatal(errno)
			}
			if file.OpenFlags&fuse.FOPEN_KEEP_CACHE == 0 {
				t.Errorf("OPEN flags %#x, want FOPEN_KEEP_CACHE", file.OpenFlags)
			}
			for _, c := range []struct {
				offset int64
				size   int
				want   string
			}{
				{0, 10, "0123456789"},
				{5, 3, "567"},
				{9995, 10, "56789"},
				{10000, 10, ""},
				{1 << 40, 10, ""},
				{0, 20000, string(data)},
			} {
				if got, errno := g.read(entry.NodeId, file.Fh, c.offset, c.size); got != c.want || errno != 0 {
					t.Errorf("READ(%d, %d) = %d bytes, %v, want %d",
						c.offset, c.size, len(got), errno, len(c.want))
				}
			}
			g.release(entry.NodeId, file.Fh)
		}
		if attr, errno := g.stat(entry.NodeId); errno != 0 || attr != entry.Attr {
			t.Errorf("GETATTR = %+v, %v, want %+v", attr, errno, entry.Attr)
		}
	})
}

func TestOneShotFile(t *testing.T) {
	config := Config{Files: []File{{Path: "/init.krun", Data: []byte("virtual"), Mode: 0o755, OneShot: true}}}
	overBoth(t, config, func(t *testing.T, g *guest) {
		if names := g.readDir("/"); g.fsys.config.Base == "" && len(names) != 0 {
			t.Errorf("READDIR = %v, want nothing", names)
		}
		entry, errno := g.lookup(fuse.FUSE_ROOT_ID, "init.krun") // exists after READDIR
		if errno != 0 {
			t.Fatal(errno)
		}
		if entry.EntryTimeout() != 0 || entry.AttrTimeout() != 0 {
			t.Errorf("cache time of the name %v, of the attributes %v, want 0",
				entry.EntryTimeout(), entry.AttrTimeout())
		}

		// The name no longer exists, but the inode does.
		want, wantErrno := baseFile(g)
		if got, errno := g.readFile("/init.krun"); got != want || errno != wantErrno {
			t.Errorf("second look-up: %q, %v, want %q, %v", got, errno, want, wantErrno)
		}
		var files [2]fuse.OpenOut
		for i := range files {
			if files[i], errno = g.open(entry.NodeId, syscall.O_RDONLY); errno != 0 {
				t.Fatal(errno)
			}
			if files[i].OpenFlags != 0 {
				t.Errorf("OPEN flags %#x, want 0", files[i].OpenFlags)
			}
			if got, errno := g.read(entry.NodeId, files[i].Fh, 2, 100); got != "rtual" || errno != 0 {
				t.Errorf("READ = %q, %v, want rtual", got, errno)
			}
		}

		// One RELEASE drops the contents for the other handle too.
		g.release(entry.NodeId, files[0].Fh)
		if got, errno := g.read(entry.NodeId, files[1].Fh, 0, 100); errno != syscall.ENOENT {
			t.Errorf("READ after RELEASE = %q, %v, want ENOENT", got, errno)
		}
		if _, errno := g.stat(entry.NodeId); errno != syscall.ENOENT {
			t.Errorf("GETATTR after RELEASE: %v, want ENOENT", errno)
		}
		if _, errno := g.open(entry.NodeId, syscall.O_RDONLY); errno != syscall.ENOENT {
			t.Errorf("OPEN after RELEASE: %v, want ENOENT", errno)
		}
		g.release(entry.NodeId, files[1].Fh)
	})
}

func TestVirtualFilesAreReadOnly(t *testing.T) {
	config := Config{Files: []File{{Path: "/etc/motd", Data: []byte("virtual")}}, Dirs: []string{"/proc"}}
	overBoth(t, config, func(t *testing.T, g *guest) {
		motd := g.mustWalk("/etc/motd")
		for _, flags := range []uint32{syscall.O_WRONLY, syscall.O_RDWR, syscall.O_RDONLY | syscall.O_TRUNC} {
			if _, errno := g.open(motd.NodeId, flags); errno != syscall.EACCES {
				t.Errorf("OPEN with flags %#o: %v, want EACCES", flags, errno)
			}
		}
		_, chmodErrno := g.chmod(motd.NodeId, 0o777)
		header := g.header(motd.NodeId)
		for _, c := range []struct {
			what      string
			got, want syscall.Errno
		}{
			{"SETATTR", chmodErrno, syscall.EPERM},
			{
				"SETXATTR",
				syscall.Errno(
					g.fsys.SetXAttr(nil, &fuse.SetXAttrIn{InHeader: header}, "user.a", nil)),
				syscall.EPERM,
			},
			{"REMOVEXATTR", syscall.Errno(g.fsys.RemoveXAttr(nil, &header, "user.a")), syscall.EPERM},
			{"WRITE", g.write(motd.NodeId, 0, "x"), syscall.ENOTSUP},
			{"UNLINK", g.unlink("/etc/motd"), syscall.EPERM},
			{"RENAME", g.rename("/etc/motd", "/etc/other", 0), syscall.EPERM},
			{"RENAME of its directory", g.rename("/etc", "/other", 0), syscall.EPERM},
			{"RMDIR of its directory", g.rmdir("/etc"), syscall.EPERM},
			{"RMDIR of a mount point", g.rmdir("/proc"), syscall.EPERM},
			{"MKDIR of a mount point", g.mkdir("/proc", 0o755), syscall.EEXIST},
			{"MKDIR of its directory", g.mkdir("/etc", 0o755), syscall.EEXIST},
			{"MKDIR of the file", g.mkdir("/etc/motd", 0o755), syscall.EEXIST},
		} {
			if c.got != c.want {
				t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
			}
		}
		if _, errno := g.fsys.GetXAttr(nil, &header, "user.a", nil); errno != fuse.ENOATTR {
			t.Errorf("GETXATTR: %v, want ENODATA", errno)
		}
		if got, errno := g.readFile("/etc/motd"); got != "virtual" || errno != 0 {
			t.Errorf("contents afterwards = %q, %v, want virtual", got, errno)
		}
	})
}

func TestVirtualNamesInSharedDirectory(t *testing.T) {
	base := t.TempDir()
	writeHostFile(t, filepath.Join(base, "file"), "")
	g := newGuest(t, Config{Base: base, Files: []File{{Path: "/virtual", Data: []byte("virtual")}}})
	g.mustWalk("/virtual")
	_, createErrno := g.create("/virtual", 0o644)
	for _, c := range []struct {
		what      string
		got, want syscall.Errno
	}{
		{"CREATE", createErrno, syscall.EEXIST},
		{"MKNOD", g.mknod("/virtual", syscall.S_IFIFO|0o644), syscall.EEXIST},
		{"SYMLINK", g.symlink("file", "/virtual"), syscall.EEXIST},
		{"LINK to a virtual name", g.link("/file", "/virtual"), syscall.EEXIST},
		{"LINK of a virtual file", g.link("/virtual", "/link"), syscall.EPERM},
		{"RENAME to a virtual name", g.rename("/file", "/virtual", 0), syscall.EPERM},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	if _, err := os.Lstat(filepath.Join(base, "virtual")); err == nil {
		t.Error("a file with the virtual name was created on the host")
	}
}

func TestEmptyRoot(t *testing.T) {
	g := newGuest(t, Config{Files: []File{{Path: "/a/b/c", Data: []byte("x")}}, Dirs: []string{"/dev", "/sys/fs"}})
	for _, dir := range []string{"/", "/a", "/a/b", "/dev", "/sys", "/sys/fs"} {
		entry := g.mustWalk(dir)
		if attr, errno := g.stat(entry.NodeId); errno != 0 || attr.Mode != fuse.S_IFDIR|0o755 {
			t.Errorf("GETATTR %s = mode %#o, %v, want a directory with 0755", dir, attr.Mode, errno)
		}
		if names := g.readDir(dir); len(names) != 0 {
			t.Errorf("READDIR %s = %v, want nothing", dir, names)
		}
		path := filepath.Join(dir, "new")
		_, createErrno := g.create(path, 0o644)
		for _, c := range []struct {
			what      string
			got, want syscall.Errno
		}{
			{"MKDIR", g.mkdir(path, 0o755), syscall.ENOSYS},
			{"CREATE", createErrno, syscall.EROFS},
			{"MKNOD", g.mknod(path, syscall.S_IFREG|0o644), syscall.ENOSYS},
			{"SYMLINK", g.symlink("x", path), syscall.ENOSYS},
			{"LINK", g.link("/a/b/c", path), syscall.ENOSYS},
			{"RENAME", g.rename("/a/b/c", path, 0), syscall.EPERM},
		} {
			if c.got != c.want {
				t.Errorf("%s %s: %v, want %v", c.what, path, c.got, c.want)
			}
		}
		if _, errno := g.walk(path); errno != syscall.ENOENT {
			t.Errorf("LOOKUP %s: %v, want ENOENT", path, errno)
		}
	}
}

// TestMergedDirectory checks that a virtual directory that exists in the base too has the files of
// both.
func TestMergedDirectory(t *testing.T) {
	base := t.TempDir()
	writeHostFile(t, filepath.Join(base, "etc/ssl/real"), "real")
	writeHostFile(t, filepath.Join(base, "etc/file-not-dir"), "")
	g := newGuest(t, Config{
		Base: base,
		Dirs: []string{"/etc/file-not-dir"},
		Files: []File{
			{Path: "/etc/ssl/virtual", Data: []byte("virtual")},
			{Path: "/etc/new/virtual", Data: []byte("new")},
		},
	})
	for path, want := range map[string]string{
		"/etc/ssl/real":    "real",
		"/etc/ssl/virtual": "virtual",
		"/etc/new/virtual": "new",
	} {
		if got, errno := g.readFile(path); got != want || errno != 0 {
			t.Errorf("%s: %q, %v, want %q", path, got, errno, want)
		}
	}
	if !isDir(g.mustWalk("/etc/file-not-dir").Attr) {
		t.Error("the virtual directory does not hide the base's file")
	}
	if got, want := slices.Sorted(maps.Keys(g.readDir("/etc/ssl"))), []string{"real"}; !slices.Equal(got, want) {
		t.Errorf("READDIR = %v, want %v", got, want)
	}
	if _, errno := g.create("/etc/ssl/made", 0o644); errno != 0 {
		t.Errorf("CREATE in a merged directory: %v, want success", errno)
	}
	if _, err := os.Stat(filepath.Join(base, "etc/ssl/made")); err != nil {
		t.Error(err)
	}
}

func TestSource(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source")
	writeHostFile(t, source, "from the host")
	g := newGuest(t, Config{Files: []File{{Path: "/f", Source: source}}})
	if got, errno := g.readFile("/f"); got != "from the host" || errno != 0 {
		t.Errorf("contents = %q, %v, want from the host", got, errno)
	}
	if got := g.mustWalk("/f").Mode; got != fuse.S_IFREG|0o644 {
		t.Errorf("default mode %#o, want 0644", got)
	}
}

func TestConfigErrors(t *testing.T) {
	base := t.TempDir()
	writeHostFile(t, filepath.Join(base, "run/file"), "")
	if err := os.MkdirAll(filepath.Join(base, "var"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/run", filepath.Join(base, "var/run")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Files: []File{{Path: "relative"}}}, "virtual file relative: not an absolute path"},
		{Config{Files: []File{{Path: "/"}}}, "virtual file /: not a path of a file"},
		{Config{Files: []File{{Path: "/a/.."}}}, "virtual file /a/..: not a path of a file"},
		{Config{Files: []File{{Path: "/a"}, {Path: "/a"}}}, "virtual file /a: path already used"},
		{Config{Files: []File{{Path: "/a"}, {Path: "/a/b"}}}, "virtual file /a/b: not a directory"},
		{Config{Files: []File{{Path: "/a/b"}, {Path: "/a"}}}, "virtual file /a: path already used"},
		{Config{Files: []File{{Path: "/a", Source: "/no/such"}}}, "virtual file /a: open /no/such: no such file"},
		{Config{Files: []File{{Path: "/a", Source: "x", Data: []byte{}}}}, "virtual file /a: both source and data"},
		{Config{Dirs: []string{"dev"}}, "virtual directory dev: not an absolute path"},
		{Config{Base: "/no/such"}, "base directory /no/such: "},
		{Config{Base: filepath.Join(base, "run/file")}, "run/file: not a directory"},
		// A virtual /var/run would hide the guest's /run.
		{Config{Base: base, Files: []File{{Path: "/var/run/x"}}},
			"virtual file /var/run/x: " + base + "/var/run is not a directory"},
	} {
		if _, err := New(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New(%+v) = %v, want %q", c.config, err, c.want)
		}
	}
}

func isDir(a fuse.Attr) bool { return a.Mode&syscall.S_IFMT == syscall.S_IFDIR }

func TestIoctl(t *testing.T) {
	var codes []int32
	removals := 0
	config := Config{
		Files:           []File{{Path: "/f"}},
		Dirs:            []string{"/proc"},
		OnExitCode:      func(code int32) { codes = append(codes, code) },
		OnRemoveRootDir: func() { removals++ },
	}
	overBoth(t, config, func(t *testing.T, g *guest) {
		codes, removals = nil, 0
		for _, c := range []struct {
			path string
			cmd  uint32
			arg  uint64
			want syscall.Errno
		}{
			{"/", 0x7602, 7, 0},
			{"/", 0x7602, 255, 0},
			{"/", 0x7602, 1<<32 - 1, 0}, // -1
			{"/", 0x7603, 0, 0},
			{"/f", 0x7602, 7, syscall.ENOTTY},
			{"/proc", 0x7602, 7, syscall.ENOTTY},
			{"/", 0x5401, 0, syscall.ENOTTY},     // TCGETS
			{"/", 0x80086601, 0, syscall.ENOTTY}, // FS_IOC_GETFLAGS, which works on the host
		} {
			if got := g.ioctl(g.mustWalk(c.path).NodeId, c.cmd, c.arg); got != c.want {
				t.Errorf("ioctl(%s, %#x, %d): %v, want %v", c.path, c.cmd, c.arg, got, c.want)
			}
		}
		if want := []int32{7, 255, -1}; !slices.Equal(codes, want) {
			t.Errorf("exit codes = %v, want %v", codes, want)
		}
		if removals != 1 {
			t.Errorf("OnRemoveRootDir was called %d times, want 1", removals)
		}
	})
	t.Run("without callbacks", func(t *testing.T) {
		g := newGuest(t, Config{})
		for _, cmd := range []uint32{0x7602, 0x7603} {
			if errno := g.ioctl(fuse.FUSE_ROOT_ID, cmd, 1); errno != syscall.ENOTTY {
				t.Errorf("ioctl(/, %#x): %v, want %v", cmd, errno, syscall.ENOTTY)
			}
		}
	})
}

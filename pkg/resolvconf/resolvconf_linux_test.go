package resolvconf

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/dnsname"
)

// enter makes dir the root directory, with a tmpfs on /dev, until leave is called.
func enter(t *testing.T, dir string) (leave func()) {
	t.Helper()
	old, err := unix.Open("/", unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	os.Mkdir(dir+"/dev", 0o755)
	if err := unix.Mount("dev", dir+"/dev", "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Chroot(dir); err != nil {
		t.Fatal(err)
	}
	return func() {
		unix.Fchdir(old)
		unix.Chroot(".")
	}
}

func shell(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-ec", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestShapes runs testShape with all that an image can have as /etc/resolv.conf. Afterwards, the
// image is unchanged except for the mount point.
func TestShapes(t *testing.T) {
	for name, image := range map[string]struct {
		make     string // a script that makes the image in its working directory
		readOnly bool
		more     string // files that the image has only afterwards
	}{
		"file":         {make: "echo nameserver 10.9.9.9 >etc/resolv.conf"},
		"missing":      {make: ":", more: "./etc/resolv.conf"},
		"no-etc":       {make: "rm -r etc", more: "./etc\n./etc/resolv.conf"},
		"relative":     {make: "echo x >run/real; ln -s ../run/real etc/resolv.conf"},
		"absolute":     {make: "echo x >run/real; ln -s /run/real etc/resolv.conf"},
		"dangling":     {make: "ln -s ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf"},
		"loop":         {make: "ln -s resolv.conf etc/resolv.conf"},
		"directory":    {make: "mkdir etc/resolv.conf; echo x >etc/resolv.conf/inside"},
		"file-ro":      {make: "echo x >etc/resolv.conf", readOnly: true},
		"dangling-ro":  {make: "ln -s /nowhere etc/resolv.conf", readOnly: true},
		"missing-ro":   {make: ":", readOnly: true},
		"directory-ro": {make: "mkdir etc/resolv.conf", readOnly: true},
	} {
		t.Run(name, func(t *testing.T) {
			nstest.Run(t, func(t *testing.T, dir string) {
				shell(t, dir, "mkdir etc run dev; echo h >etc/hostname; "+image.make)
				// The names and texts of files, and the target of a link.
				const list = `find . -path "./dev/*" -prune -o -print -type f -exec grep -H . {} ";"
					readlink etc/resolv.conf || true`
				want := strings.Split(shell(t, dir, list), "\n")
				if image.more != "" {
					want = append(want, strings.Split(image.more, "\n")...)
				}
				if image.readOnly {
					const flags = unix.MS_REMOUNT | unix.MS_RDONLY
					if err := unix.Mount("", dir, "", flags, ""); err != nil {
						t.Fatal(err)
					}
				}
				leave := enter(t, dir)
				testShape(t)
				leave()
				got := strings.Split(shell(t, dir, list), "\n")
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("the image has %q afterwards, want %q", got, want)
				}
			})
		})
	}
}

// testShape creates, updates, adopts and removes the file.
func testShape(t *testing.T) {
	own, _ := os.ReadFile(path)
	hostname, _ := os.ReadFile("/etc/hostname")
	var f File
	if err := f.Update(Config{}); err != nil {
		t.Errorf("Update without servers: %v", err)
	}
	if _, err := os.Stat(memory); err == nil {
		t.Errorf("Update without servers has made %s", memory)
	}
	for _, length := range []int{20, 5, 40} {
		c := config(byte(length))
		c.Search = []string{strings.Repeat("x", length) + ".example"}
		if err := f.Update(c); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || strings.TrimRight(string(got), "\n")+"\n" != string(c.Text()) {
			t.Errorf("%s = %q, %v, want %q", path, got, err, c.Text())
		}
	}
	if got, _ := os.ReadFile("/etc/hostname"); string(got) != string(hostname) {
		t.Errorf("/etc/hostname = %q now, want %q", got, hostname)
	}
	// A workload may mount its own /run.
	if err := unix.Mount("run", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	// Another process takes over.
	var other File
	if err := other.Adopt(); err != nil || other.file == nil {
		t.Fatalf("Adopt() = %v, open %v", err, other.file != nil)
	}
	if err := other.Update(config(9)); err != nil {
		t.Error(err)
	}
	got, _ := os.ReadFile(path)
	if !strings.HasSuffix(strings.TrimSpace(string(got)), "\nnameserver 192.0.2.9") {
		t.Errorf("after Adopt: %s = %q", path, got)
	}
	unix.Unmount("/run", 0)
	if err := other.Update(Config{}); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(path); string(got) != string(own) {
		t.Errorf("after the end: %s = %q, want the image's %q", path, got, own)
	}
	if names, _ := filepath.Glob("/dev/.*"); len(names) > 0 {
		t.Errorf("/dev has %q", names)
	}
}

// TestAdoptNothing checks that a file of the image is not adopted.
func TestAdoptNothing(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		defer enter(t, dir)()
		os.Mkdir(etc, 0o755)
		for _, text := range []string{"", header, "nameserver 192.0.2.1\n"} {
			os.WriteFile(path, []byte(text), 0o644)
			var f File
			if err := f.Adopt(); err != nil || f.file != nil {
				t.Errorf("Adopt() of %q = %v, open %v, want neither", text, err, f.file != nil)
			}
			os.WriteFile(memory, []byte(text), 0o644) // but it is not mounted
		}
	})
}

// TestMountOver mounts the file elsewhere, and another file over it, as "ip netns exec" and
// container runtimes do. Remove leaves these mounts alone.
func TestMountOver(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		defer enter(t, dir)()
		os.WriteFile("/theirs", []byte("theirs\n"), 0o644)
		os.WriteFile("/copy", nil, 0o644)
		var f File
		c := config(1)
		if err := f.Update(c); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(path, "/copy", "", unix.MS_BIND, ""); err != nil {
			t.Errorf("mount the file elsewhere: %v", err)
		}
		if got, _ := os.ReadFile("/copy"); string(got) != string(c.Text()) {
			t.Errorf("/copy = %q, want %q", got, c.Text())
		}
		if err := unix.Mount("/theirs", path, "", unix.MS_BIND, ""); err != nil {
			t.Errorf("mount over the file: %v", err)
		}
		if err := f.Remove(); err != nil {
			t.Error(err)
		}
		if got, _ := os.ReadFile(path); string(got) != "theirs\n" {
			t.Errorf("%s = %q after Remove, want what was mounted over it", path, got)
		}
		if got, err := os.ReadFile("/copy"); err != nil || len(got) != 0 {
			t.Errorf("/copy = %q, %v after Remove, want it empty", got, err)
		}
	})
}

// TestLeftBehind has a file that another process left behind, and an umask.
func TestLeftBehind(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		defer enter(t, dir)()
		os.WriteFile(memory, []byte("old"), 0o600)
		unix.Umask(0o077)
		var f File
		c := config(1)
		if err := f.Update(c); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil || st.Mode() != 0o644 || st.Size() != int64(len(c.Text())) {
			t.Errorf("%s is %v, %v", path, st, err)
		}
	})
}

// TestRemovedByAnother removes the file by another process. The next update mounts it again, even
// if the text is the same.
func TestRemovedByAnother(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		defer enter(t, dir)()
		c := config(1)
		var f, other File
		for range 2 {
			if err := f.Update(c); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(path); string(b) != string(c.Text()) {
				t.Errorf("%s = %q, %v, want %q", path, b, err, c.Text())
			}
			if err := errors.Join(other.Adopt(), other.Remove()); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Remove(); err != nil {
			t.Errorf("Remove of what is removed: %v", err)
		}
		if _, err := os.Stat(memory); err == nil {
			t.Errorf("%s is left", memory)
		}
	})
}

// TestOtherNamespace checks that updates and the removal reach another mount namespace.
func TestOtherNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		defer enter(t, dir)()
		var f File
		if err := f.Update(config(1)); err != nil {
			t.Fatal(err)
		}
		ask, answer := make(chan bool), make(chan string)
		defer close(ask)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
			if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
				t.Error(err)
			}
			answer <- ""
			for range ask {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Error(err)
				}
				answer <- string(b)
			}
		}()
		<-answer
		for _, c := range []Config{{Servers: []netip.Addr{server(2)}}, {}} {
			if err := f.Update(c); err != nil {
				t.Error(err)
			}
			ask <- true
			if got := <-answer; got != string(c.Text()) {
				t.Errorf("the other namespace has %q, want %q", got, c.Text())
			}
		}
		if got, err := os.ReadFile(path); err != nil || len(got) > 0 {
			t.Errorf("%s = %q, %v after the end, want the empty mount point", path, got, err)
		}
	})
}

// TestReaders checks that a reader never sees an empty or truncated file.
func TestReaders(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		defer enter(t, dir)()
		long := config(1, 2, 3)
		long.Search = []string{"a.example", "b.example"}
		brief := config(4)
		texts := [2][]byte{long.Text(), brief.Text()}
		texts[1] = append(texts[1], bytes.Repeat([]byte("\n"), len(texts[0])-len(texts[1]))...)
		var f File
		if err := f.Update(long); err != nil {
			t.Fatal(err)
		}
		done := make(chan bool)
		go func() {
			defer close(done)
			for range 5000 {
				b, err := os.ReadFile(path)
				if err != nil || len(b) != len(texts[0]) {
					t.Errorf("a reader sees %q, %v", b, err)
					return
				}
				for i := range b {
					if b[i] != texts[0][i] && b[i] != texts[1][i] {
						t.Errorf("a reader sees %q", b)
						return
					}
				}
			}
		}()
		for {
			f.Update(brief)
			f.Update(long)
			select {
			case <-done:
				return
			default:
			}
		}
	})
}

// TestGoResolver checks that Go's resolver, which reads the file itself, asks every server for the
// name in every domain.
func TestGoResolver(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		defer enter(t, dir)()
		var f File
		c := Config{
			Servers: []netip.Addr{server(1), linkLocal, server(2)},
			Search:  []string{"a.example", "b.example"},
		}
		if err := f.Update(c); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		asked := map[string]bool{} // "NAME at SERVER"
		dial := func(_ context.Context, _, address string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				query := make([]byte, 512)
				const header = 2 + 12 // a length, as over TCP, and the header of DNS
				n, _ := io.ReadAtLeast(server, query, header+1)
				question := query[min(n, header):n]
				names, _ := dnsname.Parse(question[:bytes.IndexByte(question, 0)+1], false)
				mu.Lock()
				defer mu.Unlock()
				asked[strings.Join(names, " ")+" at "+address] = true
			}()
			return client, nil
		}
		r := net.Resolver{PreferGo: true, Dial: dial}
		if names, err := r.LookupHost(t.Context(), "host"); err == nil {
			t.Errorf("LookupHost() = %q without an answer", names)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, name := range []string{"host.a.example", "host.b.example", "host"} {
			for _, address := range []string{"192.0.2.1:53", "[fe80::1%eth0]:53", "192.0.2.2:53"} {
				if query := name + " at " + address; !asked[query] {
					t.Errorf("the resolver did not ask for %s", query)
				} else {
					delete(asked, query)
				}
			}
		}
		if len(asked) > 0 {
			t.Errorf("the resolver also asked for %v", asked)
		}
	})
}

func TestErrors(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		defer enter(t, dir)()
		var f File
		c := config(1)
		update := func(want string) {
			t.Helper()
			if err := f.Update(c, config(2)); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("Update() = %v, want %s", err, want)
			}
			if names, _ := filepath.Glob("/dev/.*"); len(names) > 0 {
				t.Errorf("/dev has %q", names)
			}
		}
		os.WriteFile(etc, nil, 0o644)
		update("write /etc/resolv.conf: mount a file over it: not a directory; " +
			"instead: mount overlay on /etc: ")
		unix.Mount("", "/dev", "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		update("write /etc/resolv.conf: open /dev/.resolv.conf: read-only file system")
		// The next update creates the file.
		unix.Mount("", "/dev", "", unix.MS_REMOUNT, "")
		os.Remove(etc)
		if err := f.Update(c); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(path); string(got) != string(c.Text()) {
			t.Errorf("%s = %q, %v, want %q", path, got, err, c.Text())
		}
	})
}

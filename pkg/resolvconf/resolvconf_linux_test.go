package resolvconf

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
	"github.com/krunbox/krunbox/pkg/inet"
)

func server(last byte) Server { return Server{Addr: inet.Addr4([4]byte{192, 0, 2, last})} }

// TestShapes tries what an image can have for /etc/resolv.conf. The image is as it was afterwards, but for the mount point.
func TestShapes(t *testing.T) {
	for name, image := range map[string]struct {
		make     string // a script that makes the image in its working directory
		readOnly bool
		more     string // what the image has afterwards that it had not before
	}{
		"file":        {make: "mkdir etc; echo nameserver 10.9.9.9 >etc/resolv.conf"},
		"missing":     {make: "mkdir etc; echo h >etc/hostname", more: "./etc/resolv.conf"},
		"no-etc":      {make: ":", more: "./etc\n./etc/resolv.conf"},
		"relative":    {make: "mkdir etc run; echo x >run/real; ln -s ../run/real etc/resolv.conf"},
		"absolute":    {make: "mkdir etc run; echo x >run/real; ln -s /run/real etc/resolv.conf"},
		"dangling":    {make: "mkdir etc; ln -s ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf"},
		"file-ro":     {make: "mkdir etc; echo x >etc/resolv.conf", readOnly: true},
		"dangling-ro": {make: "mkdir etc; ln -s /nowhere etc/resolv.conf", readOnly: true},
		"missing-ro":  {make: "mkdir etc; echo h >etc/hostname", readOnly: true, more: "./etc/resolv.conf"}, // of the overlay
	} {
		t.Run(name, func(t *testing.T) {
			nstest.Run(t, func(t *testing.T, dir string) {
				script := func(s string) string {
					t.Helper()
					cmd := exec.Command("/bin/sh", "-ec", s)
					cmd.Dir = dir
					out, err := cmd.CombinedOutput()
					if err != nil {
						t.Fatalf("%s: %v: %s", s, err, out)
					}
					return strings.TrimSpace(string(out))
				}
				// The tree, texts and links.
				const list = `find . -path "./[dp]*" -prune -o -print -type f -exec grep -H . {} ";"; readlink etc/resolv.conf || true`
				script(image.make)
				before := script(list)
				script("mkdir -p dev proc")
				if image.readOnly {
					script("mount -o bind . .")
				}
				root, err := unix.Open("/", unix.O_PATH, 0)
				if err != nil {
					t.Fatal(err)
				}
				script("cd $PWD/.; mount -t tmpfs dev dev; mount -t proc proc proc")
				if image.readOnly {
					script("mount -o remount,bind,ro .")
				}
				if err := unix.Chroot(dir); err != nil {
					t.Fatal(err)
				}
				own, _ := os.ReadFile(path)
				testShape(t, string(own), strings.Contains(image.make, "hostname"))
				unix.Fchdir(root)
				unix.Chroot(".")
				if image.readOnly {
					defer unix.Unmount(dir, unix.MNT_DETACH)
				}
				lines := func(s string) []string { return strings.Split(s, "\n") }
				want := lines(before)
				if image.more != "" {
					want = append(want, lines(image.more)...)
				}
				got := lines(script(list))
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("the image has %q afterwards, want %q", got, want)
				}
			})
		})
	}
}

// testShape takes the file from a first text to the end, in an image whose own is there.
func testShape(t *testing.T, own string, hasHostname bool) {
	var f File
	if err := f.Update(Config{}); err != nil {
		t.Errorf("Update without servers: %v", err)
	}
	for _, length := range []int{20, 5, 40} {
		c := Config{Servers: []Server{server(byte(length))}, Search: []string{strings.Repeat("x", length) + ".example"}}
		if err := f.Update(c); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || strings.TrimRight(string(got), "\n")+"\n" != string(c.Text()) {
			t.Errorf("%s = %q, %v, want %q", path, got, err, c.Text())
		}
	}
	if hostname, _ := os.ReadFile("/etc/hostname"); hasHostname && string(hostname) != "h\n" {
		t.Errorf("/etc/hostname is %q now", hostname)
	}
	// Another process goes on.
	var other File
	if err := other.Adopt(); err != nil || !other.open {
		t.Fatalf("Adopt() = %v, open %v", err, other.open)
	}
	if err := other.Update(Config{Servers: []Server{server(9)}}); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(path); !strings.HasSuffix(strings.TrimSpace(string(got)), "\nnameserver 192.0.2.9") {
		t.Errorf("after Adopt: %s = %q", path, got)
	}
	if err := other.Update(Config{}); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(path); string(got) != own {
		t.Errorf("after the end: %s = %q, want the image's %q", path, got, own)
	}
	if names, _ := filepath.Glob("/dev/.*"); len(names) > 0 {
		t.Errorf("/dev has %q", names)
	}
}

// A file that is not ours is not adopted.
func TestAdoptNothing(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		if err := unix.Chroot(dir); err != nil {
			t.Fatal(err)
		}
		os.Mkdir("/etc", 0o755)
		for _, text := range []string{"", header, "nameserver 192.0.2.1\n"} {
			os.WriteFile(path, []byte(text), 0o644)
			var f File
			if err := f.Adopt(); err != nil || f.open {
				t.Errorf("Adopt() of %q = %v, open %v, want neither", text, err, f.open)
			}
		}
	})
}

// Another mount namespace sees updates, and the end.
func TestOtherNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		var f File
		if err := f.Update(Config{Servers: []Server{server(1)}}); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/bin/sh", "-c", "while read line; do grep nameserver "+path+"; echo end; done")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ask := func() string {
			in.Write([]byte("\n"))
			var got []byte
			for b := make([]byte, 1); !strings.HasSuffix(string(got), "end\n"); got = append(got, b[0]) {
				if _, err := out.Read(b); err != nil {
					t.Fatalf("%v after %q", err, got)
				}
			}
			return string(got)
		}
		if got := ask(); got != "nameserver 192.0.2.1\nend\n" {
			t.Errorf("the other namespace has %q", got)
		}
		f.Update(Config{Servers: []Server{server(2)}})
		if got := ask(); got != "nameserver 192.0.2.2\nend\n" {
			t.Errorf("after an update the other namespace has %q", got)
		}
		if err := f.Update(Config{}); err != nil {
			t.Error(err)
		}
		if got := ask(); got != "end\n" {
			t.Errorf("after the end the other namespace has %q", got)
		}
		in.Close()
		cmd.Wait()
	})
}

// A reader never sees an empty file, or one that is cut off.
func TestReaders(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		long := Config{Servers: []Server{server(1), server(2), server(3)}, Search: []string{"a.example", "b.example"}}
		brief := Config{Servers: []Server{server(4)}}
		texts := [2][]byte{long.Text(), brief.Text()}
		texts[1] = append(texts[1], bytes.Repeat([]byte("\n"), len(texts[0])-len(texts[1]))...)
		var f File
		if err := f.Update(long); err != nil {
			t.Fatal(err)
		}
		var stop atomic.Bool
		done := make(chan struct{})
		go func() {
			defer close(done)
			for !stop.Load() {
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
		for range 5000 {
			f.Update(brief)
			f.Update(long)
		}
		stop.Store(true)
		<-done
	})
}

func TestErrors(t *testing.T) {
	nstest.Run(t, func(t *testing.T, dir string) {
		if err := unix.Chroot(dir); err != nil {
			t.Fatal(err)
		}
		var f File
		err := f.Update(Config{Servers: []Server{server(1)}})
		if want := "write /etc/resolv.conf: make a file in memory: no such file or directory"; err == nil || err.Error() != want {
			t.Errorf("without /dev/shm: %v, want %s", err, want)
		}
		os.MkdirAll("/dev/shm", 0o755)
		os.MkdirAll(filepath.Join(path, "sub"), 0o755)
		err = f.Update(Config{Servers: []Server{server(1)}})
		if err == nil || !strings.HasPrefix(err.Error(), "write /etc/resolv.conf: mount a file in memory on it: ") {
			t.Errorf("on a directory: %v", err)
		}
	})
}

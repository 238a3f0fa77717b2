package cases

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/krunbox/krunbox/integration/hostfs"
)

// overlayData returns the contents of overlayFile. They fill many pages, all different.
func overlayData() []byte {
	var b bytes.Buffer
	for i := range 12345 {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.Bytes()
}

const (
	overlayFile = "/data/persistent"
	overlayOnce = "/data/once"
)

// overlayGuest checks a root that contains only virtual files.
var overlayGuest = inGuest("overlay", func(t *testing.T) {

	want := overlayData()
	numbers := map[uint64]string{}
	for _, path := range []string{"/", "/data", "/guest", overlayFile} {
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			t.Errorf("stat %s: %v", path, err)
			continue
		}
		if other, found := numbers[st.Ino]; found {
			t.Errorf("%s and %s have the same inode number %d", path, other, st.Ino)
		}
		numbers[st.Ino] = path
	}

	// One-shot files are gone after their first lookup: the program of init, the configuration, and
	// this program.
	for _, path := range []string{"/init.krun", "/.krun_config.json", os.Args[0]} {
		if _, err := os.Lstat(path); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("lstat %s = %v, want %v", path, err, syscall.ENOENT)
		}
	}
	if got, err := os.ReadFile(overlayOnce); err != nil || string(got) != "once" {
		t.Errorf("first read of %s = %q, %v, want once", overlayOnce, got, err)
	}
	if _, err := os.ReadFile(overlayOnce); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("second read of %s = %v, want %v", overlayOnce, err, syscall.ENOENT)
	}

	for range 3 {
		got, err := os.ReadFile(overlayFile)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %s = %d bytes, %v, want the %d bytes of the file",
				overlayFile, len(got), err, len(want))
		}
	}
	f, err := os.Open(overlayFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != int64(len(want)) || info.Mode() != 0o444 {
		t.Errorf("stat %s = %v %d, %v, want -r--r--r-- %d", overlayFile, info.Mode(), info.Size(), err, len(want))
	}
	for _, off := range []int{0, 1, 4095, 4096, 70000, len(want) - 1, len(want) - 100, len(want), len(want) + 1, 1 << 30} {
		buf := make([]byte, 5000)
		n, err := f.ReadAt(buf, int64(off))
		part := want[min(off, len(want)):min(off+len(buf), len(want))]
		if !bytes.Equal(buf[:n], part) || (err == io.EOF) != (n < len(buf)) {
			t.Errorf("read %s at %d = %d bytes, %v, want the %d bytes of the file",
				overlayFile, off, n, err, len(part))
		}
	}

	for _, flag := range []int{os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND} {
		if f, err := os.OpenFile(overlayFile, flag, 0); !errors.Is(err, syscall.EACCES) {
			t.Errorf("open %s with flags %#x = %v, want %v", overlayFile, flag, err, syscall.EACCES)
			f.Close()
		}
	}
	if entries, err := os.ReadDir("/"); err != nil || len(entries) != 0 {
		t.Errorf("readdir / = %v, %v, want no entries", entries, err)
	}
	for path, want := range map[string]error{"/dev": syscall.EEXIST, "/data": syscall.EEXIST, "/new": syscall.ENOSYS} {
		if err := os.Mkdir(path, 0o755); !errors.Is(err, want) {
			t.Errorf("mkdir %s = %v, want %v", path, err, want)
		}
	}

	// The program of PID 1 no longer exists. PID 1 must keep running without it.
	if err := syscall.Kill(1, 0); err != nil {
		t.Errorf("kill(1, 0) = %v, want nil", err)
	}
	if len(os.Args) != 2 || os.Args[1] != fmt.Sprintf("%x", sha256.Sum256(want)) {
		t.Errorf("arguments = %q, want the checksum of the file only", os.Args)
	}
})

// TestOverlay boots a guest from a root of virtual files only, as libkrun's own test of its overlay
// does. Init, its configuration and the workload are one-shot files.
func TestOverlay(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		cfg := machine(t, arch)
		overlayGuest.addTo(t, &cfg)
		cfg.Args = nil
		cfg.Files[0].OneShot = true
		cfg.Files = append(cfg.Files,
			hostfs.File{Path: overlayFile, Data: overlayData(), Mode: 0o444},
			hostfs.File{Path: overlayOnce, Data: []byte("once"), OneShot: true},
		)
		cfg.GuestConfig = fmt.Appendf(nil, `{"args": [%q, "%x"]}`, overlayGuest.path(), sha256.Sum256(overlayData()))
		wantConsole(t, run(t, cfg, 0), passed)
	})
}

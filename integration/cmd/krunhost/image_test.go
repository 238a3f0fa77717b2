package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/krunbox/krunbox/internal/cache"
	"github.com/krunbox/krunbox/internal/debian"
	"github.com/krunbox/krunbox/internal/tool"
)

// packages are the Debian packages of the test image, besides those that they depend on.
var packages = []string{"base-files", "base-passwd", "busybox", "coreutils", "dash"}

// packageLayer returns a layer with the packages. The first call downloads them.
func packageLayer(t *testing.T) v1.Layer {
	t.Helper()
	path, err := cache.File(t.Context(), "krunhost-test-layer-"+strings.Join(packages, "-"), func(scratch string) (string, error) {
		return makePackageLayer(t.Context(), scratch)
	})
	if err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

func makePackageLayer(ctx context.Context, scratch string) (string, error) {
	archives, unlock, err := cache.Lock(ctx, "debian-"+runtime.GOARCH)
	if err != nil {
		return "", err
	}
	defer unlock()
	archive, err := debian.Open(ctx, runtime.GOARCH, archives)
	if err != nil {
		return "", err
	}
	files, err := archive.Fetch(ctx, packages...)
	if err != nil {
		return "", err
	}
	root := filepath.Join(scratch, "root")
	if err := debian.Install(ctx, files, root); err != nil {
		return "", err
	}
	layer := filepath.Join(scratch, "layer.tar")
	_, err = tool.Run(ctx, root, nil, "tar", "--numeric-owner", "-cf", layer, ".")
	return layer, err
}

// entrypoint is the image's program. It prints what it sees, changes the root, and exits with 3.
const entrypoint = `#!/bin/sh
echo "$(id -u):$(id -g) $(pwd) [$*] $GREETING"
for f in /etc/issue /usr/share/base-files/motd /usr/share/base-files/added; do
	[ -e $f ] && echo "$f is there"
done
stat -c '%u:%g %a %n' /srv/app /usr/local/bin/entry /var/tmp
echo more >/srv/app/new && cat /srv/app/new
exit 3
`

// appLayer returns a layer with a user, a directory of his, the entrypoint, and whiteouts of a file
// and of a directory of the packages.
func appLayer(t *testing.T) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		header   tar.Header
		contents string
	}{
		{tar.Header{Name: "etc/passwd", Mode: 0o644}, "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/srv/app:/bin/sh\n"},
		{tar.Header{Name: "etc/group", Mode: 0o644}, "root:x:0:\nstaff:x:2000:\n"},
		{tar.Header{Name: "srv/app", Typeflag: tar.TypeDir, Mode: 0o2750, Uid: 1000, Gid: 2000}, ""},
		{tar.Header{Name: "usr/local/bin/entry", Mode: 0o755}, entrypoint},
		{tar.Header{Name: "etc/.wh.issue"}, ""},
		{tar.Header{Name: "usr/share/base-files/.wh..wh..opq"}, ""},
		{tar.Header{Name: "usr/share/base-files/added", Mode: 0o644}, "added\n"},
	} {
		f.header.Size = int64(len(f.contents))
		if err := w.WriteHeader(&f.header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.contents); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// appImage returns an image of Debian packages with the configuration c.
func appImage(t *testing.T, c v1.Config) v1.Image {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("root only: files have several owners")
	}
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH, Config: c})
	if err == nil {
		image, err = mutate.AppendLayers(image, packageLayer(t), appLayer(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// savedImage returns the file that "docker save" makes of an image.
func savedImage(t *testing.T, image v1.Image) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "saved.tar")
	if err := tarball.WriteToFile(path, name.MustParseReference("app:latest"), image); err != nil {
		t.Fatal(err)
	}
	return path
}

// withKrunbox returns a command that runs krunhost with krunbox as init, and images in a cache of
// the test's own.
func withKrunbox(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	init := "../../../build/init.krun"
	if _, err := os.Stat(init); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	cmd := krunhost(t, args...)
	for i, arg := range cmd.Args {
		if arg == "--init" {
			cmd.Args[i+1] = init // args may name another one after it
			break
		}
	}
	return cmd
}

// imageCache makes krunhost unpack images to a directory of the test's own, and returns that. The
// rest of the cache is the usual one.
func imageCache(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	usual, err := cache.Dir()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(usual)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "kernel-") || strings.HasPrefix(e.Name(), "peer-init-") {
			if err := os.Symlink(filepath.Join(usual, e.Name()), filepath.Join(dir, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd.Env = append(cmd.Env, "KRUNBOX_CACHE="+dir)
	return dir
}

// TestImage boots an image of Debian packages, whose second layer has whiteouts, from both formats.
func TestImage(t *testing.T) {
	image := appImage(t, v1.Config{
		User: "app:staff", WorkingDir: "/srv/app", Entrypoint: []string{"entry", "-v"}, Cmd: []string{"a b"},
		Env: []string{"GREETING=hello", "PATH=/usr/local/bin:/usr/bin"},
	})
	directory := t.TempDir()
	path, err := layout.Write(directory, empty.Index)
	if err == nil {
		err = path.AppendImage(image)
	}
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "oci.tar")
	if _, err := tool.Run(t.Context(), directory, nil, "tar", "-cf", archive, "."); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		format, path string
		args         []string
		line         string
	}{
		{"docker save", savedImage(t, image), nil, "1000:2000 /srv/app [-v a b] hello"},
		{"OCI archive", archive, []string{"--env", "GREETING=bye", "--", "c", "d"}, "1000:2000 /srv/app [-v c d] bye"},
	} {
		t.Run(tt.format, func(t *testing.T) {
			t.Parallel()
			cmd := withKrunbox(t, append([]string{"--image", tt.path}, tt.args...)...)
			dir := imageCache(t, cmd)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if got := exitCode(t, cmd.Run()); got != 3 {
				t.Errorf("exit code = %d, want 3", got)
			}
			want := tt.line + "\n/usr/share/base-files/added is there\n" +
				"1000:2000 2750 /srv/app\n0:0 755 /usr/local/bin/entry\n0:0 1777 /var/tmp\nmore\n"
			if got := stdout.String(); got != want {
				t.Errorf("output = %q, want %q; standard error %q", got, want, stderr.String())
			}
			// The host has the image as it was.
			roots, err := filepath.Glob(filepath.Join(dir, "image-sha256-*[0-9a-f]"))
			if err != nil || len(roots) != 1 {
				t.Fatalf("unpacked images = %q, %v, want one", roots, err)
			}
			entries, err := os.ReadDir(filepath.Join(roots[0], "srv/app"))
			if err != nil || len(entries) != 0 {
				t.Errorf("/srv/app in the cache = %v, %v, want nothing", entries, err)
			}
			if _, err := os.Lstat(filepath.Join(roots[0], "usr/bin/dash")); err != nil {
				t.Error(err)
			}
			for _, removed := range []string{"etc/issue", "usr/share/base-files/motd"} {
				if _, err := os.Lstat(filepath.Join(roots[0], removed)); !os.IsNotExist(err) {
					t.Errorf("%s in the cache: %v, want it not to exist", removed, err)
				}
			}
			info, err := os.Stat(filepath.Join(roots[0], "srv/app"))
			if err != nil {
				t.Fatal(err)
			}
			st := info.Sys().(*syscall.Stat_t)
			if got, want := fmt.Sprint(info.Mode(), st.Uid, st.Gid), fmt.Sprint(fs.ModeDir|fs.ModeSetgid|0o750, 1000, 2000); got != want {
				t.Errorf("/srv/app in the cache = %s, want %s", got, want)
			}
		})
	}
}

// TestImageProgram runs a program in place of the image's entrypoint, as the image's user.
func TestImageProgram(t *testing.T) {
	t.Parallel()
	path := savedImage(t, appImage(t, v1.Config{User: "app", Entrypoint: []string{"/nonexistent"}, Cmd: []string{"x"}}))
	cmd := withKrunbox(t, "--image", path, "--env", "KRUN_INIT=/bin/sh", "--env", "A=b c", "--", "-c", `echo "$(id -un) $A $#"; exit 6`)
	imageCache(t, cmd)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if got := exitCode(t, cmd.Run()); got != 6 || stdout.String() != "app b c 0\n" {
		t.Errorf("exit code = %d, output %q, want 6, app; standard error %q", got, stdout.String(), stderr.String())
	}
}

// TestPublish boots an image with a web server, which is its entrypoint, connects to it by the
// loopback interface of this machine, and stops it by the image's stop signal.
func TestPublish(t *testing.T) {
	t.Parallel()
	path := savedImage(t, appImage(t, v1.Config{
		Entrypoint: []string{"/bin/sh", "-c", `
trap 'echo stopped by QUIT; exit 5' QUIT
busybox httpd -f -p 8080 -h /usr/share/base-files &
while :; do wait; done`}, StopSignal: "SIGQUIT"}))
	port := freePort(t)
	cmd := withKrunbox(t, "--image", path, "--publish", port+":8080")
	imageCache(t, cmd)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	body := ""
	for body == "" {
		client := http.Client{Timeout: 5 * time.Second} // the guest may have no address yet
		answer, err := client.Get("http://127.0.0.1:" + port + "/added")
		if err == nil {
			b, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			body = string(b)
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("krunhost ended: %v, standard error %q", err, stderr.String())
		case <-time.After(100 * time.Millisecond):
		}
	}
	if body != "added\n" {
		t.Errorf("answer of the server = %q, want %q", body, "added\n")
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if got := exitCode(t, <-ended); got != 5 || stdout.String() != "stopped by QUIT\n" {
		t.Errorf("exit code = %d, output %q, want 5 and the stop signal; standard error %q",
			got, stdout.String(), stderr.String())
	}
}

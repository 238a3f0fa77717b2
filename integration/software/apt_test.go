//go:build software

package software

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/vm"
	"github.com/krunbox/krunbox/internal/tool"
)

var aptRoot = root{
	Name:     "apt",
	Packages: []string{"apt", "adduser", "debconf", "init-system-helpers", "perl-base", "diffutils"},
}

// aptScript installs packages, whose scripts make a group, and removes them. $1 is the repository.
const aptScript = `
set -e
echo "deb [trusted=yes] $1 ./" >/etc/apt/sources.list
rm -f /etc/apt/sources.list.d/*
apt-get update
apt-get install -y --no-install-recommends cron sqlite3
sqlite3 /root/db 'CREATE TABLE t (a); INSERT INTO t VALUES (42);'
echo "db: $(sqlite3 /root/db 'SELECT a FROM t')"
stat -c '%n: %a %G' /usr/bin/crontab /var/spool/cron/crontabs
apt-get purge -y sqlite3
[ -e /usr/bin/sqlite3 ] || echo sqlite3 is gone
dpkg-query -W -f '${Package} ${Status}\n' cron
`

// repository serves a repository of packages and the packages they depend on. It returns the handler
// of an HTTP server.
func repository(t *testing.T, packages ...string) http.Handler {
	t.Helper()
	files, err := download(t.Context(), packages)
	if err != nil {
		t.Fatal(err)
	}
	var index strings.Builder
	mux := http.NewServeMux()
	for _, file := range files {
		control, err := tool.Run(t.Context(), "", nil, "dpkg-deb", "-f", file)
		if err != nil {
			t.Fatal(err)
		}
		contents, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%x.deb", sha256.Sum256(contents))
		fmt.Fprintf(&index, "%s\nFilename: ./%s\nSize: %d\nSHA256: %x\n\n",
			strings.TrimSpace(string(control)), name, len(contents), sha256.Sum256(contents))
		mux.HandleFunc("/"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	}
	mux.HandleFunc("/Packages", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, index.String()) })
	return mux
}

// TestApt installs packages from the host, with the root on several file systems.
func TestApt(t *testing.T) {
	handler := repository(t, "cron", "sqlite3")
	for _, kind := range []string{"overlay", "virtiofs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			l, err := n.Listen(n.Host)
			if err != nil {
				t.Fatal(err)
			}
			go http.Serve(l, handler)
			port := l.Addr().(*net.TCPAddr).Port
			cfg := aptRoot.machine(t, image{
				Cmd: []string{"sh", "-c", aptScript, "sh", fmt.Sprintf("http://%v:%d", n.Host, port)},
			})
			check := func() {}
			switch path := cfg.Root; kind {
			case "virtiofs":
				cfg.Root = filepath.Join(t.TempDir(), "root")
				if output, err := exec.Command("cp", "-a", path, cfg.Root).CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, output)
				}
				cfg.ReadOnly, cfg.Env = false, nil
				check = func() {
					info, err := os.Stat(filepath.Join(cfg.Root, "var/spool/cron/crontabs"))
					if err != nil || info.Mode() != os.ModeDir|os.ModeSticky|0o730 {
						t.Errorf("/var/spool/cron/crontabs on the host = %v, %v", info, err)
					}
				}
			case "ext4":
				disk := filepath.Join(t.TempDir(), "disk")
				if err := diskimage.Create(disk, diskimage.FileSystem{Type: "ext4", Dir: path, MiB: 1024}); err != nil {
					t.Fatal(err)
				}
				cfg.Root, cfg.Disks = "", []vm.Disk{{Path: disk}}
				cfg.Env = []string{"KRUN_BLOCK_ROOT_DEVICE=/dev/vda"}
				check = func() {
					if err := diskimage.Check(disk, "ext4"); err != nil {
						t.Error(err)
					}
				}
			}
			g := startOn(t, n, cfg)
			g.wantExit(0)
			wantLines(t, g.stdout.String(), "db: 42", "/usr/bin/crontab: 2755 crontab",
				"/var/spool/cron/crontabs: 1730 crontab", "sqlite3 is gone", "cron install ok installed")
			check()
		})
	}
}

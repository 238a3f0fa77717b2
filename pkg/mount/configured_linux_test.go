package mount

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/op"
)

var update = flag.Bool("update", false, "write the golden files anew")

// podman are the mounts as Podman writes them for
//
//	podman run --read-only --tmpfs /data -v /srv/www:/www:ro -v /data/sub:/sub ...
var podman = []Entry{
	{"/proc", "proc", "proc", []string{"nosuid", "noexec", "nodev"}},
	{"/dev", "tmpfs", "tmpfs", []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
	{"/sys", "sysfs", "sysfs", []string{"nosuid", "noexec", "nodev", "ro"}},
	{"/dev/pts", "devpts", "devpts", []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
	{"/dev/mqueue", "mqueue", "mqueue", []string{"nosuid", "noexec", "nodev"}},
	{"/run", "tmpfs", "tmpfs", []string{"rw", "rprivate", "nosuid", "nodev", "tmpcopyup"}},
	{"/tmp", "tmpfs", "tmpfs", []string{"rw", "rprivate", "nosuid", "nodev", "tmpcopyup"}},
	{"/data", "tmpfs", "tmpfs", []string{"rprivate", "nosuid", "nodev", "tmpcopyup"}},
	{"/www", "bind", "/srv/www", []string{"ro", "rprivate", "rbind"}},
	{"/sub", "bind", "/data/sub", []string{"rw", "rprivate", "rbind"}},
	{"/run/.containerenv", "bind", "/run/containers/storage/x/userdata/.containerenv", []string{"bind", "rprivate"}},
	{"/etc/hosts", "bind", "/run/containers/storage/x/userdata/hosts", []string{"bind", "rprivate"}},
	{"/dev/shm", "bind", "/var/lib/containers/storage/x/shm", []string{"bind", "rprivate", "nosuid", "noexec", "nodev"}},
	{"/sys/fs/cgroup", "cgroup", "cgroup", []string{"rprivate", "nosuid", "noexec", "nodev", "relatime", "ro"}},
}

// odd are entries that no engine writes every day.
var odd = []Entry{
	{"a/../b/./c/", "tmpfs", "", nil},
	{"/b/c", "tmpfs", "again", []string{"size=1m"}},
	{"/share", "virtiofs", "tag", []string{"rro", "shared"}},
	{"/disk", "ext4", "/dev/vdb", []string{"noatime", "data=journal"}},
	{"/over", "overlay", "overlay", []string{"lowerdir=/a:/b", "upperdir=/c", "workdir=/d"}},
	{"/dev/shm", "tmpfs", "shm", []string{"nosuid", "noexec", "nodev", "mode=1777", "size=2m"}},
	{"/dev/shm", "tmpfs", "shm", nil},
	{"/proc", "proc", "proc", nil},
	{"/sys", "none", "/sys", []string{"rbind", "rro"}},
	{"/cg", "cgroup", "cgroup", []string{"none,name=", "nosuid"}},
	{"/from-share", "", "/share/x", []string{"bind", "nosymfollow"}},
	{"/ids", "rbind", "/share", []string{"idmap", "rw"}},
	{"/b/c", "none", "none", []string{"remount", "ro", "size=2m"}},
	{"/", "", "", []string{"rslave"}},
	{"/", "tmpfs", "tmpfs", []string{"ro"}},
	{"/b/c", "none", "none", []string{"remount", "bind", "nodev"}},
}

// The plans are files, so that a change to what is done with entries is seen as one.
func TestConfiguredPlans(t *testing.T) {
	for name, c := range map[string]struct {
		entries []Entry
		host    Host
	}{
		"podman-host":  {podman, Host{RuntimeMounts: true}},
		"podman-block": {podman, Host{RuntimeMounts: true, BlockRoot: true}},
		"odd":          {odd, Host{}},
	} {
		var b strings.Builder
		plan := func(h Host) ([]op.Op, error) { return Configured(c.entries, h), nil }
		if err := boot.WriteText(&b, []boot.Stage[Host]{{Name: "mounts", Plan: plan}}, c.host); err != nil {
			t.Fatal(err)
		}
		file := "testdata/" + name + ".plan"
		if *update {
			put(t, file, b.String())
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s: Configured() =\n%swant (%s; -update to accept):\n%s", name, b.String(), file, want)
		}
	}
}

func TestIgnored(t *testing.T) {
	err := Ignored{"/x", []string{"idmap"}}.Do()
	if !errors.Is(err, op.ErrUnsupported) || !strings.HasPrefix(err.Error(), "mount on /x: option idmap: ") {
		t.Errorf("Ignored.Do() = %v, want ErrUnsupported with target and option", err)
	}
}
